"""Models made of other models: the members' networks side by side in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from scirknn.answers import responses_of, takes_rows
from scirknn.arrays import Floats, Ints
from scirknn.bundle import Affine
from scirknn.steps.activations import HEADS, Activation
from scirknn.steps.linear import Dense, Scale
from scirknn.steps.members import Each, Groups, OfRows, Picked, WithRows
from scirknn.steps.step import Step, take_rows, width_after
from scirknn.steps.training_rows import TrainingRows
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.ensembles.endings import digest
from sklearn2rknn.estimators.ensembles.shared_columns import shared_columns
from sklearn2rknn.estimators.fitted import feature_names, require_fitted
from sklearn2rknn.estimators.kernels import share_distances
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.estimators.registry import Form
from sklearn2rknn.estimators.succession import layers_behind_input
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.side_by_side import are_alike, block_layers, with_equal_depths
from sklearn2rknn.passes.layer_merging import merge_linear

MEMBERS = Form(
    "its members side by side in one network, trees on the host; the host combines them",
    worth="8 million products (rows x weights of all members) a call, and 120 more for each number in and "
    "out",
)
"""The family's line in the support table."""


@attrs.frozen(eq=False)
class Member:
    """One model of several.

    Attributes
    ----------
    network : Network
    columns : numpy.ndarray of int64 or None
        Those of the ensemble's inputs that it takes; None: all.
    """

    network: Network
    columns: Ints | None = None

    @property
    def width(self) -> int:
        """Columns of its values."""
        return width_after(self.network.epilogue, self.network.n_outputs)

    @property
    def prologue(self) -> tuple[Step, ...]:
        """What the host computes of the ensemble's inputs in front of the member's layers."""
        network = self.network
        picked = () if self.columns is None else (Picked(self.columns),)
        return (*picked, *_mapped(network.input), *network.features)


@attrs.frozen(eq=False)
class Members:
    """Models that stand side by side.

    Attributes
    ----------
    network : Network
        Its values are those of all members, one after the other.
    members : tuple of Member
    """

    network: Network
    members: tuple[Member, ...]

    @property
    def networks(self) -> tuple[Network, ...]:
        """Those of the members."""
        return tuple(each.network for each in self.members)

    def arrange(self, endings: Sequence[tuple[Step, ...]]) -> tuple[Step, ...]:
        """Return the steps that compute an ending of each member's values, side by side."""
        widths = [each.width for each in self.members]
        return _grouped([int(start) for start in np.cumsum([0, *widths[:-1]])], widths, endings)

    def finish(self, estimator: Any, answers: Answers, epilogue: tuple[Step, ...] = ()) -> Network:
        """Return the network of the ensemble, with steps behind the members' values."""
        return attrs.evolve(
            self.network,
            estimator=type(estimator).__name__,
            feature_names=feature_names(estimator) or self.network.feature_names,
            epilogue=(*self.network.epilogue, *epilogue),
            **attrs.asdict(answers, recurse=False),
        )


def read_members(estimator: Any, fitted: Sequence[Any]) -> list[Network]:
    """Return the networks of an ensemble's fitted members.

    Raises
    ------
    UnsupportedModelError
        A member cannot be converted, or cannot stand beside others.
    """
    networks = [network_from_estimator(each) for each in fitted]
    name = type(estimator).__name__
    for network in networks if len(networks) > 1 else ():
        if not _can_stand_beside_others(network):
            raise UnsupportedModelError(
                f"A member of {name} ({network.estimator}) looks at its rows again behind the NPU. Convert "
                f"the members singly, and combine their answers as {name} does."
            )
        if any(isinstance(each, TrainingRows) and each.may_lack_neighbours for each in network.epilogue):
            raise UnsupportedModelError(
                f"A member of {name} ({network.estimator}) has no answer for a row without neighbours. Give "
                "a classifier the outlier_label of a class, or fit a model of a number of neighbours."
            )
    return networks


def _can_stand_beside_others(network: Network) -> bool:
    """Whether no step takes rows, or the host can compute all of the network as if they were X."""
    if any(map(take_rows, responses_of(network).values())):
        return False
    return not take_rows(network.epilogue) or _is_for_host(network)


def _is_for_host(network: Network) -> bool:
    return all(layer.activation in HEADS for layer in network.layers)


def joined_members(estimator: Any) -> Members:
    """Return one network of an ensemble's ``estimators_``, which take all of its inputs."""
    require_fitted(estimator, "estimators_")
    networks = read_members(estimator, list(estimator.estimators_))
    return side_by_side(estimator, [Member(network) for network in networks])


def side_by_side(estimator: Any, members: Sequence[Member], *, with_rows: bool = False) -> Members:
    """Return one network of members that take the same inputs.

    Members of layers of the same activations, or of relus alone, share the NPU; the host computes trees,
    nearest rows, and linear members beside hidden layers of tanh or logistic functions.

    Parameters
    ----------
    estimator : object
        The ensemble.
    members : sequence of Member
    with_rows : bool
        Whether the inputs themselves are to stand behind the members' values.

    Raises
    ------
    UnsupportedModelError
        Members of layers that cannot stand side by side.
    """
    if len(members) == 1 and members[0].columns is None and not with_rows:
        return Members(members[0].network, tuple(members))
    columns, first_step = shared_columns(
        type(estimator).__name__,
        [each.network for each in members],
        take_all_of_x=not with_rows and all(each.columns is None for each in members),
    )
    networks = [attrs.evolve(merge_linear(each.network), columns=None) for each in members]
    if all(each.columns is None for each in members):
        networks = share_distances(networks)
    members = [attrs.evolve(each, network=own) for each, own in zip(members, networks, strict=True)]
    width = _inputs(estimator, members)
    if with_rows:
        members.append(Member(_inputs_alone(members[0].network, width)))
    on_host = _on_host(estimator, members)
    on_npu = [each for each, is_host in zip(members, on_host, strict=True) if not is_host]
    common = _Prologue.of(on_npu, width, needs_rows=any(on_host))
    is_float32 = all(each.network.dtype == "float32" for each in members)
    network = Network(
        estimator=type(estimator).__name__,
        task="transformer",
        head="identity",
        layers=block_layers(with_equal_depths(common.layers)) if on_npu else (),
        classes=None,
        feature_names=feature_names(estimator),
        single_output=False,
        dtype="float32" if is_float32 else "float64",
        input=common.input,
        output=_output(on_npu),
        features=common.features,
        features_in=width if common.features or not on_npu else None,
        columns=columns,
        first_step=first_step,
    )
    return Members(attrs.evolve(network, epilogue=_values(network, members, on_host, width)), tuple(members))


def _values(
    network: Network, members: Sequence[Member], on_host: Sequence[bool], width: int
) -> tuple[Step, ...]:
    """Return the steps to the members' values, from the NPU's outputs or from the inputs, so many columns."""
    starts, widths, steps, place = [], [], [], 0
    for member, is_host in zip(members, on_host, strict=True):
        if is_host:
            starts.append(network.n_outputs if network.layers else 0)
            widths.append(width)
            steps.append(_steps_on_host(member))
        else:
            starts.append(place)
            widths.append(member.network.n_outputs)
            steps.append(member.network.epilogue)
            place += widths[-1]
    rows = width_after(network.features, width)
    appended = (WithRows(rows),) if network.layers and any(on_host) else ()
    return (*appended, *_grouped(starts, widths, steps, is_all=not appended and bool(network.layers)))


def host_steps(network: Network) -> tuple[Step, ...] | None:
    """Return steps that compute a network's values on the host, None where it has hidden layers."""
    if not _is_for_host(network) or takes_rows(network):
        return None
    return _steps_on_host(Member(network))


def _steps_on_host(member: Member) -> tuple[Step, ...]:
    network = member.network
    behind = (*_layers_on_host(network), *network.epilogue)
    return (*member.prologue, *((OfRows(behind),) if take_rows(behind) else behind))


def _layers_on_host(network: Network) -> tuple[Step, ...]:
    steps: list[Step] = []
    for layer in network.layers:
        steps.append(Dense(layer.weights, layer.bias))
        if layer.activation != "identity":
            steps.append(Activation(layer.activation))
    return (*steps, *_mapped(network.output))


def _mapped(affine: Affine | None) -> tuple[Step, ...]:
    return () if affine is None else (Scale(np.asarray(affine.offset), np.asarray(affine.scale)),)


def _inputs(estimator: Any, members: Sequence[Member]) -> int:
    """Return how many inputs the members share."""
    widths = {each.network.n_features_in for each in members if each.columns is None}
    if len(widths) > 1:
        raise UnsupportedModelError(
            f"The members of {type(estimator).__name__} take {min(widths)} and {max(widths)} features. They "
            "were changed after fit; fit again."
        )
    return widths.pop() if widths else int(estimator.n_features_in_)


def _inputs_alone(network: Network, width: int) -> Network:
    """Return a network whose values are its inputs."""
    return attrs.evolve(
        network,
        layers=(),
        input=None,
        output=None,
        features=(),
        epilogue=(),
        responses=None,
        features_in=width,
    )


def _on_host(estimator: Any, members: Sequence[Member]) -> list[bool]:
    """Return which members the host computes."""
    layers = [() if take_rows(each.network.epilogue) else each.network.layers for each in members]
    if not all(layers) and not any(each and (each[1:] or each[0].weights.any()) for each in layers):
        return [True] * len(layers)  # trees, nearest rows and constants
    if are_alike(each for each in layers if each):
        return [not each for each in layers]
    on_host = [all(layer.activation == "identity" for layer in each) for each in layers]
    deep = [each for each, is_host in zip(layers, on_host, strict=True) if not is_host]
    if are_alike(deep):
        return on_host
    name = type(estimator).__name__
    shapes = sorted({f"({', '.join(layer.activation for layer in each[:-1])})" for each in deep})
    raise UnsupportedModelError(
        f"The members of {name} have the hidden layers {' and '.join(shapes)}, which cannot stand side by "
        "side. Fit them with as many layers of one activation (activation='relu' allows any number); or "
        f"convert them singly, and combine their answers as {name} does."
    )


@attrs.frozen(eq=False)
class _Prologue:
    """What members have in common in front of their layers, and the layers behind it."""

    input: Affine | None
    features: tuple[Step, ...]
    layers: list[tuple[Layer, ...]]

    @classmethod
    def of(cls, members: Sequence[Member], width: int, *, needs_rows: bool) -> _Prologue:
        if not any(each.network.features for each in members):
            is_complete = not needs_rows and all(each.columns is None for each in members)
            maps = [each.network.input for each in members if each.network.input is not None]
            common = maps[0] if maps and is_complete else None
            return cls(common, (), [_in_front(each, width, common) for each in members])
        blocks: dict[str, tuple[Step, ...]] = {digest(()): ()} if needs_rows else {}
        keys = [digest(_block(each)) for each in members]
        blocks.update(zip(keys, map(_block, members), strict=True))
        widths = [width_after(steps, width) for steps in blocks.values()]
        starts = dict(zip(blocks, np.cumsum([0, *widths[:-1]]), strict=True))
        layers = []
        for key, each in zip(keys, members, strict=True):
            own = each.network.layers if each.network.features else _in_front(each, width, None)
            first, start = own[0], int(starts[key])
            weights = np.zeros((sum(widths), first.weights.shape[1]))
            weights[start : start + len(first.weights)] = first.weights
            layers.append((attrs.evolve(first, weights=weights), *own[1:]))
        features, *others = steps = list(blocks.values())
        if others:
            features = _grouped([0] * len(steps), [width] * len(steps), steps, is_all=False)
        return cls(None, features, layers)


def _block(member: Member) -> tuple[Step, ...]:
    """Return what a member's layers take; a map alone is a part of its first layer."""
    return member.prologue if member.network.features else ()


def _in_front(member: Member, width: int, common: Affine | None) -> tuple[Layer, ...]:
    """Return a member's layers for inputs behind a common map."""
    network, layers = member.network, member.network.layers
    if not _are_equal(network.input, common):
        layers = layers_behind_input(network)
        if common is not None:
            first = layers[0]
            weights = first.weights / common.scale[:, None]
            layers = (
                Layer(weights, first.bias + common.offset @ first.weights, first.activation),
                *layers[1:],
            )
    if member.columns is None:
        return layers
    first, weights = layers[0], np.zeros((width, layers[0].weights.shape[1]))
    np.add.at(weights, member.columns, first.weights)
    return (attrs.evolve(first, weights=weights), *layers[1:])


def _are_equal(one: Affine | None, other: Affine | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one.offset, other.offset) and np.array_equal(one.scale, other.scale)


def _output(members: Sequence[Member]) -> Affine | None:
    """Return the maps behind the members' layers as one, None where there is none."""
    if all(each.network.output is None for each in members):
        return None
    parts: list[tuple[Floats, Floats]] = []
    for each in members:
        count, output = each.network.n_outputs, each.network.output
        parts.append((np.zeros(count), np.ones(count)) if output is None else (output.offset, output.scale))
    offsets, scales = zip(*parts, strict=True)
    return Affine(np.concatenate(offsets), np.concatenate(scales))


def _grouped(
    starts: Sequence[int], widths: Sequence[int], endings: Sequence[tuple[Step, ...]], *, is_all: bool = True
) -> tuple[Step, ...]:
    """Return one step for endings of groups of columns; none where they change nothing.

    `is_all` says that the groups are all columns, one after the other.
    """
    if is_all and not any(endings):
        return ()
    if is_all and len(endings) == 1:
        return endings[0]
    if is_all and len(set(widths)) == 1 and len({digest(each) for each in endings}) == 1:
        return (Each(len(endings), endings[0]),)
    return (Groups(tuple(starts), tuple(widths), tuple(Each(1, each) for each in endings)),)

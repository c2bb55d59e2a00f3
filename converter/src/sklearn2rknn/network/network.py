"""A model as plain numbers: dense layers, and what the host computes around them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from scirknn.answers import Responses, indices, takes_rows
from scirknn.arrays import Floats
from scirknn.bundle import Affine, Owner, apply_affine
from scirknn.bundle.columns import Columns
from scirknn.input_checks import check_table
from scirknn.steps.description import describe_steps
from scirknn.steps.members import accept_missing
from scirknn.steps.step import Step, apply_in_front, width_after
from sklearn2rknn.network.layer import Layer, rounded_to_float16
from sklearn2rknn.network.ranges import Ranges

FORMS = ("conv", "matmul", "gemm")
"""Operators that a dense layer can be written with."""

SOFTMAX_OPSET = 13
"""Before it, Softmax normalises over all axes from its own on: over all rows of a run."""

PARTS = 3
"""Channels of a feature as a float16 pair: high, low and, for the weights' own low number, high again."""


@attrs.frozen(eq=False)
class Reach:
    """Rows around the example.

    Attributes
    ----------
    rows : numpy.ndarray of float64, shape (n, number of inputs)
    room : float
        How many times as far from the middle as the example they were left, at least 1.
    """

    rows: Floats
    room: float


@attrs.frozen(eq=False)
class Network:
    """What a fitted estimator computes, split between host and NPU.

    The prologue: the host takes `columns` from X, maps them with `input` and computes `features` and `scale`.
    The network: the NPU computes the layers; the host maps their result with `output`, which gives the
    outputs. The epilogue: the host computes `epilogue`, which gives the values, and `responses` or `head` of
    them. Maps are ``(v - offset) * scale`` per column.

    Attributes that a bundle has too are described at `scirknn.bundle.Bundle`; the others, and what differs:

    Attributes
    ----------
    head : {"softmax", "logistic", "identity", "exp"}
        The output activation, the host's unless `head_on_npu`: then there is no `output`. A classifier with
        the head ``"identity"`` has probabilities as values; one without probabilities has the head that its
        decision is like.
    layers : tuple of Layer
        The last one has the activation ``"identity"``, before the head. None where the host
        computes all: the outputs are the inputs then.
    form : {"conv", "matmul", "gemm"}
        Operators of the graph: see `onnx_graph`.
    input_ranges : Ranges or None
        What is known of the inputs, as the layers take them, without any example.
    unpaired : Network or None
        The same network without float16 pairs; None: it has none.
    idle : numpy.ndarray or None
        The first layer's weights, shape (n_out,), on one input more, which is always 0: see `int16_sums`.
    reach : Reach or None
        What int16's ranges hold beside the example: see `reach`.
    fixed_scale : Affine or None
        The map of the inputs in front of the layers, which are for float16 then: a step's own bound was
        derived from it and from `output`, so that no pass may choose others. None: the passes choose.
    features_in : int or None
        Columns of X, where `features` make others of them and there are no `columns`.
    """

    estimator: str
    task: str
    head: str
    layers: tuple[Layer, ...]
    classes: npt.NDArray[Any] | None
    feature_names: tuple[str, ...] | None
    single_output: bool
    dtype: str
    input: Affine | None = None
    output: Affine | None = None
    parts: int = 1
    output_parts: int = 1
    high_negated: bool = False
    columns: Columns | None = None
    first_step: str | None = None
    form: str = "conv"
    head_on_npu: bool = False
    input_ranges: Ranges | None = None
    unpaired: Network | None = None
    idle: Floats | None = None
    reach: Reach | None = None
    features: tuple[Step, ...] = ()
    scale: Affine | None = None
    epilogue: tuple[Step, ...] = ()
    responses: Responses | None = None
    score: str | None = None
    features_in: int | None = None
    fixed_scale: Affine | None = None
    owner: Owner | None = None

    @property
    def n_features_in(self) -> int:
        """Columns of X."""
        if self.columns is not None:
            return self.columns.n_features_in
        return self.features_in or int(self.layers[0].weights.shape[0]) // self.parts

    @property
    def n_outputs(self) -> int:
        """Columns of the output, before epilogue and head."""
        if not self.layers:
            n_inputs = self.n_features_in if self.columns is None else len(self.columns.inputs)
            return width_after(self.features, n_inputs)
        return int(self.layers[-1].weights.shape[1]) // self.output_parts

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of X, of each hidden layer and of the output."""
        return (self.n_features_in, *(int(layer.weights.shape[1]) for layer in self.layers))

    def with_far_rows(self, rows: Floats) -> Floats:
        """Return `rows`, and after them those that the ranges are to reach to."""
        return rows if self.reach is None else np.vstack([rows, self.reach.rows])

    def without_host_steps(self) -> Network:
        """Return the network without what the host does in front of its layers."""
        return attrs.evolve(
            self, columns=None, first_step=None, input=None, features=(), scale=None, features_in=None
        )

    def with_host_steps_of(self, other: Network) -> Network:
        """Return the network with what the host of `other` does in front of its own."""
        network = attrs.evolve(self, columns=other.columns, first_step=other.first_step)
        if not other.features and not takes_rows(other):
            return attrs.evolve(network, input=compose(other.input, self.input))
        return attrs.evolve(
            network,
            input=other.input,
            features=other.features,
            scale=self.input,
            features_in=other.features_in,
        )

    def divide_channels(self, i: int, factors: Floats) -> Network:
        """Divide the channels of hidden layer `i`, and multiply them in the next layer."""
        layers = list(self.layers)
        layer, after = layers[i : i + 2]
        layers[i] = Layer(layer.weights / factors, layer.bias / factors, layer.activation)
        layers[i + 1] = Layer(after.weights * factors[:, None], after.bias, after.activation)
        return attrs.evolve(self, layers=tuple(layers))

    def take(self, X: npt.ArrayLike) -> Floats:
        """Take the network's inputs from X, shape (n, n_features_in), as float64."""
        return np.asarray(self._take(X), dtype=np.float64)

    def _take(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Take the network's inputs, in the dtype that scikit-learn's first step has."""
        if self.columns is not None:
            step, named = self.first_step or self.estimator, self.columns.named
            names = None if named is None else self.feature_names
            return self.columns.take(
                check_table(X, self.n_features_in, names, step, named=named), self.estimator
            )
        return np.asarray(X)

    def expand(self, X: npt.ArrayLike) -> Floats:
        """Return what the host makes of X in front of `scale`, shape (n, number of inputs)."""
        taken = self._take(X) if self.input is None else apply_affine(self.input, self.take(X))
        return np.asarray(apply_in_front(self.features, taken), dtype=np.float64)

    def prepare(self, X: npt.ArrayLike) -> Floats:
        """Return the NPU's input for X, shape (n, number of inputs * parts)."""
        return pair_rows(apply_affine(self.scale, self.expand(X)), self.parts)

    def finish(self, raw: npt.ArrayLike) -> Floats:
        """Map the layers' result, shape (n, n_outputs), as the host does after the NPU."""
        values = np.asarray(raw, dtype=np.float64)
        if self.output_parts > 1:
            high, low = values[:, : self.n_outputs], values[:, self.n_outputs :]
            values = low - high if self.high_negated else high + low
        return apply_affine(self.output, values)

    def activations(self, X: npt.ArrayLike) -> list[Floats]:
        """Return each layer's result for X in float64, the raw output last."""
        results, values = [], self.prepare(X)
        for layer in self.layers:
            values = layer.forward(values)
            results.append(values)
        return results

    def forward(self, X: npt.ArrayLike) -> Floats:
        """Return the outputs for X before the output activation, shape (n, n_outputs)."""
        if not self.layers:
            return self.expand(X)
        return self.finish(self.activations(X)[-1])

    def predict(self, values: Floats) -> npt.NDArray[Any]:
        """Decide from values, which are `scirknn.answers.final_values` of outputs.

        Returns
        -------
        numpy.ndarray
            Indices of labels, int64 of shape (n,); indicators, int64 of shape (n, n_values), for multilabel;
            numbers, float64 of shape (n, n_values), for a regressor and a transformer.
        """
        return indices(self, values)

    def weights_digest(self) -> str:
        """Return the sha256 (hex) of shapes, activations, weights and biases.

        And of what the host does around the layers, where it does something.
        """
        digest = hashlib.sha256()
        if self.columns is not None:
            digest.update(repr(self.columns).encode())
        for affine in (self.input, self.output):
            if affine is not None:
                digest.update(affine.offset.astype("<f8").tobytes() + affine.scale.astype("<f8").tobytes())
        for steps in (self.features, self.epilogue, *(self.responses or {}).values()):
            description = describe_steps(steps, "")
            digest.update(json.dumps(description.document).encode() if steps else b"")
            for array in description.arrays.values():
                digest.update(array.tobytes())
        for layer in self.layers:
            digest.update(f"{layer.weights.shape} {layer.activation};".encode())
            digest.update(layer.weights.astype("<f8").tobytes())
            digest.update(layer.bias.astype("<f8").tobytes())
        return digest.hexdigest()


def accepts_missing(network: Network) -> bool:
    """Whether NaN in X means something to the model itself, as `Bundle.accepts_missing` says."""
    return not network.layers and accept_missing(network.epilogue)


def pair_rows(values: Floats, parts: int) -> Floats:
    """Return rows as float16 pairs where there are parts, shape (n, number of inputs * parts)."""
    if parts == 1:
        return values
    high = rounded_to_float16(values)
    return np.hstack([high, values - high, high])


def compose(first: Affine | None, then: Affine | None) -> Affine | None:
    """Return one map for two, in float64."""
    if first is None or then is None:
        return then if first is None else first
    return Affine(first.offset + then.offset / first.scale, first.scale * then.scale)

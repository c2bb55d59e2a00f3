"""From a fitted scikit-learn estimator to a `Network`."""

from __future__ import annotations

import os
from typing import Any

import attrs
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV

from scirknn.answers import METHODS, check_labels, takes_rows
from scirknn.bundle import Owner
from scirknn.bundle.host_parts import check_widths
from scirknn.steps.branches import Finite
from scirknn.steps.description import MOST_STEPS
from scirknn.steps.linear import Dense
from scirknn.steps.step import Step, width_after
from sklearn2rknn.attribute_checks.check import checked
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.registry import read_estimator
from sklearn2rknn.estimators.succession import is_network, put_behind
from sklearn2rknn.estimators.targets import append_target_inverse
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network, accepts_missing
from sklearn2rknn.not_fitted import NotFittedError
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.pipelines import is_pipeline, pipeline_steps
from sklearn2rknn.transformers.prologue import fills_behind, in_order, jumps_behind
from sklearn2rknn.transformers.refusals import refuse_text
from sklearn2rknn.transformers.registry import apply_step, first_step


@checked
def network_from_estimator(estimator: Any) -> Network:
    """Take the numbers out of a fitted estimator.

    Parameters
    ----------
    estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
        Or a Pipeline that ends in one, a TransformedTargetRegressor around one, or a search whose best
        estimator is one of these.

    Raises
    ------
    UnsupportedModelError
        The estimator or a step of it is of another class, or holds numbers, labels or an option that cannot
        be converted. The text names the step.
    NotFittedError
        The estimator was not fitted.
    """
    if isinstance(estimator, type):
        raise UnsupportedModelError(
            f"The model is the class {estimator.__name__}, not an instance of it. "
            "Give the fitted estimator: clf = MLPClassifier().fit(X, y)."
        )
    if isinstance(estimator, (str, os.PathLike)):
        raise UnsupportedModelError(
            f"The model is the path {os.fspath(estimator)!r:.60}. Give the estimator that the file holds; or "
            "convert the file itself, without running what is in it: python3 -m sklearn2rknn FILE."
        )
    steps, target, model = _unwrap(estimator)
    network = read_estimator(model)
    places = [place for place, (_, step) in enumerate(steps) if is_network(step)]
    if places:
        where, step = steps[places[-1]]
        network = put_behind(step, _prepend_steps(steps[places[-1] + 1 :], network), where)
        steps = steps[: places[-1]]
        network = network if steps else attrs.evolve(network, first_step=type(step).__name__)
    network = _prepend_steps(steps, network)
    network = network if target is None else append_target_inverse(target, network)
    _check_widths(network)
    return attrs.evolve(network, owner=_owner(estimator, network))


def _check_widths(network: Network) -> None:
    """Refuse steps, layers and labels that do not fit each other."""
    n_inputs = network.n_features_in if network.columns is None else len(network.columns.inputs)
    width = width_after(network.features, n_inputs)
    for layer in network.layers:
        rows, units = layer.weights.shape
        if rows != width or not units or layer.bias.shape != (units,):
            raise ValueError(
                f"weights of shape {rows, units} and bias {layer.bias.shape} for {width} columns"
            )
        width = units
    check_labels(network, check_widths(network, n_inputs, width))


def _owner(estimator: Any, network: Network) -> Owner | None:
    """Return what names a missing method in scikit-learn, None where it is the model itself."""
    while type(estimator) is FrozenEstimator:  # which leaves it to the estimator inside
        estimator = estimator.estimator
    names = (name for name in (*METHODS, "score") if hasattr(type(estimator), name))
    owner = Owner(type(estimator).__name__, tuple(name for name in names if not hasattr(estimator, name)))
    return None if owner == Owner(network.estimator, ()) else owner


def _unwrap(estimator: Any) -> tuple[list[tuple[str, Any]], Any, Any]:
    """Return the named steps before a model, its target's wrapper or None, and it."""
    steps: list[tuple[str, Any]] = []
    target = None
    while True:
        name = type(estimator).__name__
        if isinstance(estimator, BaseSearchCV):
            if not estimator.refit:
                raise UnsupportedModelError(
                    f"{name} with refit=False keeps no best_estimator_. Search with refit=True."
                )
            if not hasattr(estimator, "best_estimator_"):
                raise NotFittedError(f"This {name} is not fitted. Call fit(X, y) before converting.")
            estimator = estimator.best_estimator_
        elif is_pipeline(estimator):
            *front, (_, last) = pipeline_steps(estimator)
            steps += [(f"Pipeline step {key!r}", step) for key, step in front]
            estimator = last
        elif type(estimator) is TransformedTargetRegressor:
            if target is not None:
                raise UnsupportedModelError(
                    "A TransformedTargetRegressor lies inside another one. Use one, with a Pipeline of "
                    "scalers as its transformer."
                )
            if not hasattr(estimator, "regressor_"):
                raise NotFittedError(f"This {name} is not fitted. Call fit(X, y) before converting.")
            target, estimator = estimator, estimator.regressor_
        else:
            return steps, target, estimator


def _prepend_steps(steps: list[tuple[str, Any]], network: Network) -> Network:
    """Put what the steps compute in front of a network."""
    first = first_step([step for _, step in steps])
    if first is None:  # nothing but "passthrough"
        return network
    if network.columns is not None:
        raise UnsupportedModelError(
            f"{network.estimator} behind {type(first).__name__} imputes or encodes columns itself. Put all "
            "these steps into one Pipeline in front of it, and fit again."
        )
    # What has no such number was not fitted, or is of a kind that is refused.
    width = int(getattr(first, "n_features_in_", 0))
    table = _apply(steps, FeatureTable.of_columns(width))
    if _compares(network) or jumps_behind(table):
        table = _apply(steps, FeatureTable.of_columns(width, is_exact=True))
    refuse_text(table, network.estimator)
    if table.width != network.n_features_in:
        raise UnsupportedModelError(
            f"{network.estimator} was fitted on {network.n_features_in} features and is given {table.width} "
            "by the steps before it. Fit the complete pipeline again."
        )
    if network.input is not None:
        table = table.map(network.input.offset, network.input.scale)
    inputs, features = in_order(table)
    fills, accepts = fills_behind(table), accepts_missing(network)
    if fills and network.features:  # a comparison would make a number of NaN
        features = (*features, Finite(network.estimator, False))
    network = _put_in_front(table, features, network)
    if len(network.features) > MOST_STEPS:
        raise UnsupportedModelError(
            f"{network.estimator} has {len(network.features)} steps in front of it that the host computes; "
            f"it can have {MOST_STEPS}. Let one transformer take several columns, where each has its own now."
        )
    names = getattr(first, "feature_names_in_", None)
    by_name = names is not None and type(first) is ColumnTransformer
    return attrs.evolve(
        network,
        columns=inputs.host_columns(width, by_name=by_name, fills=fills, accepts_missing=accepts),
        input=inputs.affine(),
        features_in=len(inputs.columns) if network.features else network.features_in,
        first_step=type(first).__name__,
        feature_names=None if names is None else tuple(str(each) for each in names),
    )


def _apply(steps: list[tuple[str, Any]], table: FeatureTable) -> FeatureTable:
    for where, step in steps:
        table = apply_step(step, table, where)
    return table


def _compares(network: Network) -> bool:
    """Whether the host decides by the network's inputs themselves, where their last bit can count."""
    return not network.layers or takes_rows(network) or any(each.jumps for each in network.features)


def _put_in_front(table: FeatureTable, steps: tuple[Step, ...], network: Network) -> Network:
    """Put steps and a table's matrix in front of a network, whose first layer is the matrix where it can."""
    features, layers, weights, bias = network.features, network.layers, table.weights, table.bias
    if weights is not None and bias is not None:
        if layers and not features and not takes_rows(network):
            layers = (Layer(weights, bias, "identity"), *layers)
        else:
            features = (Dense(weights, bias), *features)
    ranges = table.ranges if table.ranges.known.any() and not features else None
    return attrs.evolve(network, features=(*steps, *features), layers=layers, input_ranges=ranges)

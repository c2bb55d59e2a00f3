"""The fitted scikit-learn estimator of a random network's specification."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from rknn_harness.records.specs.mlp_spec import MlpSpec
from scirknn.arrays import Array, Floats

_LEAST_TRAINING_ROWS = 96


def has_poisson() -> bool:
    """Whether this scikit-learn's MLPRegressor takes ``loss="poisson"`` (1.7 and later)."""
    return "loss" in inspect.signature(MLPRegressor).parameters


def build_estimator(spec: MlpSpec) -> Any:
    """Fit the estimator that `spec` describes.

    A fit of one iteration sets every fitted attribute as scikit-learn does; the weights are then drawn by the
    seed, because those of a random fit are all alike.
    """
    random = np.random.default_rng([spec.seed, 1])
    rows = max(_LEAST_TRAINING_ROWS, 2 * spec.n_outputs)  # every class must occur
    X = random.standard_normal((rows, spec.n_features))
    options: dict[str, Any] = {
        "hidden_layer_sizes": spec.hidden,
        "activation": spec.activation,
        "max_iter": 1,
        "batch_size": rows,
        "random_state": spec.seed % 2**31,
    }
    if spec.task in ("regressor", "poisson"):
        y = random.standard_normal((rows, spec.n_outputs))
        y = np.abs(y) if spec.task == "poisson" else y
        if spec.task == "poisson":
            options["loss"] = "poisson"
        estimator = MLPRegressor(**options)
        target = y[:, 0] if spec.n_outputs == 1 else y
    else:
        estimator = MLPClassifier(**options)
        target = _labels(spec, rows, random)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, target)
    if spec.weight_scale is not None:
        for weights, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True):
            weights[:] = random.standard_normal(weights.shape) * (spec.weight_scale / weights.shape[0] ** 0.5)
            bias[:] = random.standard_normal(bias.shape) * (0.3 * spec.weight_scale)
    _make_odd(spec, estimator)
    estimator.coefs_[0] /= feature_scales(spec)[:, None]
    return estimator


def _make_odd(spec: MlpSpec, estimator: Any) -> None:
    weights, biases = estimator.coefs_, estimator.intercepts_
    if spec.oddity == "dead units" and spec.hidden:
        weights[0][:, ::3] = 0.0
        biases[0][::3] = -1.0
    elif spec.oddity == "constant layer":
        weights[len(weights) // 2][:] = 0.0
    elif spec.oddity == "duplicated outputs" and spec.n_outputs > 1:
        weights[-1][:, 1], biases[-1][1] = weights[-1][:, 0], biases[-1][0]


def feature_scales(spec: MlpSpec) -> Floats:
    """Return the features' scales, shape (n_features,): powers of ten, the first the greatest."""
    scales = 10.0 ** np.random.default_rng([spec.seed, 3]).integers(
        -spec.decades, spec.decades + 1, spec.n_features
    )
    scales[0] = 10.0**spec.decades
    return np.asarray(scales, np.float64)


def build_rows(spec: MlpSpec) -> Floats:
    """Return the rows to predict, shape ``(spec.rows, spec.n_features)``, normal in the features' scales."""
    return _rows(spec, spec.rows, spec.seed)


def build_other_rows(spec: MlpSpec, count: int) -> Floats:
    """Return rows of the same distribution that are not among those to predict, shape (count, n_features)."""
    return _rows(spec, count, spec.seed ^ 1)


def _rows(spec: MlpSpec, count: int, seed: int) -> Floats:
    standard = np.random.default_rng([seed, 2]).standard_normal((count, spec.n_features))
    return np.ascontiguousarray(standard * feature_scales(spec))


def _labels(spec: MlpSpec, rows: int, random: np.random.Generator) -> Array:
    if spec.task == "multilabel":
        target: Array = random.integers(0, 2, (rows, spec.n_outputs))
        target[0], target[1] = 0, 1  # both values in each column
        return target
    classes = 2 if spec.task == "binary" else spec.n_outputs
    numbers = random.permutation(np.arange(rows) % classes)
    names: dict[str, Any] = {
        "string": [f"class {number}" for number in range(classes)],
        "bool": [False, True],
        "int": [10 * number - 5 for number in range(classes)],  # neither from 0 on nor all positive
    }
    labels: Array = np.array(names[spec.labels])[numbers]
    return labels

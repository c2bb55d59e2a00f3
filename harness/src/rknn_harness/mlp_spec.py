"""A random network as plain data, and the fitted scikit-learn estimator it stands for."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import attrs
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = [
    "ACTIVATIONS",
    "LABELS",
    "ODDITIES",
    "TASKS",
    "MlpSpec",
    "build_estimator",
    "build_rows",
    "feature_scales",
    "has_poisson",
]

ACTIVATIONS = ("identity", "relu", "tanh", "logistic")
TASKS = ("softmax", "binary", "multilabel", "regressor", "poisson")
LABELS = ("string", "int", "bool")
ODDITIES = ("", "dead units", "constant layer", "duplicated outputs")

_LEAST_TRAINING_ROWS = 96


@attrs.frozen
class MlpSpec:
    """All that makes a random network; equal specs build equal networks.

    Attributes
    ----------
    n_features : int
    hidden : tuple of int
        Widths of the hidden layers; empty is a linear model.
    activation : {"identity", "relu", "tanh", "logistic"}
    task : {"softmax", "binary", "multilabel", "regressor", "poisson"}
    n_outputs : int
        Classes of a softmax (at least 3), labels of a multilabel (at least 2), columns of a regressor.
    labels : {"string", "int", "bool"}
        Kind of a classifier's classes; bool goes with two classes only.
    weight_scale : float or None
        Weights are drawn from a normal distribution with this standard deviation over the square root of the
        fan-in; None keeps those of the short fit.
    rows : int
        Rows to predict.
    seed : int
    decades : int
        The features' scales are drawn from as many decades on each side of 1; the first layer's weights take
        them back, as those of a network do that was fitted to such features.
    oddity : {"", "dead units", "constant layer", "duplicated outputs"}
        A third of the first hidden layer's units never answers; a layer's weights are all 0; the first two
        outputs are the same.
    """

    n_features: int
    hidden: tuple[int, ...]
    activation: str
    task: str
    n_outputs: int
    labels: str
    weight_scale: float | None
    rows: int
    seed: int
    decades: int = 0
    oddity: str = ""

    def __attrs_post_init__(self) -> None:
        least = {"softmax": 3, "multilabel": 2}.get(self.task, 1)
        wrong = (
            f"activation {self.activation!r}" * (self.activation not in ACTIVATIONS)
            or f"task {self.task!r}" * (self.task not in TASKS)
            or f"labels {self.labels!r}" * (self.labels not in LABELS)
            or f"labels {self.labels!r} with task {self.task!r}"
            * (self.labels == "bool" and self.task != "binary")
            or f"n_outputs {self.n_outputs} with task {self.task!r}" * (self.n_outputs < least)
            or f"n_outputs {self.n_outputs} with task {self.task!r}"
            * (self.task in ("binary", "poisson") and self.n_outputs != 1)
            or f"oddity {self.oddity!r}" * (self.oddity not in ODDITIES)
            or f"{self.decades} decades" * (not 0 <= self.decades <= 6)
            or "a width below 1" * (min((self.n_features, self.rows, *self.hidden)) < 1)
        )
        if wrong:
            raise ValueError(f"No network has {wrong}.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Every width from the features to the outputs."""
        return (self.n_features, *self.hidden, self.n_outputs)

    def document(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        usual = {field.name for field in attrs.fields(MlpSpec) if getattr(self, field.name) == field.default}
        found = attrs.asdict(self, filter=lambda field, value: field.name not in usual)
        return {**found, "hidden": list(self.hidden)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> MlpSpec:
        """Read what `document` wrote."""
        return cls(**{**document, "hidden": tuple(document["hidden"])})


def has_poisson() -> bool:
    """Whether this scikit-learn's MLPRegressor takes ``loss="poisson"`` (1.7 and later)."""
    return "loss" in inspect.signature(MLPRegressor).parameters


def build_estimator(spec: MlpSpec) -> Any:
    """Fit the estimator that `spec` describes.

    The fit is real, so that every fitted attribute is scikit-learn's own, and one iteration short; the
    weights are then set by the seed, because those of a random fit are all alike.

    Returns
    -------
    MLPClassifier or MLPRegressor
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


def feature_scales(spec: MlpSpec) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the features' scales, shape (n_features,): powers of ten, the first the greatest."""
    scales = 10.0 ** np.random.default_rng([spec.seed, 3]).integers(
        -spec.decades, spec.decades + 1, spec.n_features
    )
    scales[0] = 10.0**spec.decades
    return np.asarray(scales, np.float64)


def build_rows(spec: MlpSpec) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the rows to predict, shape ``(spec.rows, spec.n_features)``, normal in the features' scales."""
    standard = np.random.default_rng([spec.seed, 2]).standard_normal((spec.rows, spec.n_features))
    return np.ascontiguousarray(standard * feature_scales(spec))


def _labels(spec: MlpSpec, rows: int, random: np.random.Generator) -> np.ndarray[Any, Any]:
    if spec.task == "multilabel":
        target: np.ndarray[Any, Any] = random.integers(0, 2, (rows, spec.n_outputs))
        target[0], target[1] = 0, 1  # both values in each column
        return target
    classes = 2 if spec.task == "binary" else spec.n_outputs
    numbers = random.permutation(np.arange(rows) % classes)
    names: dict[str, Any] = {
        "string": [f"class {number}" for number in range(classes)],
        "bool": [False, True],
        "int": [10 * number - 5 for number in range(classes)],  # neither from 0 on nor all positive
    }
    labels: np.ndarray[Any, Any] = np.array(names[spec.labels])[numbers]
    return labels

"""Twelve networks made hard on purpose, the same on every machine: stored weights, or drawn with a seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from sklearn.neural_network import MLPClassifier, MLPRegressor

from rknn_harness.models.datasets import fitted
from rknn_harness.verdicts.reference import reference
from tests.converter.fitted_pipelines import quietly_fitted

Rows = npt.NDArray[np.float64]

SHOWN, UNSEEN = 80, 200
"""Rows that a conversion sees, and those that its file is judged on."""


@attrs.frozen(eq=False)
class HardNetwork:
    """A fitted estimator, `SHOWN` rows for its conversion, and `UNSEEN` others of the same kind."""

    estimator: Any
    example: Rows
    unseen: Rows


def _parts(estimator: Any, X: Rows) -> HardNetwork:
    X = X[np.random.default_rng(0).permutation(len(X))]
    return HardNetwork(estimator, X[UNSEEN : UNSEEN + SHOWN], X[:UNSEEN])


def _stored(name: str) -> HardNetwork:
    """Take rows between those that the network was fitted to, where it decides."""
    model = fitted(name)
    random = np.random.default_rng(1)
    first, second = (random.permutation(len(model.X)) for _ in range(2))
    return _parts(model.estimator, (model.X[first] + model.X[second]) / 2)


def _drawn(
    kind: str,
    widths: Sequence[int],
    seed: int,
    *,
    activation: str = "relu",
    gain: float = 1.5,
    last: float | Sequence[float] = 1.0,
    X: Rows | None = None,
) -> HardNetwork:
    """Draw weights of size `gain` over the root of a layer's inputs; `last` times that in the last layer."""
    random = np.random.default_rng(seed)
    n_features, *hidden, outputs = widths
    X = random.normal(size=(600, n_features)) if X is None else X
    options = {"hidden_layer_sizes": hidden, "activation": activation, "max_iter": 1, "random_state": 0}
    if kind == "regressor":
        estimator = quietly_fitted(MLPRegressor(**options), X, random.normal(size=(600, outputs)))
    else:
        classes = max(outputs, 2)
        estimator = quietly_fitted(MLPClassifier(**options), X, np.arange(600) % classes)
    factors = [1.0] * len(hidden) + [last]
    for weights, bias, factor in zip(estimator.coefs_, estimator.intercepts_, factors, strict=True):
        scale = gain / np.sqrt(len(weights)) * np.asarray(factor)
        weights[:] = random.normal(size=weights.shape) * scale
        bias[:] = 0.3 * random.normal(size=bias.shape) * gain * np.asarray(factor)
    if kind == "classifier":
        # So that no class takes all rows.
        estimator.intercepts_[-1] -= np.median(reference(estimator, X).answer.output, axis=0)
    return _parts(estimator, X)


def _near_collinear() -> HardNetwork:
    """Eight features follow two but for 1e-4, and the first layer looks at what is left."""
    random = np.random.default_rng(5)
    X = random.normal(size=(600, 2)) @ random.normal(size=(2, 8)) + 1e-4 * random.normal(size=(600, 8))
    made = _drawn("classifier", (8, 24, 1), 5, X=X, last=30.0)
    _, sizes, directions = np.linalg.svd(X, full_matrices=False)
    left = directions[2:] / (sizes[2:, None] / np.sqrt(len(X)))
    weights = made.estimator.coefs_[0]
    weights[:] = left.T @ random.normal(size=(6, weights.shape[1])) / np.sqrt(6)
    return made


def _outlier_features() -> HardNetwork:
    """A hundredth of the entries are a thousand times as large as the others."""
    random = np.random.default_rng(6)
    X = random.normal(size=(600, 10)) * np.where(random.random((600, 10)) < 0.01, 1000.0, 1.0)
    return _drawn("classifier", (10, 32, 3), 6, X=X, last=4.0)


HARD: Mapping[str, Callable[[], HardNetwork]] = MappingProxyType(
    {
        "unregularised": lambda: _stored("unregularised"),
        "steep": lambda: _stored("steep"),
        "wide_logits": lambda: _stored("wide_logits"),
        "ill_conditioned": lambda: _stored("ill_conditioned"),
        "near_collinear": _near_collinear,
        "outlier_features": _outlier_features,
        "deep_narrow": lambda: _drawn("classifier", (5, *[6] * 8, 3), 7, gain=2.0, last=4.0),
        "large_weights": lambda: _drawn("classifier", (12, 32, 32, 4), 8, gain=8.0),
        "tiny_outputs": lambda: _drawn("regressor", (6, 24, 1), 9, last=1e-7),
        "many_classes": lambda: _drawn("classifier", (20, 64, 60), 10, last=6.0),
        "outputs_of_many_sizes": lambda: _drawn("regressor", (8, 32, 3), 11, last=(1e-5, 1.0, 1e6)),
        "saturating_tanh": lambda: _drawn(
            "classifier", (10, 32, 32, 3), 12, activation="tanh", gain=6.0, last=1.0
        ),
    }
)
"""By name."""

"""The scores that scikit-learn's ``score`` methods return, in numpy."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from scirknn.answers import SCORES
from scirknn.arrays import Array, Floats
from scirknn.bundle.contents import Bundle
from scirknn.errors import InputError
from scirknn.input_checks import check_consistent_length


def score_name(bundle: Bundle) -> str:
    """Return the name of what a model's ``score`` measures; ``"none"`` where it has no such method."""
    return bundle.score or SCORES.get(bundle.task, "none")


def score_of(name: str, y: Any, predictions: Array, sample_weight: Any = None) -> float:
    """Compute a score by its name: ``accuracy``, ``r2`` or ``d2_tweedie(POWER)``."""
    if name == "accuracy":
        return accuracy(y, predictions, sample_weight)
    if name == "r2":
        return r2(y, predictions, sample_weight)
    return d2_tweedie(y, predictions, float(name[len("d2_tweedie(") : -1]), sample_weight)


def check_targets(y: Any, count: int) -> None:
    """Check that `y` has a column for each of several targets, in scikit-learn's words (InputError)."""
    shape = np.shape(y)
    if len(shape) == 1:
        raise InputError(
            "y must have at least two dimensions for multi target classification but has only one"
        )
    if len(shape) > 1 and shape[1] != count:
        raise InputError(f"The number of outputs of Y for fit {count} and score {shape[1]} should be same")


def inertia(distances: Floats, sample_weight: Any = None) -> float:
    """Compute the opposite of k-means' objective of distances from centres, shape (n, n_centres).

    It is ``sklearn.cluster.KMeans.score``: the (weighted) sum of squared distances from the nearest ones.
    """
    nearest = np.square(distances.min(axis=1).astype(np.float64))
    weight = np.ones(len(nearest)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    if weight.ndim == 0:
        weight = np.full(len(nearest), weight)
    if weight.ndim > 1:
        raise InputError("Sample weights must be 1D array or scalar")
    if weight.shape != nearest.shape:
        raise InputError(f"sample_weight.shape == {weight.shape}, expected {nearest.shape}!")
    return -float(nearest @ weight)


def accuracy(y: Any, predictions: Array, sample_weight: Any = None) -> float:
    """Compute the (weighted) share of rows predicted right.

    It is ``sklearn.metrics.accuracy_score``. `y` and `predictions` have shape (n,) or (n, k); other
    shapes are an InputError, and what is no label beside the predictions.
    """
    y, weight = _targets(y, predictions, sample_weight)
    _require_finite(y, "Input y_true")
    if _is_text(y) != _is_text(predictions):
        raise InputError(
            f"Mix of label input types (string and number): y holds {y.flat[0]!r:.60}, predict returns "
            f"{predictions.flat[0]!r:.60}."
        )
    if y.dtype.kind == "f" and y.ndim == 1 and (y % 1).any():
        kind = "multiclass" if len(np.unique(predictions)) > 2 else "binary"
        raise InputError(f"Classification metrics can't handle a mix of continuous and {kind} targets")
    right = y == predictions
    if right.ndim == 2:
        right = right.all(axis=1)
    return float(np.average(right, weights=weight))


def r2(y: Any, predictions: Array, sample_weight: Any = None) -> float:
    """Compute the coefficient of determination.

    It is ``sklearn.metrics.r2_score`` with its defaults. `y` and `predictions` have shape (n,) or (n, k);
    other shapes are an InputError. The mean over outputs; one whose targets are constant counts 1 where
    it is met exactly, else 0.
    """
    y, weight = _targets(y, predictions, sample_weight)
    _require_finite(y, "Input")
    _require_finite(predictions, "Input")  # a row without neighbours has none
    if len(y) < 2:
        warnings.warn("R^2 score is not well-defined with less than two samples.", stacklevel=3)
        return float("nan")
    scores = r2_of_outputs(y.reshape(len(y), -1), predictions.reshape(len(y), -1), weight)
    return float(scores.mean())


def r2_of_outputs(y: Array, predictions: Array, weight: Array | None = None) -> Array:
    """Return each output's R2, of arrays of shape (n, k).

    Where an output's targets are constant it is 1 if they are met exactly, else 0.
    """
    y = np.asarray(y, dtype=np.float64)
    residual = np.average((y - predictions) ** 2, axis=0, weights=weight)
    total = np.average((y - np.average(y, axis=0, weights=weight)) ** 2, axis=0, weights=weight)
    constant = np.where(residual == 0, 1.0, 0.0)
    return np.where(total > 0, 1 - residual / np.where(total > 0, total, 1), constant)


def d2_tweedie(y: Any, predictions: Array, power: float, sample_weight: Any = None) -> float:
    """Compute the share of Tweedie's deviance that is explained.

    It is ``sklearn.metrics.d2_tweedie_score``, which generalized linear models return. `y` and `predictions`
    have shape (n,); `power` is 0 for the normal distribution, 1 for Poisson's and 2 for gamma's. A `y` that
    the distribution cannot give is an InputError.
    """
    y, weight = _targets(y, predictions, sample_weight)
    y, predictions = y.astype(np.float64), np.asarray(predictions, dtype=np.float64)
    least = -np.inf if power <= 0 else 0.0
    outside = ~np.isfinite(y) | (y < least if power < 2 else y <= least)
    if outside.any():
        raise InputError(
            f"Some value(s) of y are out of the valid range of the deviance of power {power:g}: "
            f"{y[outside][0]:g}. Give y as the model was fitted to."
        )
    mean = np.full_like(y, np.average(y, weights=weight))
    explained, total = (
        float(np.average(_deviance(y, each, power), weights=weight)) for each in (predictions, mean)
    )
    return 1 - explained / total if total else float("nan")


def _deviance(y: Floats, mean: Floats, power: float) -> Floats:
    """Return each row's deviance (Jorgensen, The Theory of Dispersion Models, 1997, chapter 4)."""
    if power == 0:
        return (y - mean) ** 2
    if power == 1:
        logarithm = np.log(np.where(y > 0, y / mean, 1.0))
        return 2 * (y * logarithm - y + mean)
    if power == 2:
        return 2 * (np.log(mean / y) + y / mean - 1)
    size = np.maximum(y, 0.0) if power < 0 else y
    two, one = 2 - power, 1 - power
    return 2 * (size**two / (one * two) - y * mean**one / one + mean**two / two)


def _targets(y: Any, predictions: Array, sample_weight: Any) -> tuple[Any, Any]:
    if y is None:
        raise InputError("y is None: a score needs the targets of X's rows.")
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1 and predictions.ndim == 1:
        y = y[:, 0]
    if y.ndim == 1 and predictions.ndim == 2 and predictions.shape[1] == 1:
        y = y[:, None]
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    check_consistent_length(y, predictions, weight)
    if y.shape != predictions.shape:
        raise InputError(f"y has shape {y.shape}, but the predictions have {predictions.shape}.")
    return y, weight


def _require_finite(y: Array, subject: str) -> None:
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        what = "NaN" if np.isnan(y).any() else f"infinity or a value too large for {y.dtype!r}"
        raise InputError(f"{subject} contains {what}.")


def _is_text(labels: Array) -> bool:
    objects = labels.ravel().tolist() if labels.dtype.kind == "O" else []
    return labels.dtype.kind in "UST" or any(isinstance(label, str) for label in objects)

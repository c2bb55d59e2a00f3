"""The two scores that scikit-learn's ``score`` methods return, in numpy."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from scirknn.errors import InputError
from scirknn.input_checks import check_consistent_length

if TYPE_CHECKING:
    from scirknn.arrays import Array

__all__ = ["accuracy", "r2", "r2_of_outputs"]


def accuracy(y: Any, predictions: Array, sample_weight: Any = None) -> float:
    """Compute the (weighted) share of rows predicted right.

    It is ``sklearn.metrics.accuracy_score``. `y` and `predictions` have shape (n,) or (n, k); other
    shapes are an InputError.
    """
    y, weight = _targets(y, predictions, sample_weight)
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


def _targets(y: Any, predictions: Array, sample_weight: Any) -> tuple[Any, Any]:
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == 1 and predictions.ndim == 1:
        y = y[:, 0]
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    check_consistent_length(y, predictions, weight)
    if y.shape != predictions.shape:
        raise InputError(f"y has shape {y.shape}, but the predictions have {predictions.shape}.")
    return y, weight

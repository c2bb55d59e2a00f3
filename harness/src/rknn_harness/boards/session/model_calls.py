"""What a loaded model answers."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from rknn_harness.board_runner import frames

Array = np.ndarray[Any, Any]

__all__ = ["Prediction"]


@attrs.frozen(eq=False)
class Prediction:
    """What a model answered.

    Attributes
    ----------
    output : numpy.ndarray of float32, shape (n, n_outputs)
        The network's output before its head.
    predictions : numpy.ndarray, shape (n,) or (n, n_outputs)
    probabilities : numpy.ndarray or None, shape (n, n_classes)
        None for a regressor.
    """

    output: Array
    predictions: Array
    probabilities: Array | None


def starts_with(whole: Array, rows: Array) -> bool:
    """Whether `whole` begins with `rows`, bit for bit."""
    first = whole[: len(rows)]
    alike = first.dtype == rows.dtype and first.shape == rows.shape
    return alike and len(rows) > 0 and first.tobytes() == rows.tobytes()


def check_rows(X: Any) -> Array:
    """Return X as an array that can be sent, or raise ValueError."""
    rows = np.asarray(X)
    if rows.ndim != 2:
        raise ValueError(f"X has the shape {rows.shape}; it needs rows and columns.")
    if rows.dtype.kind in "OU":
        return frames.carried_table(rows)
    return rows if rows.dtype.str in ("<f4", "<f8", "<i4", "<i8") else rows.astype(np.float64)

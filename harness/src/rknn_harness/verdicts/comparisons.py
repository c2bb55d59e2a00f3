"""Compare two arrays of answers."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from scirknn.arrays import Array, Floats


@attrs.frozen(eq=False)
class ErrorLimit:
    """The largest error of each number, where it comes from, and whose numbers are right."""

    error: Floats
    basis: str
    owner: str = "scikit-learn's"


def beyond_limit(name: str, expected: Array, values: Array, limit: ErrorLimit) -> str | None:
    """Return a sentence where numbers err by more than their limit, or are NaN where they are none."""
    error = np.abs(values - expected)
    over = (error > limit.error) | (np.isnan(values) != np.isnan(expected))
    if not over.any():
        return None
    place = np.unravel_index(np.where(over, error / np.maximum(limit.error, 1e-300), 0).argmax(), error.shape)
    column = f", column {int(place[1])}" if len(place) > 1 else ""
    return (
        f"The {name} of row {int(place[0])}{column} is {values[place]:.6g}, {limit.owner} "
        f"{expected[place]:.6g}: off by {error[place]:.3g}, limit {limit.error[place]:.3g} ({limit.basis}); "
        f"{int(over.any(axis=tuple(range(1, over.ndim))).sum())} of {len(over)} rows are beyond it."
    )


def difference(first: Array, second: Array, whose: str) -> str | None:
    """Return a sentence where the second of two outputs is not the first, bit for bit in float32."""
    if first.shape != second.shape:
        return f"The output has shape {second.shape}, that of {whose} {first.shape}."
    one, two = (np.asarray(part, np.float32) for part in (first, second))
    differ = one.view(np.uint32) != two.view(np.uint32)
    if not differ.any():
        return None
    row = int(np.argwhere(differ)[0, 0])
    return (
        f"The output differs from {whose} in {int(differ.sum())} of {differ.size} numbers, "
        f"first in row {row}, by {np.abs(one - two).max():.3g} at most."
    )


def difference_of_kind(name: str, expected: Array, values: Array) -> str | None:
    """Return a sentence where an answer has another shape or dtype than scikit-learn's."""
    if (values.shape, values.dtype) == (expected.shape, expected.dtype):
        return None
    return (
        f"{name} answers in shape {values.shape} and {values.dtype}, scikit-learn in {expected.shape} and "
        f"{expected.dtype}."
    )


def same_rows(one: Any, two: Any) -> Array:
    """Return which rows of two arrays are equal."""
    return np.asarray(np.equal(one, two).reshape(len(one), -1).all(axis=1))


def finite_or_none(value: Any) -> float | None:
    """Return a finite number, or None."""
    return float(value) if np.isfinite(value) else None


def label_text(label: Any) -> str:
    """Return a label as text."""
    return str(label.tolist() if isinstance(label, np.ndarray) else label)

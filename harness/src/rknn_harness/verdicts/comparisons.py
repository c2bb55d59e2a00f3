"""Compare two arrays of answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from rknn_harness.verdicts.reference import Floats, Reference

__all__ = ["difference"]

_FLAT = 0.01
"""A column that scatters by less, as a share of its largest magnitude, is constant to an integer format."""


def beyond_limit(
    name: str,
    expected: np.ndarray[Any, Any],
    found: np.ndarray[Any, Any],
    limit: Floats,
    basis: str,
    whose: str = "scikit-learn's",
) -> str | None:
    """Return a sentence where numbers err by more than their limit."""
    error = np.abs(found - expected)
    over = error > limit
    if not over.any():
        return None
    place = np.unravel_index(np.where(over, error / np.maximum(limit, 1e-300), 0).argmax(), error.shape)
    column = f", column {int(place[1])}" if len(place) > 1 else ""
    return (
        f"The {name} of row {int(place[0])}{column} is {found[place]:.6g}, {whose} "
        f"{expected[place]:.6g}: off by {error[place]:.3g}, limit {limit[place]:.3g} ({basis}); "
        f"{int(over.any(axis=tuple(range(1, over.ndim))).sum())} of {len(over)} rows are beyond it."
    )


def difference(first: np.ndarray[Any, Any], second: np.ndarray[Any, Any], whose: str) -> str | None:
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


def label_margins(reference: Reference) -> Floats:
    """Return how far each row's label is from another one."""
    probabilities = reference.answer.probabilities
    assert probabilities is not None
    if reference.task == "multilabel":
        margins: Floats = 2 * np.abs(probabilities - 0.5).min(axis=1)
    else:
        top = np.sort(probabilities, axis=1)
        margins = top[:, -1] - top[:, -2]
    return margins


def same_rows(one: Any, two: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which rows of two arrays are equal."""
    same: np.ndarray[Any, np.dtype[np.bool_]] = np.equal(one, two).reshape(len(one), -1).all(axis=1)
    return same


def r2_score(truth: np.ndarray[Any, Any], found: np.ndarray[Any, Any]) -> float | None:
    """Worst column's R2, without those that are as good as constant, where R2 has no meaning."""
    if len(truth) < 2:
        return None
    truth, found = (np.asarray(part, np.float64).reshape(len(truth), -1) for part in (truth, found))
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    varying = np.sqrt(spread / len(truth)) > _FLAT * np.abs(truth).max(axis=0)
    if not varying.any():
        return None
    return finite_or_none((1 - ((truth - found) ** 2).sum(axis=0)[varying] / spread[varying]).min())


def finite_or_none(value: Any) -> float | None:
    """Return a finite number, or None."""
    return float(value) if np.isfinite(value) else None


def label_text(label: Any) -> str:
    """Return a label as text."""
    return str(label.tolist() if isinstance(label, np.ndarray) else label)

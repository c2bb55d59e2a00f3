"""Features of rows: norms, directions and logarithms, which the host computes in front of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scirknn.errors import InputError
from scirknn.steps.step import Step, step

if TYPE_CHECKING:
    from scirknn.arrays import Floats

__all__ = ["Skewed", "SquaredNorms", "UnitRows"]


@step("squared_norms")
@dataclass(frozen=True, eq=False)
class SquaredNorms(Step):
    """Append weighted sums of the columns' squares to the columns.

    Attributes
    ----------
    weights : numpy.ndarray of float64, shape (columns, k)
        Not negative.
    """

    weights: Floats

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or not (self.weights >= 0).all():
            raise ValueError(f"the step 'squared_norms' has shape {self.weights.shape} or what is negative")

    def width(self, columns: int) -> int:
        if columns != len(self.weights):
            raise ValueError(f"the step 'squared_norms' takes {len(self.weights)} columns, not {columns}")
        return columns + int(self.weights.shape[1])

    def apply(self, values: Floats) -> Floats:
        return np.hstack([values, (values * values) @ self.weights])

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.hstack([error, ((2.0 * np.abs(values) + error) * error) @ self.weights])


@step("unit_rows")
@dataclass(frozen=True, eq=False)
class UnitRows(Step):
    """Divide each row by its Euclidean length; a row of zeros stays as it is."""

    def apply(self, values: Floats) -> Floats:
        # By a power of two first, so that no square overflows or underflows.
        largest = np.abs(values).max(axis=1, keepdims=True)
        values = values / 2.0 ** np.floor(np.log2(np.where(largest > 0, largest, 1.0)))
        length = np.linalg.norm(values, axis=1, keepdims=True)
        return np.asarray(values / np.where(length > 0, length, 1.0))

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by twice that of the row, as a share of its length, and by 2."""
        length, moved = (np.linalg.norm(each, axis=1, keepdims=True) for each in (values, error))
        with np.errstate(divide="ignore"):
            bound = np.where(moved > 0, np.minimum(2 * moved / length, 2.0), 0.0)
        return np.broadcast_to(bound, values.shape)


@step("skewed")
@dataclass(frozen=True, eq=False)
class Skewed(Step):
    """Return ``log(x + skewedness)``.

    Attributes
    ----------
    skewedness : float
    """

    skewedness: float

    def apply(self, values: Floats) -> Floats:
        if (values <= -self.skewedness).any():
            raise InputError("X may not contain entries smaller than -skewedness.")
        return np.asarray(np.log(values + self.skewedness))

    def carry(self, values: Floats, error: Floats) -> Floats:
        here = values + self.skewedness
        with np.errstate(divide="ignore"):
            down = np.log(here) - np.log(np.maximum(here - error, 0.0))
        return np.asarray(np.maximum(np.log1p(error / here), down))

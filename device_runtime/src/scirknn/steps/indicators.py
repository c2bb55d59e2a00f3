"""Features of 0 and 1: whether a column is above a threshold, and which category it holds."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats, Ints
from scirknn.errors import InputError
from scirknn.steps.step import Step, step


@step("above")
class Above(Step):
    """Compare columns with thresholds: 1 where ``x > t``, else 0.

    Attributes
    ----------
    columns : numpy.ndarray of int64, shape (k,)
        The column that each comparison takes.
    thresholds : numpy.ndarray of float64, shape (k,)
    """

    jumps = True
    keeps_dtype = True

    columns: Ints
    thresholds: Floats

    def __post_init__(self) -> None:
        if self.columns.ndim != 1 or self.thresholds.shape != self.columns.shape or not self.columns.size:
            raise self.fault(f"has shapes {self.columns.shape} and {self.thresholds.shape}")
        if self.columns.min() < 0:
            raise self.fault(f"takes column {self.columns.min()}")

    def width(self, columns: int) -> int:
        self.require_column(int(self.columns.max()), columns)
        return len(self.columns)

    def apply(self, values: Floats) -> Floats:
        return np.asarray(values[:, self.columns] > self.thresholds.astype(values.dtype), dtype=values.dtype)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Return 1 where a value may lie on the other side of its threshold, else 0."""
        low, high = self.apply(values - error), self.apply(values + error)
        return np.asarray(high != low, dtype=np.float64)


@step("one_hot")
class OneHot(Step):
    """Replace each column by one of 0 and 1 for each of its categories, which are 0, 1, 2 and so on.

    Fractions are cut off, as `sklearn.naive_bayes.CategoricalNB` does.

    Attributes
    ----------
    sizes : tuple of int
        Categories of each column.
    """

    jumps = True
    keeps_dtype = True

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 1:
            raise self.fault(f"has {len(self.sizes)} columns or one without categories")

    def width(self, columns: int) -> int:
        self.require_columns(len(self.sizes), columns)
        return sum(self.sizes)

    def apply(self, values: Floats) -> Floats:
        held = np.trunc(values)
        if (held < 0).any():
            raise InputError("Negative values in data passed to CategoricalNB (input X).")
        beyond = held >= np.array(self.sizes)
        if beyond.any():
            row, column = np.argwhere(beyond)[0]
            raise InputError(
                f"index {held[row, column]:.0f} is out of bounds for axis 1 with size {self.sizes[column]}: "
                f"column {column} held no such category at fit"
            )
        categories = np.concatenate([np.arange(float(size)) for size in self.sizes])
        return np.asarray(self._spread(held) == categories, dtype=values.dtype)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Return 1 for the categories of a column whose value may be cut off otherwise, else 0."""
        differs = np.trunc(values - error) != np.trunc(values + error)
        return self._spread(np.asarray(differs, dtype=np.float64))

    def _spread(self, values: Floats) -> Floats:
        return np.repeat(values, self.sizes, axis=1)

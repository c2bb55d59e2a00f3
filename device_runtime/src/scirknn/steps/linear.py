"""Steps that are linear: constants added, columns chosen or scaled, a small matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scirknn.steps.step import Step, step

if TYPE_CHECKING:
    from scirknn.arrays import Floats

__all__ = ["Columns", "Dense", "Scale", "Shift"]


@step("shift")
@dataclass(frozen=True, eq=False)
class Shift(Step):
    """Add a constant to each column.

    Attributes
    ----------
    offsets : tuple of float
        One for each column.
    """

    offsets: tuple[float, ...]

    def width(self, columns: int) -> int:
        if columns != len(self.offsets):
            raise ValueError(f"the step 'shift' has {len(self.offsets)} offsets for {columns} columns")
        return columns

    def apply(self, values: Floats) -> Floats:
        return np.asarray(values + np.array(self.offsets))

    def carry(self, values: Floats, error: Floats) -> Floats:
        return error


@step("scale")
@dataclass(frozen=True, eq=False)
class Scale(Step):
    """Scale each column: ``(v - offset) * scale``.

    Attributes
    ----------
    offset, scale : numpy.ndarray of float64, shape (columns,)
    """

    offset: Floats
    scale: Floats

    def __post_init__(self) -> None:
        if self.offset.ndim != 1 or self.scale.shape != self.offset.shape:
            raise ValueError(f"the step 'scale' has shapes {self.offset.shape} and {self.scale.shape}")

    def width(self, columns: int) -> int:
        if columns != len(self.scale):
            raise ValueError(f"the step 'scale' has {len(self.scale)} factors for {columns} columns")
        return columns

    def apply(self, values: Floats) -> Floats:
        return np.asarray((values - self.offset) * self.scale)

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.asarray(error * np.abs(self.scale))


@step("columns")
@dataclass(frozen=True, eq=False)
class Columns(Step):
    """Take some neighbouring columns.

    Attributes
    ----------
    start, stop : int
        As of a slice.
    """

    start: int
    stop: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"the step 'columns' takes the columns {self.start} to {self.stop}")

    def width(self, columns: int) -> int:
        if self.stop > columns:
            raise ValueError(f"the step 'columns' takes column {self.stop - 1} of {columns}")
        return self.stop - self.start

    def apply(self, values: Floats) -> Floats:
        return values[:, self.start : self.stop]

    def carry(self, values: Floats, error: Floats) -> Floats:
        return error[:, self.start : self.stop]


@step("dense")
@dataclass(frozen=True, eq=False)
class Dense(Step):
    """Multiply by a matrix and add a bias: ``values @ weights + bias``.

    Attributes
    ----------
    weights : numpy.ndarray of float64, shape (columns, k)
    bias : numpy.ndarray of float64, shape (k,)
    """

    weights: Floats
    bias: Floats

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.bias.shape != self.weights.shape[1:]:
            raise ValueError(f"the step 'dense' has shapes {self.weights.shape} and {self.bias.shape}")

    def width(self, columns: int) -> int:
        if columns != len(self.weights):
            raise ValueError(f"the step 'dense' takes {len(self.weights)} columns, not {columns}")
        return len(self.bias)

    def apply(self, values: Floats) -> Floats:
        return values @ self.weights + self.bias

    def carry(self, values: Floats, error: Floats) -> Floats:
        return error @ np.abs(self.weights)

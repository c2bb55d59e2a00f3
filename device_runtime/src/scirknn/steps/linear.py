"""Steps that are linear: constants added, columns chosen or scaled, a small matrix."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats
from scirknn.steps.step import Step, step

_OPERATIONS = ("subtract", "divide", "multiply", "add")


@step("shift")
class Shift(Step):
    """Add a constant to each column.

    Attributes
    ----------
    offsets : tuple of float
        One for each column.
    """

    offsets: tuple[float, ...]

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.offsets), columns)

    def apply(self, values: Floats) -> Floats:
        return np.asarray(values + np.array(self.offsets))

    def carry(self, values: Floats, error: Floats) -> Floats:
        return error


@step("scale")
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
            raise self.fault(f"has shapes {self.offset.shape} and {self.scale.shape}")

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.scale), columns)

    def apply(self, values: Floats) -> Floats:
        return np.asarray((values - self.offset) * self.scale)

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.asarray(error * np.abs(self.scale))


@step("arithmetic")
class Arithmetic(Step):
    """Compute one operation of each column with its constant, as numpy does in place.

    Several make what a scaler of scikit-learn computes, to the bit for rows of float64 and float32: in its
    order of operations, each rounded to the dtype of the rows. A float64 result that is rounded to float32 is
    that of float32.

    Attributes
    ----------
    operation : {"subtract", "divide", "multiply", "add"}
    operands : numpy.ndarray of float64, shape (columns,)
        Finite; none to divide by is 0.
    are_rounded : bool
        The operands are rounded to the dtype of the rows first.
    """

    keeps_dtype = True

    operation: str
    operands: Floats
    are_rounded: bool = False

    def __post_init__(self) -> None:
        self.require_choice("operation", _OPERATIONS)
        usable = np.isfinite(self.operands) & ((self.operands != 0) | (self.operation != "divide"))
        if self.operands.ndim != 1 or not usable.all():
            raise self.fault(
                f"has operands of shape {self.operands.shape}, or one of no use to {self.operation} by"
            )

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.operands), columns)

    def apply(self, values: Floats) -> Floats:
        operands = self.operands.astype(values.dtype) if self.are_rounded else self.operands
        result: Floats = getattr(np, self.operation)(values, operands)
        return result.astype(values.dtype, copy=False)

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.asarray(error * np.abs(as_affine(self.operation, self.operands)[1]))


def as_affine(operation: str, operands: Floats) -> tuple[Floats, Floats]:
    """Return offset and scale of an operation of `Arithmetic` as ``(v - offset) * scale``."""
    zeros, ones = np.zeros(len(operands)), np.ones(len(operands))
    if operation in ("subtract", "add"):
        return (operands if operation == "subtract" else -operands), ones
    return zeros, (operands if operation == "multiply" else 1.0 / operands)


@step("columns")
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
            raise self.fault(f"takes the columns {self.start} to {self.stop}")

    def width(self, columns: int) -> int:
        self.require_column(self.stop - 1, columns)
        return self.stop - self.start

    def apply(self, values: Floats) -> Floats:
        return values[:, self.start : self.stop]

    def carry(self, values: Floats, error: Floats) -> Floats:
        return error[:, self.start : self.stop]


@step("dense")
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
            raise self.fault(f"has shapes {self.weights.shape} and {self.bias.shape}")

    def width(self, columns: int) -> int:
        self.require_columns(len(self.weights), columns)
        return len(self.bias)

    def apply(self, values: Floats) -> Floats:
        return values @ self.weights + self.bias

    def carry(self, values: Floats, error: Floats) -> Floats:
        return error @ np.abs(self.weights)

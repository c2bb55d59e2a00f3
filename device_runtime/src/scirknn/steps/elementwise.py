"""Functions of single numbers: numpy's by name, limits, and the power transforms."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats
from scirknn.errors import InputError
from scirknn.steps.step import Monotonic, step

FUNCTIONS = (
    "absolute", "arcsinh", "cbrt", "exp", "exp2", "expm1", "log", "log10", "log1p", "log2", "negative",
    "reciprocal", "sign", "sinh", "sqrt", "square", "tanh",
)  # fmt: skip
"""numpy's functions of one number that a bundle may name."""

METHODS = ("yeo-johnson", "box-cox")


@step("elementwise")
class Elementwise(Monotonic):
    """Compute one of numpy's functions of each number.

    Attributes
    ----------
    function : str
        One of `FUNCTIONS`.
    """

    function: str

    def __post_init__(self) -> None:
        self.require_choice("function", FUNCTIONS)

    @property
    def jumps(self) -> bool:
        return self.function == "sign"

    def apply(self, values: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.asarray(getattr(np, self.function)(values))

    def carry(self, values: Floats, error: Floats) -> Floats:
        if self.function == "absolute":
            return error
        if self.function == "square":
            return (2.0 * np.abs(values) + error) * error
        bound = super().carry(values, error)
        if self.function == "reciprocal":
            return np.where(np.abs(values) > error, bound, np.inf)
        return bound


@step("clip")
class Clip(Monotonic):
    """Cut values off at a lower and an upper limit.

    Attributes
    ----------
    low, high : float
    """

    keeps_dtype = True

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise self.fault(f"has the limits {self.low} and {self.high}")

    def apply(self, values: Floats) -> Floats:
        return np.clip(values, self.low, self.high)


@step("power")
class Power(Monotonic):
    """Compute a power transform of each column, or its inverse.

    The formulas are those of `sklearn.preprocessing.PowerTransformer` (Yeo and Johnson 2000; Box and Cox
    1964) as scipy computes them.

    Attributes
    ----------
    method : {"yeo-johnson", "box-cox"}
    lambdas : tuple of float
        One for each column.
    inverse : bool
    """

    method: str
    lambdas: tuple[float, ...]
    inverse: bool

    def __post_init__(self) -> None:
        self.require_choice("method", METHODS)

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.lambdas), columns)

    def apply(self, values: Floats) -> Floats:
        if self.method == "box-cox" and not self.inverse and (values <= 0).any():
            raise InputError("The Box-Cox transformation can only be applied to strictly positive data")
        with np.errstate(all="ignore"):
            return self._compute(values)

    def carry(self, values: Floats, error: Floats) -> Floats:
        if self.method == "box-cox" and not self.inverse:
            is_near = values <= error
            return np.where(is_near, np.inf, super().carry(values, np.where(is_near, 0.0, error)))
        return super().carry(values, error)

    def _compute(self, values: Floats) -> Floats:
        powers = np.array(self.lambdas)
        if self.method == "box-cox":
            return _box_cox_inverse(values, powers) if self.inverse else _of_logarithm(np.log(values), powers)
        # Of negative numbers it is that of their size, with the power 2 - lambda.
        side = np.where(values < 0, -1.0, 1.0)
        powers, sizes = np.where(values < 0, 2.0 - powers, powers), np.abs(values)
        if self.inverse:
            is_zero = np.abs(powers) <= np.spacing(1.0)
            unit = np.where(is_zero, 1.0, powers)
            return side * np.where(is_zero, np.expm1(sizes), (sizes * unit + 1.0) ** (1.0 / unit) - 1.0)
        return side * _of_logarithm(np.log1p(sizes), powers)


def _of_logarithm(logarithm: Floats, powers: Floats) -> Floats:
    """Return ``(exp(powers * logarithm) - 1) / powers``, and its limit where a power is 0."""
    is_zero = np.abs(powers) < np.spacing(1.0)
    unit = np.where(is_zero, 1.0, powers)
    return np.where(is_zero, logarithm, np.expm1(unit * logarithm) / unit)


def _box_cox_inverse(values: Floats, powers: Floats) -> Floats:
    unit = np.where(powers == 0, 1.0, powers)
    return np.exp(np.where(powers == 0, values, np.log1p(unit * values) / unit))

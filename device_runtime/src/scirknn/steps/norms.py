"""Features of rows: norms, directions and logarithms, which the host computes in front of the network."""

from __future__ import annotations

from typing import Callable, Mapping

import numpy as np

from scirknn.arrays import Floats
from scirknn.errors import InputError
from scirknn.steps.step import Step, step


@step("squared_norms")
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
            raise self.fault(f"has shape {self.weights.shape} or what is negative")

    def width(self, columns: int) -> int:
        self.require_columns(len(self.weights), columns)
        return columns + int(self.weights.shape[1])

    def apply(self, values: Floats) -> Floats:
        return np.hstack([values, (values * values) @ self.weights])

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.hstack([error, ((2.0 * np.abs(values) + error) * error) @ self.weights])


_NORMS: Mapping[str, Callable[[Floats], Floats]] = {
    "l1": lambda values: np.abs(values).sum(axis=1, keepdims=True),
    "l2": lambda values: np.linalg.norm(values, axis=1, keepdims=True),
    "max": lambda values: np.abs(values).max(axis=1, keepdims=True),
}


@step("unit_rows")
class UnitRows(Step):
    """Divide each row by its norm; a row of zeros stays as it is.

    Attributes
    ----------
    norm : {"l1", "l2", "max"}
        The sum of its sizes, its Euclidean length, or the largest size.
    """

    norm: str = "l2"

    def __post_init__(self) -> None:
        self.require_choice("norm", tuple(_NORMS))

    def apply(self, values: Floats) -> Floats:
        # By a power of two first, so that no square overflows or underflows.
        largest = _NORMS["max"](values)
        values = values / 2.0 ** np.floor(np.log2(np.where(largest > 0, largest, 1.0)))
        size = _NORMS[self.norm](values)
        return np.asarray(values / np.where(size > 0, size, 1.0))

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by twice that of the row, as a share of its norm, and by 2."""
        size, moved = (_NORMS[self.norm](each) for each in (values, error))
        with np.errstate(divide="ignore"):
            bound = np.where(moved > 0, np.minimum(2 * moved / size, 2.0), 0.0)
        return np.broadcast_to(bound, values.shape)


@step("chi_squared")
class ChiSquared(Step):
    """Sample the Fourier transform of the additive chi-squared kernel.

    Vedaldi and Zisserman 2011, Efficient additive kernels via explicit feature maps; as
    `sklearn.kernel_approximation.AdditiveChi2Sampler` computes it.

    Attributes
    ----------
    samples : int
        The features are ``2 * samples - 1`` for each column: all columns' first, then all their second.
    interval : float
    """

    samples: int
    interval: float

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 1 << 16 or not self.interval > 0:
            raise self.fault(f"has {self.samples} samples at {self.interval}")

    def width(self, columns: int) -> int:
        return columns * (2 * self.samples - 1)

    def apply(self, values: Floats) -> Floats:
        if (values < 0).any():
            raise InputError("Negative values in data passed to X in AdditiveChi2Sampler.")
        logarithm = self.interval * np.log(np.where(values > 0, values, 1.0))
        parts = [np.sqrt(values * self.interval)]
        for place in range(1, self.samples):
            factor = np.sqrt(2.0 * values * self.interval / np.cosh(np.pi * place * self.interval))
            parts += [factor * np.cos(place * logarithm), factor * np.sin(place * logarithm)]
        return np.hstack(parts)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by that of the factor, and of the angle as far as the factor reaches."""
        low = np.maximum(values - error, 0.0)
        root = np.maximum(np.sqrt(values + error) - np.sqrt(values), np.sqrt(values) - np.sqrt(low))
        with np.errstate(divide="ignore", invalid="ignore"):
            turn = np.where(low > 0, np.log(values + error) - np.log(low), np.inf)
        parts = [root * np.sqrt(self.interval)]
        for place in range(1, self.samples):
            unit = np.sqrt(2.0 * self.interval / np.cosh(np.pi * place * self.interval))
            angle = np.minimum(place * self.interval * turn, 2.0)
            parts += 2 * [unit * (root + np.sqrt(values + error) * angle)]
        return np.where(np.tile(error, 2 * self.samples - 1) > 0, np.hstack(parts), 0.0)


@step("skewed")
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

"""Calibration: curves from a model's scores to probabilities."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats, Ints
from scirknn.steps.activations import activate
from scirknn.steps.step import OWN_ROUNDING, Monotonic, step


@step("sigmoids")
class Sigmoids(Monotonic):
    """Platt's curves, ``1 / (1 + exp(slope * v + offset))`` for each column.

    Platt, Probabilistic outputs for support vector machines, 1999.

    Attributes
    ----------
    slopes, offsets : numpy.ndarray of float64, shape (columns,)
    """

    slopes: Floats
    offsets: Floats

    def __post_init__(self) -> None:
        if self.slopes.ndim != 1 or self.slopes.shape != self.offsets.shape:
            raise self.fault(f"has shapes {self.slopes.shape} and {self.offsets.shape}")

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.slopes), columns)

    def apply(self, values: Floats) -> Floats:
        return activate("logistic", -(values * self.slopes + self.offsets))


@step("curves")
class Curves(Monotonic):
    """Isotonic regressions: for each column a curve that does not fall, straight between its points.

    Outside its points it goes on at the height of the nearest.

    Attributes
    ----------
    points, heights : numpy.ndarray of float64, shape (sum of sizes,)
        One curve after the other; neither falls within a curve.
    sizes : numpy.ndarray of int64, shape (columns,)
        Points of each curve, at least 1.
    """

    points: Floats
    heights: Floats
    sizes: Ints

    def __post_init__(self) -> None:
        count = len(self.points) if self.points.ndim == 1 else -1
        is_sized = self.sizes.ndim == 1 and self.sizes.size and self.sizes.min() >= 1
        if self.heights.shape != (count,) or not is_sized or self.sizes.sum() != count:
            raise self.fault(
                f"has shapes {self.points.shape} and {self.heights.shape} for sizes "
                f"{self.sizes.tolist()!r:.60}"
            )
        if any(
            (np.diff(points) < 0).any() or (np.diff(heights) < 0).any() for points, heights in self._curves()
        ):
            raise self.fault("has a curve that falls")

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.sizes), columns)

    def apply(self, values: Floats) -> Floats:
        columns = zip(values.T, self._curves())
        return np.stack([np.interp(column, *curve) for column, curve in columns], axis=1)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by both ends; pieces as narrow as the own rounding of a value are steps."""
        return super().carry(values, error + OWN_ROUNDING * np.abs(values))

    def _curves(self) -> list[tuple[Floats, Floats]]:
        ends = np.cumsum(self.sizes)[:-1]
        return list(zip(np.split(self.points, ends), np.split(self.heights, ends)))


@step("float32")
class Float32(Monotonic):
    """Round to float32, as scikit-learn does around a curve that was fitted in it."""

    def apply(self, values: Floats) -> Floats:
        return values.astype(np.float32).astype(np.float64)


@step("logarithm")
class Logarithm(Monotonic):
    """Return ``log(v + shift)`` of values that are not negative.

    Attributes
    ----------
    shift : float
        More than 0.
    """

    shift: float

    def __post_init__(self) -> None:
        if not self.shift > 0:
            raise self.fault(f"has the shift {self.shift}")

    def apply(self, values: Floats) -> Floats:
        return np.asarray(np.log(np.maximum(values, 0.0) + self.shift))

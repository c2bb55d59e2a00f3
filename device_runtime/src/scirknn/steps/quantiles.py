"""Features that follow from where a value lies among those of fit: quantiles and bins."""

from __future__ import annotations

import math

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.steps.step import Monotonic, step

_THRESHOLD = 1e-7
"""``BOUNDS_THRESHOLD`` of scikit-learn: how near to the ends of a normal distribution a value may come."""


@step("quantiles")
class Quantiles(Monotonic):
    """Map each column to a uniform or normal distribution by its quantiles, or back.

    The formulas are those of `sklearn.preprocessing.QuantileTransformer`.

    Attributes
    ----------
    quantiles : numpy.ndarray of float64, shape (n, columns)
        Ascending, at n equal steps from 0 to 1.
    normal : bool
        The distribution is normal, not uniform.
    inverse : bool
    """

    keeps_dtype = True  # in float32 an end at 2 or more is none: 1e-7 is lost in it

    quantiles: Floats
    normal: bool
    inverse: bool

    def __post_init__(self) -> None:
        quantiles = self.quantiles
        if quantiles.ndim != 2 or not quantiles.size or not (quantiles[1:] >= quantiles[:-1]).all():
            raise self.fault(f"has shape {quantiles.shape} or is not ascending")

    def width(self, columns: int) -> int:
        return self.require_columns(self.quantiles.shape[1], columns)

    def apply(self, values: Floats) -> Floats:
        compute = self._inverse if self.inverse else self._forward
        columns = [compute(column, own) for column, own in zip(values.T, self.quantiles.T)]
        return np.stack(columns, axis=1).astype(values.dtype, copy=False)

    def _forward(self, values: Floats, quantiles: Floats) -> Floats:
        references = np.linspace(0.0, 1.0, len(quantiles))
        # The mean over both directions: they differ where quantiles repeat.
        places = 0.5 * (
            np.interp(values, quantiles, references) - np.interp(-values, -quantiles[::-1], -references[::-1])
        )
        is_low, is_high = self._at_ends(values, quantiles[0], quantiles[-1])
        places = np.where(is_low, 0.0, np.where(is_high, 1.0, places)).astype(values.dtype, copy=False)
        return _normal_quantiles(places) if self.normal else places

    def _inverse(self, values: Floats, quantiles: Floats) -> Floats:
        places = _normal_places(values) if self.normal else values
        references = np.linspace(0.0, 1.0, len(quantiles))
        is_low, is_high = self._at_ends(places, 0.0, 1.0)
        inside = np.interp(places, references, quantiles)
        return np.where(is_low, quantiles[0], np.where(is_high, quantiles[-1], inside))

    def _at_ends(self, values: Floats, low: float, high: float) -> tuple[Array, Array]:
        if self.normal:
            return values - _THRESHOLD < low, values + _THRESHOLD > high
        return values == low, values == high


@step("bins")
class Bins(Monotonic):
    """Count the edges of each column that a value has reached: the number of its bin.

    Attributes
    ----------
    edges : numpy.ndarray of float64, shape (total,)
        Those of all columns one after the other, each column's ascending.
    counts : tuple of int
        Edges of each column.
    """

    jumps = True
    keeps_dtype = True

    edges: Floats
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.counts or min(self.counts) < 0 or self.edges.shape != (sum(self.counts),):
            raise self.fault(f"has {self.edges.shape} edges for {len(self.counts)} columns")

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.counts), columns)

    def apply(self, values: Floats) -> Floats:
        ends = np.cumsum(self.counts)
        edges = [self.edges[end - count : end] for end, count in zip(ends, self.counts)]
        columns = [np.searchsorted(own, column, side="right") for own, column in zip(edges, values.T)]
        return np.stack(columns, axis=1).astype(values.dtype)


def _normal_quantiles(places: Floats) -> Floats:
    """Return the normal distribution's quantiles, between those of `_THRESHOLD` at both ends."""
    from statistics import NormalDist

    nearest = _THRESHOLD - np.spacing(1.0)
    inside = np.clip(places, nearest, 1.0 - nearest)
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        return np.asarray(np.frompyfunc(NormalDist().inv_cdf, 1, 1)(inside), dtype=np.float64)


def _normal_places(values: Floats) -> Floats:
    """Return the normal distribution's function of values."""
    return 0.5 * np.asarray(np.frompyfunc(math.erfc, 1, 1)(values * -math.sqrt(0.5)), dtype=np.float64)

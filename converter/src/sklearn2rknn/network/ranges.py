"""The range of each column of a tensor, and how it is known."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats


@attrs.frozen(eq=False)
class Ranges:
    """Ranges of columns.

    Attributes
    ----------
    low, high : numpy.ndarray of float64, shape (n,)
        Infinite where nothing is known.
    origins : tuple of str
        What each is known from, such as ``"StandardScaler"``; empty where nothing is.
    """

    low: Floats
    high: Floats
    origins: tuple[str, ...]

    @classmethod
    def unknown(cls, width: int) -> Ranges:
        """Return the ranges of columns that nothing is known of."""
        return cls(np.full(width, -np.inf), np.full(width, np.inf), ("",) * width)

    @classmethod
    def concatenate(cls, ranges: Sequence[Ranges]) -> Ranges:
        """Return the ranges of several tables' columns, side by side."""
        none = cls.unknown(0)  # a table may be left with no columns
        return cls(
            np.concatenate([none.low, *(each.low for each in ranges)]),
            np.concatenate([none.high, *(each.high for each in ranges)]),
            tuple(origin for each in ranges for origin in each.origins),
        )

    @property
    def largest(self) -> Floats:
        """The largest magnitude of each column."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which columns have a range."""
        return np.isfinite(self.low) & np.isfinite(self.high)

    @property
    def origin(self) -> str:
        """What they are known from, together; empty where a column's range is not known."""
        return ", ".join(dict.fromkeys(self.origins)) if self.known.all() else ""

    def select(self, indices: Sequence[int]) -> Ranges:
        """Return those of the columns at `indices`."""
        chosen = list(indices)
        return Ranges(self.low[chosen], self.high[chosen], tuple(self.origins[index] for index in chosen))

    def map(self, offset: Floats, scale: Floats) -> Ranges:
        """Return those of ``(v - offset) * scale``."""
        ends = np.stack([(self.low - offset) * scale, (self.high - offset) * scale])
        return attrs.evolve(self, low=ends.min(axis=0), high=ends.max(axis=0))

    def intersect(self, low: Floats, high: Floats, origin: str) -> Ranges:
        """Return the narrower one of each known range and ``low`` to ``high``."""
        with np.errstate(invalid="ignore"):
            better = np.isfinite(low) & np.isfinite(high) & ~(high - low >= self.high - self.low)
        return Ranges(
            np.where(better, low, self.low),
            np.where(better, high, self.high),
            tuple(origin if each else old for each, old in zip(better.tolist(), self.origins, strict=True)),
        )

    def include(self, value: float) -> Ranges:
        """Return ranges that hold a value too."""
        return attrs.evolve(self, low=np.minimum(self.low, value), high=np.maximum(self.high, value))


def sample_bounds(
    mean: npt.ArrayLike, variance: npt.ArrayLike, count: npt.ArrayLike
) -> tuple[Floats, Floats]:
    r"""Return bounds on samples whose mean and variance are known.

    None of *n* numbers is farther from their mean than :math:`\sigma\sqrt{n - 1}` (Samuelson 1968, How
    deviant can you be?), with the variance over *n*.
    """
    centre = np.asarray(mean, dtype=np.float64)
    reach = np.sqrt(np.asarray(variance, np.float64) * np.maximum(np.asarray(count, np.float64) - 1.0, 0.0))
    return centre - reach, centre + reach

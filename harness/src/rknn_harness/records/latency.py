"""Summaries of timed calls."""

from __future__ import annotations

import attrs
import numpy as np
from scipy.stats import median_abs_deviation

from scirknn.arrays import Array

_TAIL = 10
"""Samples that must lie above a percentile for it to be reported: p99 needs 1,000, p90 100, p50 20."""

_UNSTABLE = 0.05  # MAD over median, as pyperf warns of


@attrs.frozen
class Latency:
    """Seconds of one call, without the warm-up.

    Attributes
    ----------
    rows : int
        Rows that each call predicts.
    count : int
        Timed calls.
    warmup : int
        Calls before them that were not counted.
    p50, p90, p99 : float or None
        None when fewer than 10 samples lie above.
    least, greatest : float
    mad : float
        Median absolute deviation from the median.
    unstable : bool
        The MAD is more than 5 % of the median: compare such a number with care.
    """

    rows: int
    count: int
    warmup: int
    p50: float | None
    p90: float | None
    p99: float | None
    least: float
    greatest: float
    mad: float
    unstable: bool


def summarize(samples: Array, *, rows: int, warmup: int) -> Latency:
    """Summarize timed calls.

    Parameters
    ----------
    samples : numpy.ndarray of float64, shape (count,)
        Seconds.
    rows, warmup : int
        See `Latency`.

    Raises
    ------
    ValueError
        No sample, or one that is negative or not finite.
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all() or samples.min() < 0:
        raise ValueError("Latency needs at least one sample, each finite and not negative.")
    median, mad = float(np.median(samples)), float(median_abs_deviation(samples))

    def percentile(share: float) -> float | None:
        # Rounded: 1,000 * (1 - 0.99) is a little below 10 in binary.
        enough = round(len(samples) * (1 - share), 6) >= _TAIL
        return float(np.quantile(samples, share)) if enough else None

    return Latency(
        rows=rows,
        count=len(samples),
        warmup=warmup,
        p50=percentile(0.50),
        p90=percentile(0.90),
        p99=percentile(0.99),
        least=float(samples.min()),
        greatest=float(samples.max()),
        mad=mad,
        unstable=median > 0 and mad / median > _UNSTABLE,
    )

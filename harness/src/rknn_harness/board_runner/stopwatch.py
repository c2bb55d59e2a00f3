"""Raw times of a call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

__all__ = ["sample"]

COUNT_LIMIT = 1_000_000
"""Samples of one answer, 8 MB of them."""


def sample(
    call: Callable[[], object],
    *,
    warmup: float,
    min_count: float,
    min_seconds: float,
    max_seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Array:
    """Time `call` until both bounds hold, as MLPerf's load generator does, or until the time is up.

    Parameters
    ----------
    call : callable
    warmup : int
        Calls made first and not counted; they end early when `max_seconds` has passed.
    min_count : int
    min_seconds : float
        Both hold before sampling ends,
    max_seconds : float
        unless this many seconds, warm-up included, have passed. One sample is always taken.
    clock : callable
        Seconds.

    Returns
    -------
    numpy.ndarray of float64, shape (n,)
        Seconds of each call, in order.
    """
    begin = clock()
    done = 0
    while done < warmup and clock() - begin < max_seconds:
        call()
        done += 1
    first = clock()
    samples = []
    while True:
        start = clock()
        call()
        end = clock()
        samples.append(end - start)
        enough = len(samples) >= min_count and end - first >= min_seconds
        if enough or end - begin >= max_seconds or len(samples) >= COUNT_LIMIT:
            return np.array(samples, dtype="<f8")

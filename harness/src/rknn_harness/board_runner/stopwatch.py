"""Raw times of a call."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

import numpy as np

from scirknn.arrays import Array

_MAX_SAMPLES = 1_000_000  # of one answer, 8 MB of them


@dataclass(frozen=True)
class SamplingBounds:
    """How long calls are timed: until both minima are reached, or the maximum.

    Attributes
    ----------
    warmup : int
        Calls made first and not counted.
    min_count : int
    min_seconds : float
    max_seconds : float
        Warm-up included.
    """

    warmup: int = 5
    min_count: int = 200
    min_seconds: float = 2.0
    max_seconds: float = 20.0


DEFAULT_BOUNDS = SamplingBounds()


def sample(
    call: Callable[[], object], bounds: SamplingBounds, clock: Callable[[], float] = time.perf_counter
) -> Array:
    """Time a call within bounds, as MLPerf's load generator does; at least once.

    Returns the seconds of each call, in order, as float64.
    """
    begin = clock()
    done = 0
    while done < bounds.warmup and clock() - begin < bounds.max_seconds:
        call()
        done += 1
    first = clock()
    samples = []
    while True:
        start = clock()
        call()
        end = clock()
        samples.append(end - start)
        enough = len(samples) >= bounds.min_count and end - first >= bounds.min_seconds
        if enough or end - begin >= bounds.max_seconds or len(samples) >= _MAX_SAMPLES:
            return np.array(samples, dtype="<f8")

"""When sampling ends, on a clock of the tests' own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rknn_harness.board_runner.stopwatch import SamplingBounds, sample

# Eighths of a second are exact in binary, so that sums of them compare exactly.
EIGHTHS = st.integers(0, 400).map(lambda n: n / 8)


class Clock:
    """Stands still but while a call runs."""

    def __init__(self, step: float) -> None:
        self.now, self.step, self.calls = 1000.0, step, 0

    def __call__(self) -> float:
        return self.now

    def call(self) -> None:
        self.calls += 1
        self.now += self.step


@given(st.integers(1, 40).map(lambda n: n / 8), st.integers(0, 9), st.integers(0, 50), EIGHTHS, EIGHTHS)
def test_both_bounds_hold_or_the_time_is_up(
    step: float, warmup: int, min_count: int, min_seconds: float, max_seconds: float
) -> None:
    clock = Clock(step)
    samples = sample(clock.call, SamplingBounds(warmup, min_count, min_seconds, max_seconds), clock)
    assert np.array_equal(samples, np.full(len(samples), step))
    assert len(samples) >= 1
    elapsed = clock.calls * step
    if elapsed < max_seconds:
        assert clock.calls == warmup + len(samples)
        assert len(samples) >= min_count
        assert len(samples) * step >= min_seconds
        # and not one more than was needed
        assert len(samples) == 1 or len(samples) - 1 < min_count or (len(samples) - 1) * step < min_seconds
    else:
        # Past the time, no more than one warm-up call and one sample were under way.
        assert elapsed < max_seconds + 2 * step or clock.calls == 1

"""Percentiles are told when there are samples enough for them."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_harness.records.latency import summarize


@pytest.mark.parametrize(
    ("count", "told"),
    [(1, ""), (19, ""), (20, "p50"), (99, "p50"), (100, "p50 p90"), (999, "p50 p90"), (1000, "p50 p90 p99")],
)
def test_a_percentile_needs_ten_samples_above_it(count: int, told: str) -> None:
    found = summarize(np.arange(1.0, count + 1), rows=8, warmup=5)
    assert [name for name in ("p50", "p90", "p99") if getattr(found, name) is not None] == told.split()
    assert (found.rows, found.count, found.warmup) == (8, count, 5)
    assert (found.least, found.greatest) == (1, count)


def test_values() -> None:
    samples = np.random.default_rng(0).permutation(np.arange(1, 1001) * 1e-3)
    found = summarize(samples, rows=1, warmup=0)
    assert found.p50 == pytest.approx(0.5005)
    assert found.p90 == pytest.approx(0.9001)
    assert found.p99 == pytest.approx(0.99001)
    assert found.mad == pytest.approx(0.25)
    assert found.unstable
    assert not summarize(np.full(30, 2.0), rows=1, warmup=0).unstable


@pytest.mark.parametrize("samples", [[], [-1.0], [np.nan], [[1.0]]])
def test_no_such_samples(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        summarize(np.array(samples), rows=1, warmup=0)

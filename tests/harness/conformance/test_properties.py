"""Limits of the properties that take more than one answer: what is just within passes, what is not fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rknn_harness.conformance.properties import (
    batch_latency,
    digest_reproducible,
    latency_baseline,
    output_step,
    rows_independent,
    within_twice_the_bound,
)
from rknn_harness.records.latency import Latency, summarize
from rknn_harness.verdicts.lane_events import BitComparison
from scirknn.arrays import Array
from scirknn.bundle import Affine
from tests.virtual_npu.rknn_writer import small
from virtual_npu import content_digest, read

TOLERANCE = 1e-9


def times(seconds: float, *, rows: int = 1, spread: float = 0.0, count: int = 101) -> Latency:
    """Summarize calls that take so long, half of them `spread` more or less."""
    return summarize(seconds + spread * np.linspace(-2, 2, count), rows=rows, warmup=0)


def test_simulator_and_virtual_npu_may_lie_two_bounds_apart() -> None:
    simulated, bounds = np.zeros((3, 2)), np.full((3, 2), 0.5)
    executed = np.zeros((3, 2))
    executed[2, 1] = -1.0
    assert within_twice_the_bound(simulated, executed, bounds) is None
    executed[2, 1] -= TOLERANCE
    error = within_twice_the_bound(simulated, executed, bounds)
    assert error is not None
    assert error.startswith("Simulator and virtual NPU differ in row 2, column 1 by 1: more than twice")


def test_a_batch_takes_no_more_than_its_rows_alone_and_a_tenth() -> None:
    assert batch_latency(times(8 * 1.1 - TOLERANCE, rows=8), times(1.0)) is None
    error = batch_latency(times(8 * 1.1 + TOLERANCE, rows=8), times(1.0))
    assert error is not None
    assert error.startswith("A call of 8 rows takes 8.8 s at least")


@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_a_call_takes_a_quarter_more_than_it_did_and_what_both_scatter(spread: float) -> None:
    before = times(1.0, spread=spread)
    assert before.mad == pytest.approx(spread)
    limit = 1.25 + 3 * (spread + spread)
    assert latency_baseline(times(limit - TOLERANCE, spread=spread), before) is None
    error = latency_baseline(times(limit + TOLERANCE, spread=spread), before)
    assert error is not None
    assert "more than 1.25 times as long" in error
    assert latency_baseline(times(9.0, count=5), before) is None, "no median of so few"


def test_a_step_is_the_spacing_of_the_largest_output_in_its_units() -> None:
    bundle: Any = SimpleNamespace(precision="float16", output=Affine(np.zeros(2), np.array([-2.0, 0.5])))
    output = np.array([[3.0, 1.0], [-1.0, -1e6]])
    # 1.5 as it is stored has steps of 2^-10; float16 ends at 65504, in steps of 32.
    np.testing.assert_array_equal(output_step(bundle, output, ()), [2 * 2.0**-10, 0.5 * 32])
    bundle.precision = "int8"
    files: Any = [SimpleNamespace(outputs=[SimpleNamespace(scale=scale)]) for scale in (0.1, 0.3)]
    np.testing.assert_allclose(output_step(bundle, output, files), [0.6, 0.15])


@pytest.mark.parametrize(
    ("changed", "whose"),
    [("", ""), ("reversed", "the same rows in reverse order"), ("alone", "the row among others")],
)
def test_rows_in_reverse_order_and_one_alone_are_answered_alike(changed: str, whose: str) -> None:
    output = np.arange(10, dtype=np.float32).reshape(5, 2)
    again: dict[str, Array] = {"reversed": output[::-1].copy(), "alone": output[2:3].copy()}
    if changed:
        again[changed][0, 1] += 1
    error = rows_independent(BitComparison(), np.zeros((5, 3)), output, again).error
    assert bool(error) == bool(changed)
    assert whose in (error or "")


def test_another_content_is_another_digest() -> None:
    digest = content_digest(read(small()))
    assert digest_reproducible(digest, small()) is None
    error = digest_reproducible(digest, small("int8"))
    assert error is not None
    assert error.startswith(f"The content's digest is {digest[:16]}, of a second build ")

"""How much of what it may be a stage's answer is."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from rknn_harness.records.stage_metrics import StageLimits, StageMetrics

LIMITS = StageLimits(probability=0.002, r2=0.9994)
METRICS = StageMetrics(
    rows=9,
    output_error=0.2,
    output_size=4.0,
    output_share=0.6,
    probability_error=0.001,
    agreement=1.0,
    r2=0.99955,
    basis="",
    limits=LIMITS,
)


@pytest.mark.parametrize(
    ("changes", "of_tolerances", "of_all"),
    [
        ({}, 0.75, 0.75),
        ({"r2": None}, 0.5, 0.6),
        ({"probability_error": None}, 0.75, 0.75),
        ({"probability_error": 0.005}, 2.5, 2.5),
        ({"limits": attrs.evolve(LIMITS, r2=1.0)}, 0.5, 0.6),
        ({"limits": attrs.evolve(LIMITS, probability=None)}, 0.75, 0.75),
        ({"limits": None}, None, 0.6),
        ({"output_share": None}, 0.75, 0.75),
        ({"output_share": None, "limits": None}, None, None),
    ],
)
def test_the_largest_share_of_what_is_allowed_counts(
    changes: dict[str, Any], of_tolerances: float | None, of_all: float | None
) -> None:
    metrics = attrs.evolve(METRICS, **changes)
    assert metrics.tolerance_share == pytest.approx(of_tolerances)
    assert metrics.allowed_share == pytest.approx(of_all)


@pytest.mark.parametrize(
    ("changes", "error"), [({}, 0.05), ({"output_size": 0.0}, 0.2), ({"output_error": None}, None)]
)
def test_an_error_is_relative_to_the_largest_output(changes: dict[str, Any], error: float | None) -> None:
    assert attrs.evolve(METRICS, **changes).relative_error == pytest.approx(error)

"""A result's cause: named where the record does not name it, and the same for all cases of a cause."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from rknn_harness.records.case_result import GIVEN_UP, CaseResult
from rknn_harness.records.outcomes import Kind, Outcome
from tests.harness.samples import failed_results, mixed_results

REFUSAL = "The weights of layer 2 of 2 (identity) reach {}; float16 ends at 65504."


def refused(reason: str) -> CaseResult:
    return attrs.evolve(failed_results()[1], reason=reason)


def test_a_record_of_before_gets_a_cause_and_no_limits() -> None:
    result = mixed_results(1)[0]
    document = result.to_json()
    del document["cause"]
    for metrics in document["metrics"].values():
        del metrics["limits"]
    read = CaseResult.from_json(document)
    assert read == result
    document |= {"outcome": "unsupported", "reason": REFUSAL.format("3.55e+05")}
    other = {**document, "reason": REFUSAL.format("2.28e+08")}
    first, second = (CaseResult.from_json(each).cause for each in (document, other))
    assert first == second
    assert first.startswith("unsupported-")


def test_what_is_recorded_is_read_again() -> None:
    for result in (*mixed_results(2), *failed_results()):
        recorded = result.with_cause()
        assert CaseResult.from_json(recorded.to_json()) == recorded


@pytest.mark.parametrize(
    ("change", "cause", "kind"),
    [
        ({}, "", Kind.RIGHT),
        ({"properties": {"cores_agree": "Core 1 differs."}}, "cores_agree", Kind.WRONG),
        ({"expected": "was wrong once"}, "", Kind.WRONG),
        ({"outcome": Outcome.MISMATCH, "properties": {"labels": "Row 3."}}, "labels", Kind.WRONG),
        ({"outcome": Outcome.MISMATCH, "cause": "tolerance", "expected": "known"}, "tolerance", Kind.KNOWN),
    ],
)
def test_the_cause_of_a_result(change: dict[str, Any], cause: str, kind: Kind) -> None:
    result = attrs.evolve(mixed_results(1)[0], **change).with_cause()
    assert (result.cause, result.kind) == (cause, kind)
    assert bool(result.meaning) == (kind is not Kind.RIGHT)


def test_the_cases_after_a_lost_board_have_the_cause_of_the_first() -> None:
    first = failed_results()[4]
    later = attrs.evolve(first, reason=f"{GIVEN_UP}{first.reason}")
    assert first.with_cause().cause == later.with_cause().cause

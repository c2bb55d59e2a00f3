"""The exit code follows from the outcomes."""

from __future__ import annotations

import pytest

from rknn_harness.records.outcomes import ExitCode, Outcome, exit_code

FAILURES = {
    Outcome.MISMATCH,
    Outcome.CONVERT_ERROR,
    Outcome.LOAD_ERROR,
    Outcome.RUN_ERROR,
    Outcome.TIMEOUT,
    Outcome.CPU_FALLBACK,
    Outcome.NONDETERMINISTIC,
}


@pytest.mark.parametrize("outcome", Outcome)
def test_one_outcome(outcome: Outcome) -> None:
    assert outcome.is_failure == (outcome in FAILURES)
    assert outcome.meaning
    expected = 1 if outcome in FAILURES else 3 if outcome is Outcome.INFRA_ERROR else 0
    assert exit_code([Outcome.PASS, outcome]) == expected


def test_trouble_on_the_way_outranks_failures() -> None:
    assert exit_code([Outcome.MISMATCH, Outcome.INFRA_ERROR]) is ExitCode.INFRASTRUCTURE
    assert exit_code([]) is ExitCode.CLEAN

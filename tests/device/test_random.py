"""Random networks: every task, activation and kind of label, at the hardware's edges."""

from __future__ import annotations

import contextlib
import time

import attrs
import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from rknn_harness.case import Case, CaseResult
from rknn_harness.outcomes import Outcome
from rknn_harness.strategies import cases
from rknn_harness.suite import ConformanceFailure, Suite

SHRINK_SECONDS = 60.0
"""How long a failing network is made smaller; every step of it is a conversion and a run."""


# As long as --max-cases makes it; each step of a case has a deadline of its own.
@pytest.mark.timeout(0)
def test_random_networks(suite: Suite, pytestconfig: pytest.Config) -> None:
    option = pytestconfig.option
    if not option.max_cases:
        pytest.skip("--max-cases is 0")
    tried: dict[str, CaseResult] = {}
    draw = given(cases(precisions=option.precision, toolkit=option.toolkit))
    common = settings(
        max_examples=option.max_cases,
        deadline=None,
        database=None,
        print_blob=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )

    @hypothesis.seed(option.seed)
    @settings(common, phases=[Phase.generate])
    @draw
    def try_each(case: Case) -> None:
        # No failure here: every network of the run is tried and recorded before one is made smaller.
        if case.id not in tried:
            tried[case.id] = suite.conduct(case)

    try_each()
    failed = [result for result in tried.values() if result.outcome.is_failure]
    if not failed:
        for result in tried.values():
            suite.require(result)
        return
    end = time.monotonic() + SHRINK_SECONDS
    smallest = failed[0]

    @hypothesis.seed(option.seed)
    @settings(common, phases=[Phase.generate, Phase.shrink], report_multiple_bugs=False)
    @draw
    def make_smaller(case: Case) -> None:
        # The same seed draws the same networks, which need not run again.
        nonlocal smallest
        if case.id not in tried:
            if time.monotonic() > end:
                return
            tried[case.id] = suite.run(case)
        result = tried[case.id]
        if result.outcome is Outcome(failed[0].outcome):
            smallest = result
            suite.require(result)

    with contextlib.suppress(ConformanceFailure):
        make_smaller()
    if smallest is not failed[0]:
        note = f"Made smaller from {failed[0].case.id}."
        smallest = attrs.evolve(smallest, notes=(*smallest.notes, note))
        suite.record(smallest)
    suite.require(smallest)

"""Properties of every model on every board: each a test, each failure a sentence.

The models are those of the run's plan. One is tried when its first test asks; the others look at its result.
``rknn-harness run`` runs this module.
"""

from __future__ import annotations

import pytest

from rknn_harness.records.case import PROPERTIES
from rknn_harness.records.case_result import CaseResult
from rknn_harness.suite.suite import Suite

# Each step of a case has a deadline of its own.
pytestmark = pytest.mark.timeout(0)


def test_outcome(suite: Suite, result: CaseResult) -> None:
    """The model is converted, loaded and run, or refused by the converter."""
    suite.require(result)


@pytest.mark.parametrize("name", PROPERTIES)
def test_property(suite: Suite, result: CaseResult, name: str) -> None:
    """The property holds; where it was not examined the test is skipped."""
    suite.require_property(result, name)

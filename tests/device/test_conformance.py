"""What is asked of every network on every board: each property a test, each failure a sentence.

The networks are those of the run's plan: real data sets in each precision and in several sizes of run, and
random ones of every task, activation and kind of label, at the hardware's edges.
"""

from __future__ import annotations

import pytest

from rknn_harness.case import CaseResult
from rknn_harness.suite import Suite

# Each step of a case has a deadline of its own, and a failing one is made smaller.
pytestmark = pytest.mark.timeout(0)


def test_it_ends_well(suite: Suite, result: CaseResult) -> None:
    suite.require(result)

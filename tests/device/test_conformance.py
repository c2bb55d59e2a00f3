"""What is asked of every network on every board: each property a test, each failure a sentence.

The networks are those of the run's plan: real data sets in each precision and in several sizes of run, and
random ones of every task, activation and kind of label, at the hardware's edges. A network is tried when its
first test asks; the others look at what came of it.
"""

from __future__ import annotations

import pytest

from rknn_harness.case import CaseResult
from rknn_harness.suite.suite import Suite

# Each step of a case has a deadline of its own.
pytestmark = pytest.mark.timeout(0)


def test_it_ends_well(suite: Suite, result: CaseResult) -> None:
    """The model is converted, loaded and run, or refused in plain words; nothing departs."""
    suite.require(result)


def test_bound(suite: Suite, result: CaseResult) -> None:
    """The output lies within the derived bound of scikit-learn's."""
    suite.require_property(result, "bound")


def test_labels(suite: Suite, result: CaseResult) -> None:
    """Labels are scikit-learn's, away from ties."""
    suite.require_property(result, "labels")


def test_onnx_equals_sklearn(suite: Suite, result: CaseResult) -> None:
    """The float32 graph computes what scikit-learn does."""
    suite.require_property(result, "onnx_equals_sklearn")


def test_simulator_equals_virtual_npu(suite: Suite, result: CaseResult) -> None:
    """The vendor's simulator and the virtual NPU compute the same."""
    suite.require_property(result, "simulator_equals_virtual_npu")


def test_board_equals_virtual_npu(suite: Suite, result: CaseResult) -> None:
    """The board computes what the virtual NPU does."""
    suite.require_property(result, "board_equals_virtual_npu")


def test_rows_independent(suite: Suite, result: CaseResult) -> None:
    """A row's answer depends neither on its neighbours nor on padding."""
    suite.require_property(result, "rows_independent")


def test_input_forms(suite: Suite, result: CaseResult) -> None:
    """The input's dtype and memory order change nothing."""
    suite.require_property(result, "input_forms")


def test_deterministic(suite: Suite, result: CaseResult) -> None:
    """The same rows give the same answer twice."""
    suite.require_property(result, "deterministic")


def test_cores_agree(suite: Suite, result: CaseResult) -> None:
    """Each core, and the pool of them, gives the same answer."""
    suite.require_property(result, "cores_agree")


def test_digest_reproducible(suite: Suite, result: CaseResult) -> None:
    """Two conversions give files of the same content."""
    suite.require_property(result, "digest_reproducible")


def test_all_on_npu(suite: Suite, result: CaseResult) -> None:
    """No layer is placed on the CPU."""
    suite.require_property(result, "all_on_npu")


def test_batch_latency(suite: Suite, result: CaseResult) -> None:
    """A call of many rows takes no longer than as many calls of one."""
    suite.require_property(result, "batch_latency")


def test_latency_baseline(suite: Suite, result: CaseResult) -> None:
    """A call takes no longer than a stated factor of the last accepted run's."""
    suite.require_property(result, "latency_baseline")

"""Lists of known failures: read, held against results, and refused where they say nothing."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from rknn_harness.plan.expectations import ExpectationsError, expected_reason, read_expectations
from rknn_harness.records.case import dataset_case
from rknn_harness.records.case_result import CaseResult, results_code
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import ExitCode, Outcome, Stage
from rknn_harness.records.run_folder import FORMAT, RunFolder
from rknn_harness.suite.pytest_plugin import without_skipped
from rknn_harness.suite.suite import ConformanceFailure, Suite

CASE = dataset_case("iris", "int8", "2.3.2", (64,))
PASSED = CaseResult(CASE, Outcome.PASS, properties={"bound": "", "labels": ""})
FAILED = attrs.evolve(PASSED, outcome=Outcome.MISMATCH, stage=Stage.BOARD, properties={"labels": "board: no"})
BOTH = attrs.evolve(FAILED, properties={"labels": "board: no", "bound": "board: far off"})


def rules(tmp_path: Path, *lines: str) -> list[object]:
    (tmp_path / "virtual-2.3.2.txt").write_text("# what is known\n\n" + "\n".join(lines))
    return list(read_expectations(tmp_path, ["virtual", "desk"], ["2.3.2", "2.5.0"], {CASE.id}))


def reason(tmp_path: Path, line: str, result: CaseResult) -> str:
    rules(tmp_path, line)
    return expected_reason(read_expectations(tmp_path, ["virtual"], ["2.3.2"], {CASE.id}), result)


def test_a_known_failure_is_expected_and_no_other_is(tmp_path: Path) -> None:
    line = f"fail labels {CASE.id} Labels are lost. https://example.org/7"
    assert reason(tmp_path, line, FAILED) == "Labels are lost. https://example.org/7"
    assert not reason(tmp_path, line, BOTH)
    assert not reason(tmp_path, line, attrs.evolve(FAILED, board="desk"))
    assert reason(tmp_path, f"fail * {CASE.id} All is lost. measured", BOTH) == "All is lost. measured"
    named = attrs.evolve(BOTH, defect="mean-std")
    assert reason(tmp_path, "fail * defect:mean-std Known. measured", named) == "Known. measured"
    assert not reason(tmp_path, "fail * defect:mean-std Known. measured", BOTH)


def test_an_expected_failure_does_not_fail_a_run_and_one_that_passes_does(tmp_path: Path) -> None:
    assert results_code([PASSED, attrs.evolve(FAILED, expected="known")]) is ExitCode.CLEAN
    assert results_code([PASSED, FAILED]) is ExitCode.CONFORMANCE
    late = attrs.evolve(PASSED, expected=reason(tmp_path, f"fail labels {CASE.id} Lost. measured", PASSED))
    assert results_code([late]) is ExitCode.CONFORMANCE
    with (
        RunFolder.begin(tmp_path / "run", {"format": FORMAT, "toolkits": [], "boards": {}}) as folder,
        Suite(folder, {}, {}) as suite,
    ):
        with pytest.raises(
            ConformanceFailure, match=r"is expected to fail: Lost\. measured Remove it from expectations/"
        ):
            suite.require(late)
        with pytest.raises(pytest.xfail.Exception, match="known"):
            suite.require(attrs.evolve(FAILED, expected="known"))
        with pytest.raises(pytest.xfail.Exception, match="known"):
            suite.require_property(attrs.evolve(FAILED, expected="known"), "labels")
        with pytest.raises(ConformanceFailure, match=r"labels\. board: no"):
            suite.require_property(FAILED, "labels")


def test_what_is_skipped_is_not_tried_and_said(tmp_path: Path) -> None:
    rules(tmp_path, f"skip * {CASE.id} It takes the board down. measured")
    found = read_expectations(tmp_path, ["virtual"], ["2.3.2"], {CASE.id})
    plan, skipped = without_skipped((Entry(CASE, "virtual"), Entry(CASE, "desk")), found)
    assert [entry.board for entry in plan] == ["desk"]
    assert skipped[0]["reason"] == "It takes the board down. measured"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("fail bound", "a line is fail or skip"),
        (f"break bound {CASE.id} why measured", "begins with 'break'"),
        (f"fail speed {CASE.id} why measured", "an unknown property 'speed'"),
        ("fail bound iris-int4-n64 why measured", "an unknown case 'iris-int4-n64'"),
        ("fail bound defect:none why measured", "an unknown case 'defect:none'"),
        ("skip * defect:mean-std why measured", "skips a defect"),
        (f"fail bound {CASE.id} why not", "neither a link nor measured"),
    ],
)
def test_a_line_that_says_nothing_is_an_error(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ExpectationsError, match=says) as caught:
        rules(tmp_path, line)
    assert "virtual-2.3.2.txt, line 3" in str(caught.value)

"""Lists of known failures: read, held against results, and refused where they say nothing."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from rknn_harness.plan.expectation_updates import update_expectations
from rknn_harness.plan.expectations import (
    Expectation,
    ExpectationsError,
    expected_reason,
    is_expectation,
    read_expectations,
)
from rknn_harness.records.case import dataset_case, random_case
from rknn_harness.records.case_result import CaseResult, results_code
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import ExitCode, Outcome, Stage
from rknn_harness.records.run_folder import FORMAT, RunFolder
from rknn_harness.suite.pytest_plugin import without_skipped
from rknn_harness.suite.suite import ConformanceFailure, Suite
from tests.harness.samples import SPEC

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


def test_a_property_that_was_not_run_is_neither_expected_to_fail_nor_passing(tmp_path: Path) -> None:
    line = f"fail digest_reproducible {CASE.id} Builds differ. measured"
    not_drawn = attrs.evolve(PASSED, case=attrs.evolve(CASE, second_build=False), digests={"onnx": "ab"})
    assert not reason(tmp_path, line, not_drawn)
    held = attrs.evolve(PASSED, properties={"digest_reproducible": ""})
    assert reason(tmp_path, line, held) == "Builds differ. measured"
    assert not update_expectations(tmp_path, [not_drawn], tmp_path / "corpus", "run tonight")
    (update,) = update_expectations(tmp_path, [held], tmp_path / "corpus", "run tonight")
    assert update.removed == 1


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
        ("fail bound iris-int4-* why measured", r"an unknown case 'iris-int4-\*'"),
        ("fail bound defect:none why measured", "an unknown case 'defect:none'"),
        ("skip * defect:mean-* why measured", "skips a defect"),
        ("skip * defect:mean-std why measured", "skips a defect"),
        (f"fail bound {CASE.id} why not", "neither a link nor measured"),
    ],
)
def test_a_line_that_says_nothing_is_an_error(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(ExpectationsError, match=says) as caught:
        rules(tmp_path, line)
    assert "virtual-2.3.2.txt, line 3" in str(caught.value)


def test_a_pattern_names_every_case_that_it_matches(tmp_path: Path) -> None:
    line = "fail labels iris-int8-* Labels are lost. measured"
    assert reason(tmp_path, line, FAILED) == "Labels are lost. measured"
    assert reason(tmp_path, "fail labels i???-int8-n64 Lost. measured", FAILED) == "Lost. measured"
    assert reason(tmp_path, line, PASSED), "one that passes is out of date, as by its name"
    assert not reason(tmp_path, line, BOTH)
    assert not reason(tmp_path, "fail labels * Lost. measured", attrs.evolve(BOTH, defect="mean-std"))
    odd = attrs.evolve(FAILED, case=attrs.evolve(CASE, id="my[1]-int8-n64"))
    rule = Expectation("fail", "labels", "my[1]-*", "Lost. measured", "virtual", "2.3.2")
    assert rule.matches(odd)
    assert not rule.names("my1-int8-n64")


def test_a_pattern_skips_every_case_that_it_matches(tmp_path: Path) -> None:
    rules(tmp_path, "skip * iris-* It takes the board down. measured")
    found = read_expectations(tmp_path, ["virtual"], ["2.3.2"], {CASE.id})
    other = attrs.evolve(CASE, id="wine-int8-n64")
    plan, skipped = without_skipped((Entry(CASE, "virtual"), Entry(other, "virtual")), found)
    assert [entry.case.id for entry in plan] == [other.id]
    assert [each["id"] for each in skipped] == [CASE.id]


def update(tmp_path: Path, *results: CaseResult) -> list[str]:
    """Bring the list up to date and return its lines without comments."""
    update_expectations(tmp_path, results, tmp_path / "corpus", "run tonight")
    path = tmp_path / "virtual-2.3.2.txt"
    return [line for line in path.read_text().splitlines() if is_expectation(line)] if path.exists() else []


def test_new_failures_get_lines_by_which_the_next_run_expects_them(tmp_path: Path) -> None:
    crashed = attrs.evolve(
        PASSED,
        case=attrs.evolve(CASE, id="my model-int8-n64"),
        outcome=Outcome.CONVERT_ERROR,
        reason="The toolkit\ndied.",
    )
    untried = attrs.evolve(FAILED, case=attrs.evolve(CASE, id="wine-int8-n64"), outcome=Outcome.INFRA_ERROR)
    results = (BOTH, crashed, untried, attrs.evolve(PASSED, case=attrs.evolve(CASE, id="sine-int8-n64")))
    lines = update(tmp_path, *results)
    assert lines == [
        f"fail  bound  {CASE.id}  board: far off Seen in run tonight. measured",
        f"fail  labels  {CASE.id}  board: no Seen in run tonight. measured",
        "fail  *  my?model-int8-n64  The toolkit died. Seen in run tonight. measured",
    ]
    found = read_expectations(tmp_path, ["virtual"], ["2.3.2"], {each.case.id for each in results})
    known = [attrs.evolve(each, expected=expected_reason(found, each)) for each in results[:2]]
    assert results_code([*known, results[3]]) is ExitCode.CLEAN
    before = (tmp_path / "virtual-2.3.2.txt").read_bytes()
    assert update(tmp_path, *results) == lines
    assert (tmp_path / "virtual-2.3.2.txt").read_bytes() == before


def test_lines_of_what_passes_are_removed_and_a_pattern_keeps_what_still_fails(tmp_path: Path) -> None:
    wide = dataset_case("wine", "int8", "2.3.2", (64,))
    rules(
        tmp_path,
        f"fail bound {CASE.id} Was wrong once. measured",
        "fail labels *-int8-n64 Labels are lost. https://example.org/7",
        f"skip * {CASE.id} Slow. measured",
    )
    results = (FAILED, attrs.evolve(PASSED, case=wide))
    assert update(
        tmp_path, attrs.evolve(FAILED, properties={**FAILED.properties, "bound": ""}), results[1]
    ) == [
        f"skip * {CASE.id} Slow. measured",
        f"fail  labels  {CASE.id}  Labels are lost. https://example.org/7",
    ]
    assert (tmp_path / "virtual-2.3.2.txt").read_text().startswith("# what is known\n")


def test_a_list_whose_only_line_is_out_of_date_becomes_empty(tmp_path: Path) -> None:
    (tmp_path / "virtual-2.3.2.txt").write_text(f"fail bound {CASE.id} Was wrong once. measured")
    assert update(tmp_path, PASSED) == []
    (tmp_path / "virtual-2.3.2.txt").write_text("# without an end of line")
    assert len(update(tmp_path, FAILED)) == 1


def test_a_random_network_gets_a_line_only_where_the_corpus_has_it(tmp_path: Path) -> None:
    drawn = attrs.evolve(FAILED, case=random_case(SPEC, "int8", "2.3.2", (64,)))
    (left,) = update_expectations(tmp_path, [drawn], tmp_path / "corpus", "run tonight")
    assert str(left).endswith(
        "0 lines added, 0 removed; 1 random network left out, for smaller ones in the corpus"
    )
    assert not update(tmp_path)
    (tmp_path / "corpus" / drawn.case.id).mkdir(parents=True)
    assert update(tmp_path, drawn) == [
        f"fail  labels  {drawn.case.id}  board: no Seen in run tonight. measured"
    ]

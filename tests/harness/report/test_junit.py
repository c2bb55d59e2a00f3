"""junit.xml says what cases.jsonl says."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import attrs

from rknn_harness.records.case_result import NOT_DRAWN
from rknn_harness.records.outcomes import Outcome
from rknn_harness.report.junit import write_junit
from rknn_harness.report.render import write_report
from tests.harness.matrix_runs import Plan, with_faults, write_matrix
from tests.harness.samples import failed_results, finished, mixed_results, write_run


def test_every_case_is_there_with_its_outcome(tmp_path: Path) -> None:
    results = mixed_results(6)
    run = finished(write_run(tmp_path / "run", results))
    (suite,) = ElementTree.parse(write_junit(run)).getroot()
    told = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    tags = {Outcome.PASS: [], Outcome.UNSUPPORTED: ["skipped"], Outcome.INFRA_ERROR: ["error"]}
    assert told == {result.case.id: tags.get(result.outcome, ["failure"]) for result in results}
    counts = {name: int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": len(results), "failures": 3, "errors": 1, "skipped": 1}
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert properties["rknn-toolkit2"] == "2.3.2"
    assert properties["board is virtual"] == "True"


def test_what_did_not_pass_has_the_command_that_tries_it_again(tmp_path: Path) -> None:
    run = finished(write_run(tmp_path / "my runs" / "one", failed_results()))
    told = {
        case.get("name"): "".join(case.itertext()).splitlines()[-1]
        for case in ElementTree.parse(write_junit(run)).getroot().iter("testcase")
    }
    assert told == {
        result.case.id: f"again: rknn-harness replay '{run.path}' {result.case.id}" for result in run.results
    }


def test_only_what_a_stage_answered_wrongly_has_a_first_bad_stage(tmp_path: Path) -> None:
    run = finished(write_run(tmp_path / "run", mixed_results(6)))
    page = write_report(run).read_text()
    for case in ElementTree.parse(write_junit(run)).getroot().iter("testcase"):
        (details,) = re.findall(rf'<tbody id="{case.get("name")}-.*?</tbody>', page, re.DOTALL)
        for view, text in (("junit.xml", "".join(case.itertext())), ("report.html", details)):
            assert ("first at stage" in text) == bool(case.findall("failure") + case.findall("skipped")), view
    assert 'infra error, <data value="1"' in page


def test_a_suite_for_each_toolkit_and_board(tmp_path: Path) -> None:
    plan = Plan(toolkits=("2.2.0", "2.5.0"), boards=("virtual", "orange"), count=20, timed=30)
    run = write_matrix(tmp_path / "run", 1, plan, with_faults)
    root = ElementTree.parse(write_junit(run)).getroot()
    assert [suite.get("name") for suite in root] == [
        f"rknn-toolkit2 {toolkit} on {board}"
        for toolkit in ("2.2.0", "2.5.0")
        for board in ("orange", "virtual")
    ]
    assert sum(int(suite.get("tests", "")) for suite in root) == len(run.results)
    expected = [told for told in root.iter("skipped") if "expected: int16 sums" in str(told.get("message"))]
    assert expected
    assert any(told.get("type") == "gemm-bias" for told in root.iter("failure"))


def test_what_was_not_run_is_in_the_output_of_its_case(tmp_path: Path) -> None:
    drawn, other = mixed_results(0)[:2]
    not_drawn = attrs.evolve(other, case=attrs.evolve(other.case, second_build=False))
    run = finished(write_run(tmp_path / "run", [drawn, not_drawn]))
    cases = ElementTree.parse(write_junit(run)).getroot().iter("testcase")
    outputs = {case.get("name"): [child.text for child in case] for case in cases}
    text = f"digest_reproducible was not run: {NOT_DRAWN}"
    assert outputs == {drawn.case.id: [], not_drawn.case.id: [text]}


def test_a_run_that_was_ended_early_is_an_error(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(0)[:2])
    cases, early = ElementTree.parse(write_junit(run)).getroot()
    assert (cases.get("errors"), early.get("errors"), early.get("tests")) == ("0", "1", "1")
    (error,) = early.iter("error")
    assert error.text == f"go on: rknn-harness run --resume {run.path}"
    (suite,) = ElementTree.parse(write_junit(finished(run))).getroot()
    assert suite.get("errors") == "0"


def test_what_a_case_has_stands_in_the_order_of_the_schemas(tmp_path: Path) -> None:
    failed = failed_results()[0]
    not_drawn = attrs.evolve(failed, case=attrs.evolve(failed.case, second_build=False))
    run = finished(write_run(tmp_path / "run", [not_drawn]))
    (case,) = ElementTree.parse(write_junit(run)).iter("testcase")
    assert [child.tag for child in case] == ["failure", "system-out"]


def test_a_reason_with_what_xml_forbids(tmp_path: Path) -> None:
    odd = attrs.evolve(failed_results()[0], reason="bell \x07, colour \x1b[31m, <tag> & \ud800")
    path = write_junit(write_run(tmp_path / "run", [odd]))
    (told,) = ElementTree.parse(path).getroot().iter("failure")
    assert "<tag> &" in str(told.get("message"))

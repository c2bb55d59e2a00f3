"""The report's numbers, computed again from the lines of cases.jsonl, and the page that tells them."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import attrs
import pytest

from rknn_harness.records.case import random_case
from rknn_harness.records.outcomes import Cause, ExitCode, Kind, Outcome, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.records.query import Records
from rknn_harness.records.run_folder import Run
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.records.stage_metrics import StageLimits
from rknn_harness.report.answers import Answer, answers
from rknn_harness.report.comparison import compare
from rknn_harness.report.comparison.page import comparison_lines, write_comparison
from rknn_harness.report.junit import write_junit
from rknn_harness.report.numbers import summarize
from rknn_harness.report.render import write_report
from tests.harness.samples import failed_results, mixed_results, write_run


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "cases.jsonl").read_text().splitlines()]


def complete(run: Run) -> Run:
    return attrs.evolve(run, manifest={**run.manifest, "finished": "2026-01-01T00:00:00+00:00"})


def test_the_statistics_of_a_group_are_those_of_the_record(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results())
    lines, records = lines_of(run.path), Records(run.results)
    outcomes = [line["outcome"] for line in lines]
    assert dict(summarize(run).counts) == {outcome: outcomes.count(outcome) for outcome in set(outcomes)}
    count = 0
    for name, precision in itertools.product(records.distinct("group"), records.distinct("precision")):
        where = {"group": name, "precision": precision}
        mine = [
            line
            for line in lines
            if line["precision"] == precision
            and (line["spec"]["name"] if line["kind"] == "dataset" else "random") == name
        ]
        count += len(mine)
        assert len(records.where(where)) == len(mine)
        passed = records.where(where | {"outcome": "pass", "ok": "yes"})
        assert len(passed) == sum(line["outcome"] == "pass" for line in mine)
        board = [line["metrics"]["board"] for line in mine if "board" in line["metrics"]]
        shares = [each["agreement"] for each in board if each["agreement"] is not None]
        assert records.ask("least", "agreement", where) == min(shares, default=None)
        fits = [each["r2"] for each in board if each["r2"] is not None]
        assert records.ask("least", "r2", where) == min(fits, default=None)
        bounds = [each["output_share"] for each in board]
        assert records.ask("most", "share", where) == max(bounds, default=None)
        errors = [each["output_error"] / each["output_size"] for each in board]
        assert records.ask("most", "error", where) == max(errors, default=None)
        times = [line["latency"]["p50"] for line in mine if line["latency"]]
        assert records.ask("median", "p50", where) == (statistics.median(times) if times else None)
    assert count == len(lines)


def test_the_verdict_in_one_line(tmp_path: Path) -> None:
    good = [result for result in mixed_results(2) if result.outcome is Outcome.PASS]
    run = write_run(tmp_path / "good", good)
    summary = summarize(complete(run))
    assert (summary.verdict, summary.code) == ("All 28 cases agree with scikit-learn.", ExitCode.CLEAN)
    run = attrs.evolve(run, manifest={**run.manifest, "finished": None})
    assert summarize(run).verdict == "All 28 cases agree with scikit-learn; the run is not complete."
    run = write_run(tmp_path / "mixed", mixed_results(2))
    summary = summarize(complete(run))
    assert summary.verdict == "3 of 33 cases fail; 1 refused by the converter; 1 could not be tried."
    assert summary.code is ExitCode.INFRASTRUCTURE
    summary = summarize(write_run(tmp_path / "none", []))
    assert summary.verdict == "Nothing was tried."


def test_the_report_says_how_the_arithmetic_is_known(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(1))
    write_report(run)
    said = "A file follows up to 3 rules of arithmetic measured on silicon, 4 as the vendor's simulator has"
    assert said in (run.path / "report.md").read_text("utf-8")
    assert "<dt>Arithmetic</dt>" in (run.path / "report.html").read_text("utf-8")


def test_expected_failures_do_not_count(tmp_path: Path) -> None:
    good, bad = mixed_results(2)[:6], failed_results()[0]
    known = attrs.evolve(bad, expected="int16 sums overflow")
    summary = summarize(complete(write_run(tmp_path / "run", [*good, known])))
    assert summary.code is ExitCode.CLEAN
    assert summary.verdict == "6 of 7 cases agree with scikit-learn; 1 known failure; no new ones."
    (fault,) = summary.faults
    assert fault.kind is Kind.KNOWN
    stale = attrs.evolve(good[0], expected="was wrong once")
    summary = summarize(complete(write_run(tmp_path / "stale", [stale, *good[1:]])))
    assert (summary.outdated, summary.code) == ((0,), ExitCode.CONFORMANCE)
    assert summary.verdict == "All 6 cases agree with scikit-learn; 1 expected to fail and passed."
    failing = attrs.evolve(good[1], properties={"cores_agree": "Core 1 says 3, core 0 says 4."})
    summary = summarize(complete(write_run(tmp_path / "more", [*good[2:], failing])))
    assert summary.code is ExitCode.CONFORMANCE
    assert summary.faults[0].cause == "cores_agree"


def test_failures_of_one_kind_are_told_together_by_the_smallest(tmp_path: Path) -> None:
    bad = failed_results()[0]
    small = random_case(MlpSpec(1, (), "relu", "softmax", 3, "int", 1.0, 4, 0), "float16", "2.3.2", (1,))
    results = [bad, attrs.evolve(bad, case=small), attrs.evolve(bad, defect="gemm-bias")]
    run = write_run(tmp_path / "run", results)
    assert [fault.cases for fault in summarize(run).faults] == [(1, 0), (2,)]
    shown = write_report(run).read_text(encoding="utf-8")
    assert "ONNX Gemm with fan-in 1 loses its bias" in shown
    assert shown.index(small.id) < shown.index(bad.case.id)


class Page(HTMLParser):
    """Collects what a page shows and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [
            str(value)
            for name, value in attributes
            if name in ("src", "href", "srcset") and tag != "a" and not str(value).startswith("#")
        ]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_stands_alone_and_tells_every_failure(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results())
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert not page.fetched
    (script,) = re.findall("<script>(.*)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text
    assert "url(" not in text.replace("url(#hatch)", "")
    shown = " ".join(page.text)
    # Each case has its command, and each cause that of its smallest.
    assert shown.count("rknn-harness replay run ") == len(run.results) + len(failed_results())
    for result in failed_results():
        assert result.case.id in shown
        assert result.reason in shown
    assert "The board of this run is virtual" in shown
    assert "Not an NPU's times." in shown
    assert "estimate, not a measurement" in shown
    assert page.tags.count("svg") >= 3
    headings = re.findall("<th(?=[ >])[^>]*>", text)
    assert headings
    assert all(' scope="' in heading for heading in headings)


def test_the_page_says_what_each_phase_of_the_run_took(tmp_path: Path) -> None:
    """In the order of a case, whatever the record's; then phases of another version by their names."""
    seconds = ({"judge": 0.5, "convert": 60.0, "again": 3.0}, {"convert": 120.0, "of another version": 1.0})
    two = zip(mixed_results()[:2], seconds, strict=True)
    run = write_run(tmp_path / "run", [attrs.evolve(result, seconds=taken) for result, taken in two])
    text = write_report(run).read_text(encoding="utf-8")
    (table,) = re.findall("What the run itself took.*?<tbody>(.*?)</tbody>", html.unescape(text), re.DOTALL)
    rows = [re.findall(r">([^<>]+)<", row) for row in table.split("</tr>") if "<td" in row]
    assert rows == [
        [Phase.CONVERT.meaning, "2", "3.0 min", "90 s", "120 s"],
        [Phase.AGAIN.meaning, "1", "3.0 s", "3 s", "3 s"],
        [Phase.JUDGE.meaning, "1", "0.5 s", "500 ms", "500 ms"],
        ["of another version", "1", "1.0 s", "1 s", "1 s"],
        ["all phases", "2", "3.1 min", "92.2 s", "121 s"],
    ]


def test_a_real_board_is_not_called_virtual(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(1), virtual=False)
    shown = " ".join(Page(write_report(run).read_text(encoding="utf-8")).text)
    assert "board of this run is virtual" not in shown
    assert "Not an NPU's times." not in shown


@pytest.mark.parametrize("count", [0, 1])
def test_a_page_of_nothing_or_one(tmp_path: Path, count: int) -> None:
    run = write_run(tmp_path / "run", failed_results()[1 : 1 + count])
    assert "<svg" in write_report(run).read_text(encoding="utf-8")


def test_a_summary_for_machines(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results())
    write_report(run)
    document = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
    assert sum(document["outcomes"].values()) == len(run.results)
    assert sum(cell["cases"] for cell in document["matrix"]) == len(run.results)
    assert [fault["cases"] for fault in document["faults"]] == [1, 1, 1]
    assert all(fault["smallest"]["id"] in fault["replay"] for fault in document["faults"])


def test_markdown_tells_the_same(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results())
    write_report(run)
    text = (run.path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# 3 of 81 cases fail")
    failures = [result for result in failed_results() if result.outcome.is_failure]
    assert all(result.reason in text for result in failures)
    assert len(text.splitlines()) < 40
    rows = [line.split("|")[3:-3] for line in text.splitlines() if line.startswith("| 2.3.2 |")]
    assert rows
    assert all(int(cases) == sum(map(int, kinds)) for cases, *kinds in rows)
    assert text.endswith("\n")  # the next file of a step summary begins on a line of its own


def test_a_case_that_passed_but_for_a_property_is_no_pass_in_any_view(tmp_path: Path) -> None:
    good = [result for result in mixed_results(0) if result.outcome is Outcome.PASS]
    sentence = "Core 1 says 3, core 0 says 4."
    failing = attrs.evolve(good[0], properties={"cores_agree": sentence}).with_cause()
    before, after = (
        complete(write_run(tmp_path / name, [first, *good[1:]]))
        for name, first in (("a", good[0]), ("b", failing))
    )
    comparison = compare(before, after)
    write_report(after)
    write_junit(after)
    write_comparison(comparison, after.path)
    views = {name: (after.path / name).read_text("utf-8") for name in ("report.md", "report.html")}
    assert (
        f"- **property fails**, 1 case. Smallest: `{good[0].case.id}`, 2.3.2. {sentence}"
        in views["report.md"]
    )
    assert views["report.html"].count("✗ property fails, ") == 1
    assert f"<p>property fails: {failing.meaning}.</p>" in views["report.html"]
    assert 'type="property fails"' in (after.path / "junit.xml").read_text("utf-8")
    assert "**pass → property fails**" in (after.path / "compare.md").read_text("utf-8")
    assert ">pass → property fails, 1 case<" in (after.path / "compare.html").read_text("utf-8")
    assert f"{good[0].case.id} on 2.3.2, virtual: pass -> property fails" in "\n".join(
        comparison_lines(comparison)
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({}, "PASS"),
        ({"properties": {"cores_agree": "Core 1 says 3, core 0 says 4."}}, "FAIL"),
        ({"outcome": Outcome.UNSUPPORTED}, "PASS"),
        ({"outcome": Outcome.INFRA_ERROR}, "INCOMPLETE"),
        ({"outcome": Outcome.MISMATCH, "expected": "known"}, "PASS"),
        ({"expected": "was wrong once"}, "FAIL"),
    ],
)
def test_a_run_has_one_word(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    good = mixed_results(2)[:6]
    run = complete(write_run(tmp_path / "run", [attrs.evolve(good[0], **change), *good[1:]]))
    assert summarize(run).word == word


def test_there_is_an_answer_for_each_precision_and_for_the_chip(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(4))
    records = Records(run.results)
    float16, int8, chip = answers(records, {"virtual": True})
    assert (float16.title, int8.title, chip.title) == ("Not yet", "Yes, in the virtual NPU", "Not asked")
    shown = "15 of 18 that were judged are right; 3 wrong; 1 refused; 1 not tried."
    assert words_of(float16, records) == shown
    *_, chip = answers(records, {"virtual": False})
    assert (chip.where, chip.title) == ({"board": "virtual"}, "Not yet")


def words_of(answer: Answer, records: Records) -> str:
    return "".join(
        part if isinstance(part, str) else str(records.ask(part.statistic, part.name, part.where))
        for part in answer.sentence
    )


def test_refusals_of_one_cause_are_grouped_whatever_their_figures(tmp_path: Path) -> None:
    refused = failed_results()[1]
    results = [
        attrs.evolve(
            refused,
            case=attrs.evolve(refused.case, id=f"case-{weight}"),
            reason=f"The weights of layer 2 reach {weight}; float16 ends at 65504.",
            cause=Cause.RANGE,
        )
        for weight in ("3.6e+05", "2.3e+08")
    ]
    run = write_run(tmp_path / "run", results)
    (group,) = summarize(run).of_kind(Kind.REFUSED)
    assert (group.cause, len(group.cases)) == ("range", 2)
    shown = write_report(run).read_text("utf-8")
    assert "Numbers of the model are too large or too small for the precision" in shown


def test_properties_of_one_program_are_not_praised_on_a_virtual_board(tmp_path: Path) -> None:
    good = attrs.evolve(mixed_results(1)[0], properties={"bound": "", "cores_agree": ""})
    for virtual in (True, False):
        result = attrs.evolve(good, board="virtual" if virtual else "orange")
        run = write_run(tmp_path / str(virtual), [result], virtual=virtual)
        text = write_report(run).read_text("utf-8")
        (row,) = re.findall('<tr id="p-cores_agree">.*?</tr>', text, re.DOTALL)
        assert ("one program" in row, "✓" in row) == (virtual, not virtual)


def test_shares_of_bound_and_tolerance_are_apart(tmp_path: Path) -> None:
    good = mixed_results(1)[0]
    limits = StageLimits(output=(0.1, 0.2), probability=0.002, margin=0.004, agreement=0.99)
    metrics = {
        stage: attrs.evolve(each, output_share=0.25, probability_error=0.00212, limits=limits)
        for stage, each in good.metrics.items()
    }
    run = write_run(tmp_path / "run", [attrs.evolve(good, metrics=metrics)])
    records = Records(run.results)
    assert records.ask("most", "share", {}) == 0.25
    assert records.ask("most", "tolerance", {}) == pytest.approx(1.06)
    assert records.ask("most", "allowed", {}) == pytest.approx(1.06)
    assert run.results[0].metrics[Stage.BOARD].limits == limits

"""The report's numbers, computed again from the lines of cases.jsonl, and the page that tells them."""

from __future__ import annotations

import json
import statistics
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rknn_harness.outcomes import ExitCode, Outcome
from rknn_harness.report import write_report
from rknn_harness.report.numbers import summarize
from tests.harness.samples import failed_results, mixed_results, write_run


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "cases.jsonl").read_text().splitlines()]


def test_the_numbers_are_those_of_the_record(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results())
    lines, summary = lines_of(run.path), summarize(run)

    outcomes = [line["outcome"] for line in lines]
    assert {outcome.value: count for outcome, count in summary.counts} == {
        outcome: outcomes.count(outcome) for outcome in set(outcomes)
    }
    assert len(summary.failures) == sum(outcome != "pass" for outcome in outcomes)
    assert summary.layers_on_npu == sum(layer[2] == "NPU" for line in lines for layer in line["placement"])
    assert summary.seconds == pytest.approx(sum(sum(line["seconds"].values()) for line in lines))

    for group in summary.groups:
        mine = [
            line
            for line in lines
            if line["precision"] == group.precision
            and (line["spec"]["name"] if line["kind"] == "dataset" else "random") == group.name
        ]
        assert group.cases == len(mine)
        assert group.passed == sum(line["outcome"] == "pass" for line in mine)
        board = [line["metrics"]["board"] for line in mine if "board" in line["metrics"]]
        known = [each["agreement"] for each in board if each["agreement"] is not None]
        assert group.agreement == (min(known) if known else None)
        known = [each["r2"] for each in board if each["r2"] is not None]
        assert group.r2 == (min(known) if known else None)
        assert group.share == max(each["output_share"] for each in board)
        assert group.relative_error == max(each["output_error"] / each["output_size"] for each in board)
        assert group.p50 == statistics.median(line["latency"]["p50"] for line in mine if line["latency"])
    assert sum(group.cases for group in summary.groups) == len(lines)

    for row in summary.stages:
        errors = [
            line["metrics"][row.stage.value]["output_error"] / line["metrics"][row.stage.value]["output_size"]
            for line in lines
            if line["precision"] == row.precision and row.stage.value in line["metrics"]
        ]
        assert (row.cases, row.worst, row.median) == (len(errors), max(errors), statistics.median(errors))


def test_the_verdict_in_one_line(tmp_path: Path) -> None:
    good = [result for result in mixed_results(2) if result.outcome is Outcome.PASS]
    summary = summarize(write_run(tmp_path / "good", good))
    assert (summary.verdict, summary.code) == ("All 20 cases agree with scikit-learn.", ExitCode.CLEAN)
    summary = summarize(write_run(tmp_path / "mixed", mixed_results(2)))
    assert summary.verdict == "3 of 25 cases fail; 1 refused by the converter; 1 could not be tried."
    assert summary.code is ExitCode.INFRASTRUCTURE
    summary = summarize(write_run(tmp_path / "none", []))
    assert summary.verdict == "Nothing was tried."


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
        self.fetched += [str(value) for name, value in attributes if name in ("src", "href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_stands_alone_and_tells_every_failure(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results())
    text = write_report(run).read_text(encoding="utf-8")
    page = Page(text)
    assert not page.fetched
    assert "script" not in page.tags
    assert "url(" not in text
    shown = " ".join(page.text)
    assert shown.count("rknn-harness replay run ") == len(failed_results())
    for result in failed_results():
        assert result.case.id in shown
        assert result.reason in shown
    assert "The board of this run is virtual" in shown
    assert "Not an NPU's times." in shown
    assert page.tags.count("svg") >= 3


def test_a_real_board_is_not_called_virtual(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(1), virtual=False)
    shown = " ".join(Page(write_report(run).read_text(encoding="utf-8")).text)
    assert "board of this run is virtual" not in shown
    assert "Not an NPU's times." not in shown


@pytest.mark.parametrize("count", [0, 1])
def test_a_page_of_nothing_or_one(tmp_path: Path, count: int) -> None:
    run = write_run(tmp_path / "run", failed_results()[1 : 1 + count])
    assert "<svg" in write_report(run).read_text(encoding="utf-8")


def test_markdown_tells_the_same(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results())
    write_report(run)
    text = (run.path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# 3 of 73 cases fail")
    assert all(result.reason in text for result in failed_results())

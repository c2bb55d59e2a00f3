"""Every number of report.html is that of cases.jsonl, and a page that tells another is caught."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from rknn_harness.records.case_result import NOT_DRAWN
from rknn_harness.records.run_folder import read_run
from rknn_harness.report.render import write_report
from tests.harness.matrix_runs import Plan, with_faults, write_matrix
from tests.harness.report.page_audit import Page, audit
from tests.harness.samples import failed_results, mixed_results, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "runs" / "matrix"
    plan = Plan(toolkits=("2.2.0", "2.3.2"), boards=("virtual", "orange"), count=10, timed=120)
    write_report(write_matrix(path, 1, plan, with_faults))
    return path


def test_every_number_is_the_records(run: Path) -> None:
    assert audit(run) == []
    # The page is not empty of what is audited.
    page = Page((run / "report.html").read_text("utf-8"))
    assert len(page.texts) > 2000
    assert sum(tag == "use" and "data-i" in own for chart in page.charts for tag, own in chart) > 500


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_page_of_little(tmp_path: Path, count: int) -> None:
    path = write_run(tmp_path / "run", failed_results()[:count]).path
    write_report(write_run(tmp_path / "more", mixed_results(3)))
    assert audit(tmp_path / "more") == []
    write_report(read_run(path))
    assert audit(path) == []


@pytest.mark.parametrize("error", [0.0, 3e-12])
def test_errors_of_next_to_nothing(tmp_path: Path, error: float) -> None:
    first, *others = mixed_results(8)
    metrics = {stage: attrs.evolve(each, output_error=error) for stage, each in first.metrics.items()}
    path = write_run(tmp_path / "run", [attrs.evolve(first, metrics=metrics), *others]).path
    write_report(read_run(path))
    assert audit(path) == []


def test_what_was_not_run_is_counted_and_named(tmp_path: Path) -> None:
    first, *others = [result for result in mixed_results(0) if result.case.precision == "int8"][:3]
    results = [attrs.evolve(first, properties={"digest_reproducible": ""})]
    results += [attrs.evolve(each, case=attrs.evolve(each.case, second_build=False)) for each in others]
    path = write_run(tmp_path / "run", results).path
    page = write_report(read_run(path)).read_text("utf-8")
    assert audit(path) == []
    (row,) = re.findall('<tr id="p-digest_reproducible">(.*?)</tr>', page, re.DOTALL)
    *_, cell = re.findall("<td.*?>(.*?)</td>", row)
    assert re.sub("<.*?>", "", cell) == "✓ 1 not run 2"
    assert page.count(f"<dt>Not run</dt><dd>digest reproducible: {NOT_DRAWN}</dd>") == 2


def swap(pattern: str, replacement: str) -> Callable[[str], str]:
    def change(page: str) -> str:
        changed, count = re.subn(pattern, replacement, page, count=1)
        assert count == 1, f"nothing to spoil: {pattern}"
        return changed

    return change


FAULTS = {
    "a count": (swap(r'(data-n="count cases"[^>]*>)(\d+)<', r"\g<1>9\g<2><"), "the record says"),
    "a placement": (swap(r'(data-t="placement">layer)0', r"\g<1>7"), "the record says"),
    "a case's limit": (swap(r'(data-n="limit.probability">0\.)3', r"\g<1>4"), "the record says"),
    "a digit of an error": (swap(r">(\d\.)(\d)e-0", r">\g<1>1\g<2>e-0"), "the record says"),
    "a value behind the text": (swap(r'<data value="0\.', '<data value="0.9'), "the page has"),
    "a unit": (swap(r"( data-n=\"median p50\"[^>]*>[\d.]+) µs<", r"\1 ms<"), "the record says"),
    "a question": (swap(r"median share&?", "most share"), ""),
    "a missing address": (swap(r' data-n="count cases" data-where="board=virtual"', ""), "no address"),
    "a bare number": (swap(r"Causes</h2>", "Causes: 3</h2>"), "no address"),
    "a mark": (swap(r'(<use href="#s0" x=")(\d+)', r"\g<1>1\g<2>"), "is not at"),
    "a mark's title": (swap(r"(<title>[\w-]+-[\w-]+: )([\d.]+)", r"\g<1>7\g<2>"), "the record says"),
    "a band": (swap(r'(<rect class="band"[^>]*height=")', r"\g<1>9"), "is not from"),
    "a tick": (swap(r'(data-tick="x" data-value="0.25">)25', r"\g<1>35"), "the record says"),
    "a reason": (swap(r"off by 0\.32", "off by 0.23"), "the record says"),
    "a replay command": (
        swap(r'(data-t="replay">rknn-harness replay [^<]*)2\.2\.0', r"\g<1>2.3.0"),
        "the record",
    ),
    "a version": (swap(r'(data-m="versions/numpy">)\d', r"\g<1>9"), "the manifest says"),
    "the verdict": (swap(r"<title>FAIL: (\d+) of", r"<title>FAIL: 1\1 of"), "the verdict"),
    "a toolkit": (swap(r'data-l="toolkit">2\.2\.0', 'data-l="toolkit">2.2.9'), "no toolkit"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_page_that_tells_another_number_is_caught(run: Path, tmp_path: Path, fault: str) -> None:
    spoil, says = FAULTS[fault]
    copy = tmp_path / "runs" / "matrix"
    shutil.copytree(run, copy)
    page = copy / "report.html"
    page.write_text(spoil(page.read_text("utf-8")), "utf-8")
    complaints = audit(copy)
    assert complaints
    assert says in complaints[0]


def test_a_record_that_changes_after_the_page_is_caught(run: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (run / "cases.jsonl").read_text("utf-8").splitlines()]
    copy = tmp_path / "runs" / "matrix"
    shutil.copytree(run, copy)
    lines[3]["metrics"]["board"]["output_error"] *= 1.001
    (copy / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    assert any("the record" in complaint for complaint in audit(copy))

"""The page for programs names the fields that are written, and the codes that there are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rknn_harness.records.outcomes import ExitCode
from rknn_harness.records.run_folder import FORMAT
from rknn_harness.report.comparison import compare
from rknn_harness.report.comparison.page import write_comparison
from rknn_harness.report.render import write_report
from rknn_harness.report.trend import trend
from rknn_harness.report.trend_page import write_trend
from scirknn.termination import TERMINATED
from tests.docs.pages import ROOT
from tests.harness.samples import mixed_results, write_run

PAGE = (ROOT / "docs" / "for-programs.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"^#+ ", PAGE, flags=re.MULTILINE)}


def written(folder: Path) -> dict[str, dict[str, object]]:
    run = write_run(folder / "run", mixed_results(2))
    paths = {
        "summary.json": write_report(run).with_name("summary.json"),
        "compare.json": write_comparison(compare(run, run), folder).with_suffix(".json"),
        "trend.json": write_trend(trend([run]), folder).with_suffix(".json"),
        "manifest.json": run.path / "manifest.json",
    }
    return {name: json.loads(path.read_text("utf-8")) for name, path in paths.items()}


def test_every_field_and_format_of_a_file_is_on_the_page(tmp_path: Path) -> None:
    documents = written(tmp_path)
    formats = dict(re.findall(r"^\| `([a-z]+\.json)`.*\| (\d) \|$", SECTIONS["Files"], re.MULTILINE))
    assert formats == {name: str(document["format"]) for name, document in documents.items()}
    assert formats["manifest.json"] == str(FORMAT)
    for name in ("summary.json", "compare.json", "trend.json"):
        rows = re.findall(r"^(?:\| )?(`.*?)(?: \||:)", SECTIONS[name], re.MULTILINE)
        fields = {field for row in rows for field in re.findall(r"`(\w+)`", row)}
        assert fields | {"format"} == set(documents[name])


def test_every_exit_code_is_on_the_page() -> None:
    codes = re.findall(r"^\| (\d+) \|", SECTIONS["Exit codes"], re.MULTILINE)
    assert list(map(int, codes)) == [*ExitCode, TERMINATED]


@pytest.mark.parametrize("page", ["README.md", "harness/README.md"])
def test_the_readme_has_the_same_codes(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    assert "Exit codes: 0 clean, 1 conformance failures, 2 usage, 3 infrastructure." in " ".join(text.split())

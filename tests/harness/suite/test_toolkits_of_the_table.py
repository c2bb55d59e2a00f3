"""``--toolkit all``: the table's toolkits, and a row for each whose wheel was not supplied."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from rknn_harness.records.run_folder import read_run
from rknn_harness.report.views import write_views
from rknn_harness.screen.header import not_run_lines
from rknn_harness.suite.pytest_plugin import available_toolkits
from sklearn2rknn.toolkit.pins.versions import toolkit_version, toolkit_versions
from sklearn2rknn.toolkit.pins.wheel import is_supplied
from tests.harness.report.test_accepted import finished
from tests.harness.report.test_sides_of_a_run import written
from tests.harness.samples import mixed_results

OLDEST = "1.5.0"
REASON = "wheel not supplied"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what the user supplies."""
    monkeypatch.setenv("SKLEARN2RKNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_oldest_comes_first_once_its_wheel_was_supplied(cache: Path) -> None:
    by_index = [version for version in toolkit_versions() if toolkit_version(version).wheel.source == "index"]
    chosen, left_out = available_toolkits(["all"])
    assert chosen == by_index
    assert left_out[0] == {"toolkit": OLDEST, "reason": REASON}
    assert {*chosen, *(each["toolkit"] for each in left_out)} == set(toolkit_versions())

    entry = toolkit_version(OLDEST)
    (name,) = (file.name for file in entry.wheel.files if file.python in entry.pythons)
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / name).touch()
    assert is_supplied(entry)
    chosen, left_out = available_toolkits(["all"])
    assert chosen == [OLDEST, *by_index]
    assert OLDEST not in [each["toolkit"] for each in left_out]
    assert available_toolkits(["2.3.2@venv"]) == (["2.3.2@venv"], [])


def test_report_summary_and_screen_have_a_row_for_what_was_not_run(tmp_path: Path) -> None:
    run = read_run(finished(tmp_path / "run", mixed_results(1)[:4]))
    left_out = [{"toolkit": version, "reason": REASON} for version in (OLDEST, "1.5.2")]
    path = written(
        attrs.evolve(run, manifest={**run.manifest, "not_run": left_out}), tmp_path / "partly"
    ).path
    write_views(path)
    assert f"| {OLDEST} | not run: {REASON} |" in (path / "report.md").read_text("utf-8")
    page = (path / "report.html").read_text("utf-8")
    assert f'<dd>not run: <span data-m="not_run/0/reason">{REASON}</span></dd>' in page
    assert not_run_lines(left_out) == [f"  not run  {OLDEST} 1.5.2: {REASON}"]

"""A run becomes the accepted one by a person's command, and by nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rknn_harness.commands.cli import main
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.run_folder import RunFolder, read_run
from tests.harness.samples import failed_results, mixed_results, write_run


def finished(path: Path, results: list[CaseResult]) -> Path:
    """Write a complete run."""
    write_run(path, results)
    with RunFolder(path) as folder:
        folder.finish()
    return path


def command(*words: object) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def test_the_first_run_is_compared_once_a_person_has_accepted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RKNN_HARNESS_OWNER", "ann@desk")
    run = finished(tmp_path / "tonight", mixed_results(2)[:8])
    accepted = tmp_path / "accepted"
    shown = command("compare", accepted, run)
    assert shown.exit_code == 3
    assert f"accept it: rknn-harness accept {run} --as {accepted}" in shown.output
    assert not accepted.exists()

    shown = command("accept", run)
    assert shown.exit_code == 0, shown.output
    assert (
        f"{accepted} is {run} now, accepted by ann@desk: All 8 cases agree with scikit-learn." in shown.output
    )
    assert read_run(accepted).results == read_run(run).results
    assert json.loads((accepted / "manifest.json").read_text())["accepted"]["by"] == "ann@desk"
    assert "accepted" not in read_run(run).manifest
    assert command("compare", accepted, run).exit_code == 0
    started = read_run(run).manifest["started"]
    for page in ("compare.html", "compare.md"):  # since when
        assert f"accepted ran {started}, accepted by ann@desk 20" in (run / page).read_text()
        assert f"; tonight ran {started}." in (run / page).read_text()


def test_a_later_run_takes_the_place_of_the_accepted_one(tmp_path: Path) -> None:
    first = finished(tmp_path / "first", mixed_results(2)[:8])
    second = finished(tmp_path / "second", [*mixed_results(2)[:8], failed_results()[0]])
    for run in (first, second):
        assert command("accept", run, "--as", tmp_path / "kept").exit_code == 0
    assert len(read_run(tmp_path / "kept").results) == 9
    assert sorted(os.listdir(tmp_path)) == ["first", "kept", "second"]
    # What fails in the accepted run is no regression.
    assert command("compare", tmp_path / "kept", second).exit_code == 0
    assert command("compare", first, second).exit_code == 0, "a new case is no regression either"


def test_the_accepted_run_stays_where_another_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = finished(tmp_path / "first", mixed_results(2)[:8])
    second = finished(tmp_path / "second", mixed_results(2)[:9])
    assert command("accept", first, "--as", tmp_path / "kept").exit_code == 0
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if source.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    shown = command("accept", second, "--as", tmp_path / "kept")
    assert (shown.exit_code, "No space left on device" in shown.output) == (3, True)
    assert len(read_run(tmp_path / "kept").results) == 8
    assert sorted(os.listdir(tmp_path)) == ["first", "kept", "second"]


def test_what_is_incomplete_or_no_run_is_not_accepted(tmp_path: Path) -> None:
    stopped = write_run(tmp_path / "stopped", mixed_results(2)[:8]).path
    untried = finished(tmp_path / "untried", failed_results())
    good = finished(tmp_path / "good", mixed_results(2)[:8])
    (tmp_path / "other").mkdir()
    for run, target, expected in (
        (stopped, "kept", "is not complete, and 0 of its cases could not be tried."),
        (untried, "kept", "is not complete, and 1 of its cases could not be tried."),
        (good, "other", "holds something else than a run."),
        (good, "good", "itself cannot be the copy."),
    ):
        shown = command("accept", run, "--as", tmp_path / target)
        assert (shown.exit_code, expected in shown.output) == (3, True), shown.output
    assert sorted(os.listdir(tmp_path)) == ["good", "other", "stopped", "untried"]
    assert not list((tmp_path / "other").iterdir())

"""A board's answers to the probe beside its results in a run's report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rknn_harness.commands.cli import main
from rknn_harness.errors import RunFolderError
from rknn_harness.probe.agreement import for_report
from rknn_harness.probe.asking import QUESTIONS, Answered
from rknn_harness.probe.facts_file import ProbeRun, document, write_facts
from rknn_harness.probe.question import UNDECIDED, Answer
from rknn_harness.report.board_facts import keep_facts, kept_facts
from tests.harness.report.page_audit import audit
from tests.harness.samples import mixed_results, write_run


def facts_of(board: str, answers: Mapping[str, str], *, virtual: bool = False) -> dict[str, Any]:
    run = ProbeRun(
        board=board, virtual=virtual, toolkit="2.3.2", platform="rk3588", versions={}, facts={},
        facts_after={}, clocks=(), started="2026-11-28T10:00:00", seconds=1.0,
    )  # fmt: skip
    return document([Answered(QUESTIONS[name], Answer(key), 0.1) for name, key in answers.items()], run)


ANSWERS = {"sum_order": "exact", "rows_a_task": "to_2047", "overflow": UNDECIDED, "one_row": "same"}


def test_a_report_shows_the_answers_and_which_are_news(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(1))
    (board, *_) = run.manifest["boards"]
    write_facts(tmp_path / "desk.json", facts_of(board, ANSWERS))
    shown = CliRunner().invoke(main, ["report", "--facts", str(tmp_path / "desk.json"), str(run.path)])
    assert shown.exit_code == 0, shown.output
    page = (run.path / "report.html").read_text("utf-8")
    assert page.count("News: other boards were measured to answer so") == 1
    assert QUESTIONS["rows_a_task"].answers["all"] in page
    assert "an emulator" not in page
    assert audit(run.path) == []
    # They stay with the run.
    assert CliRunner().invoke(main, ["report", str(run.path)]).exit_code == 0
    assert (run.path / "report.html").read_text("utf-8") == page


def test_answers_survive_their_file_and_replace_earlier_ones(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(1))
    (board, *_) = run.manifest["boards"]
    for answers in ({"one_row": "differ"}, ANSWERS):
        kept = for_report(facts_of(board, answers, virtual=True))
        keep_facts(run.path, kept)
        assert kept_facts(run.path) == (kept,)
    assert {each.name: bool(each.expected) for each in kept.answers} == {
        "sum_order": True,
        "rows_a_task": True,
        "overflow": False,
        "one_row": False,
    }


def test_facts_of_a_board_that_the_run_has_not_are_refused(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(1))
    with pytest.raises(RunFolderError, match="The facts are of 'shelf'; this run was on"):
        keep_facts(run.path, for_report(facts_of("shelf", {})))
    assert not (run.path / "facts").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"board": 1, "started": "", "virtual": true, "answers": []}'])
def test_damaged_facts_are_an_error_of_the_run_s_folder(tmp_path: Path, text: str) -> None:
    (tmp_path / "facts").mkdir()
    (tmp_path / "facts" / "0.json").write_text(text)
    with pytest.raises(RunFolderError, match="holds facts that cannot be read"):
        kept_facts(tmp_path)

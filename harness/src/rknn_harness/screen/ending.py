"""The end of a run: table, causes, one verdict, the report's path, the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import FAIL, INCOMPLETE, PASS, Kind
from rknn_harness.records.printed_commands import resume_command, shown_path
from rknn_harness.records.run_folder import Run
from rknn_harness.screen.causes import cause_lines, causes_of, refusal_lines
from rknn_harness.screen.table import table
from rknn_harness.screen.tally import Tally, tally
from rknn_harness.screen.text import INDENT, paragraph
from scirknn.text import count_of

_OWN_MODEL = "judge your own model:  rknn-harness run --model mine.skops --rows X.npy"
_OWN_BOARD = "try it on your board:  docs/add-a-board.md"
_NOT_PROVED = "Not proved here: how this chip rounds, and its speed. You need a board:"
_MIXED = "Boards without an NPU prove neither how a chip rounds nor its speed:"


def ending(run: Run, plan: Sequence[Entry], *, show_all: bool = False) -> list[str]:
    """Return the last lines of a run; a command or a path is never broken.

    Parameters
    ----------
    run : Run
    plan : sequence of Entry
        The plan.
    show_all : bool
        Whether the table has a row for every data set.
    """
    totals = tally(run, plan)
    wrong, untried = causes_of(totals, Kind.WRONG), causes_of(totals, Kind.UNTRIED)
    blocks = [table(totals, show_all=show_all), _scores(run), refusal_lines(totals)]
    if wrong:
        blocks.append(_failed(totals, len(wrong)) + cause_lines(wrong, totals, run))
    if totals.count(Kind.UNTRIED) or not totals.total:
        blocks.append(_incomplete(totals, is_verdict=not wrong) + cause_lines(untried, totals, run))
    elif not wrong:
        blocks.append(_passed(totals, run.manifest))
    blocks.append(
        [
            f"{INDENT}report   {shown_path(run.path / 'report.html')}",
            f"{INDENT}next     {_next(totals, run, plan)}",
        ]
    )
    return [line for block in filter(None, blocks) for line in ["", *block]]


def _scores(run: Run) -> list[str]:
    """Return the score of each of a user's own models."""
    lines = []
    for result in run.results:
        score = result.score
        if score is not None:
            npu, sklearn = (
                "unknown" if value is None else f"{value:.4f}" for value in (score.board, score.sklearn)
            )
            lines += paragraph(
                f"{INDENT}{result.case.group} {result.case.precision}   ",
                f"{score.measure} {npu} on the NPU, {sklearn} in scikit-learn ({score.rows} rows)",
            )
    return lines


def _failed(totals: Tally, causes: int) -> list[str]:
    known_failures = totals.count(Kind.KNOWN)
    wrong = f"{totals.count(Kind.WRONG)} of {count_of(totals.total, totals.noun)}"
    besides = f"; {count_of(known_failures, 'known failure')} besides" * bool(known_failures)
    return _paragraph(FAIL, f"{count_of(causes, 'cause')}, {wrong}{besides}")


def _incomplete(totals: Tally, *, is_verdict: bool) -> list[str]:
    untried = totals.count(Kind.UNTRIED)
    words = f"{untried} of {count_of(totals.total, totals.noun)} could not be tried"
    if totals.untried == untried:
        words = f"{untried} of {count_of(totals.total, totals.noun)} were not tried: the run was ended"
    if not totals.total:
        words = "nothing was tried"
    if is_verdict:
        return _paragraph(INCOMPLETE, f"{words}. {_counts(totals)}" if totals.total else f"{words}.")
    return paragraph(INDENT, f"And {words}.")


def _passed(totals: Tally, manifest: Mapping[str, Any]) -> list[str]:
    lines = _paragraph(PASS, _counts(totals))
    known_failures = totals.count(Kind.KNOWN)
    if known_failures:
        lines += _paragraph("", f"{count_of(known_failures, 'known failure')}; no new ones.")
    virtual = [bool(facts.get("virtual")) for facts in manifest["boards"].values()]
    if any(virtual):
        lines += _paragraph("", _NOT_PROVED if all(virtual) else _MIXED)
        lines += _paragraph("", "docs/add-a-board.md")
    return lines


def _counts(totals: Tally) -> str:
    refused = totals.count(Kind.REFUSED)
    words = f"{count_of(totals.count(Kind.RIGHT), totals.noun)} right"
    return (
        words
        + f", {refused} refused by the converter" * bool(refused)
        + f", {totals.count(Kind.WRONG)} wrong."
    )


def _next(totals: Tally, run: Run, plan: Sequence[Entry]) -> str:
    if totals.count(Kind.UNTRIED):
        return f"go on, once what broke is mended:  {resume_command(run.path)}"
    if causes_of(totals, Kind.WRONG):
        return "look at a cause in the report, and try its case again"
    if plan and all(entry.case.kind == "own" for entry in plan):
        return _OWN_BOARD
    return _OWN_MODEL


def _paragraph(verdict: str, text: str) -> list[str]:
    return paragraph(f"{INDENT}{verdict:5}  ", text)

"""The first lines of a run: its question, boards, models and expected time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rknn_harness.boards.boards_file import Board
from rknn_harness.records.entry import Entry
from rknn_harness.records.reading import READ_ERRORS, read_document
from rknn_harness.screen.text import INDENT
from scirknn.files import read_file
from scirknn.text import count_of

TITLE = "scirknn: does the NPU compute what scikit-learn computes?"

_START_SECONDS = 15.0
_CASE_SECONDS = 2.0
"""Of one process on the virtual board without an earlier run [measured: 0.5 to 3 s, two cores]."""

_RUNS_READ = 5
_MOST_BYTES = 1 << 28  # of an earlier run's record, whose lines are counted
_KINDS = {
    "dataset": "fixed",
    "random": "random",
    "family": "of families",
    "corpus": "failed before",
    "own": "yours",
}


def board_lines(boards: Mapping[str, Board]) -> list[str]:
    """Return a line for each board."""
    labels = ["board", *[""] * len(boards)]
    return [
        f"{INDENT}{label:7}  {_board(board)}" for label, board in zip(labels, boards.values(), strict=False)
    ]


def plan_lines(toolkits: Sequence[str], plan: Sequence[Entry], seconds: float | None) -> list[str]:
    """Return the line with toolkits, number of models and expected time.

    Parameters
    ----------
    toolkits : sequence of str
    plan : sequence of Entry
    seconds : float or None
        The expected time; None where it is unknown.
    """
    models = {entry.case.id: entry.case.kind for entry in plan}
    kinds = [
        f"{count} {word}"
        for kind, word in _KINDS.items()
        if (count := sum(each == kind for each in models.values()))
    ]
    line = f"{INDENT}toolkit  {' '.join(toolkits)}     models {len(models)} ({', '.join(kinds)})"
    lines = [line if models else line.partition("     ")[0] + "     no models"]
    cases = f"{len(plan)} cases" if len(plan) != len(models) else ""
    time = f"about {_rounded(seconds)}" if seconds is not None else ""
    remainder = "     ".join(filter(None, [cases, time]))
    if not remainder:
        return lines
    joined = f"{lines[0]}     {remainder}"
    return [joined] if len(joined) <= 80 else [*lines, f"{INDENT}{'':7}  {remainder}"]


def not_run_lines(toolkits: Iterable[Mapping[str, str]]) -> list[str]:
    """Return a line for each reason for which toolkits of the table are not run."""
    by_reason: dict[str, list[str]] = {}
    for each in toolkits:
        by_reason.setdefault(each["reason"], []).append(each["toolkit"])
    return [f"{INDENT}not run  {' '.join(names)}: {reason}" for reason, names in by_reason.items()]


def expected_seconds(
    plan: Sequence[Entry], boards: Mapping[str, Board], runs: Path, jobs: int
) -> float | None:
    """Return what a run should take, by the latest complete run on the same boards, else by a plain model.

    Parameters
    ----------
    plan : sequence of Entry
        What is to be tried.
    boards : mapping of str to Board
    runs : pathlib.Path
        The folder of earlier runs.
    jobs : int
        Processes that work side by side.

    Returns
    -------
    float or None
        None for a board over SSH that no earlier run was on.
    """
    for path in sorted(runs.glob("*/manifest.json"), reverse=True)[:_RUNS_READ]:
        a_case = _seconds_a_case(path, boards)
        if a_case is not None:
            return a_case * len(plan)
    if not all(board.made_for_each_use for board in boards.values()):
        return None
    return _START_SECONDS + _CASE_SECONDS * len(plan) / max(jobs, 1)


def _seconds_a_case(path: Path, boards: Iterable[str]) -> float | None:
    try:
        manifest = read_document(path)
        if set(manifest["boards"]) != set(boards):
            return None
        started, finished = (datetime.fromisoformat(manifest[name]) for name in ("started", "finished"))
        seconds = (finished - started).total_seconds()
        count = read_file(path.parent / "cases.jsonl", _MOST_BYTES).count(b"\n")
    except (OSError, *READ_ERRORS):
        return None  # a run of another format, or an incomplete one
    return seconds / count if count and seconds > 0 else None  # less: the clock was set back


def _board(board: Board) -> str:
    if board.made_for_each_use and board.virtual:
        return f"{board.name} (no NPU: the model file's program, executed in numpy)"
    place = f"{board.user}@{board.host}" + f":{board.port}" * (board.port != 22) if board.host else board.kind
    if board.virtual or board.device == "virtual":
        return f"{board.name} ({place} over SSH; no NPU: executed in numpy)"
    return f"{board.name} ({place} over SSH)"


def _rounded(seconds: float) -> str:
    """Return a time with two digits at most."""
    if seconds < 90:
        return f"{max(10, round(seconds, -1)):.0f} s"
    if seconds < 5400:
        return count_of(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"

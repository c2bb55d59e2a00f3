"""What the device suite asks of a run: a toolkit, a board and a folder, and how a case is recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

import sklearn2rknn
from rknn_harness.board_link import BoardLink
from rknn_harness.boards import Board
from rknn_harness.case import Case, CaseResult
from rknn_harness.conformance import run_case
from rknn_harness.errors import InfraError
from rknn_harness.junit import write_junit
from rknn_harness.outcomes import Outcome, Stage
from rknn_harness.report import write_report
from rknn_harness.run_folder import RunFolder, manifest, read_run
from rknn_harness.virtual_board import started

__all__ = ["ConformanceFailure", "Suite", "open_suite", "write_views"]


class ConformanceFailure(AssertionError):
    """A case did not pass; the text says which, where, why, and how to run it again."""


@attrs.frozen(eq=False)
class Suite:
    """A run under way.

    Attributes
    ----------
    toolkit : Toolkit or None
        None when it could not be had; every case then ends as `trouble` says.
    link : BoardLink or None
        None when the board could not be started.
    folder : RunFolder
    trouble : str
    board : str
        The board's name.
    results : list of CaseResult
        What was recorded, in order.
    """

    toolkit: sklearn2rknn.Toolkit | None
    link: BoardLink | None
    folder: RunFolder
    trouble: str = ""
    board: str = "virtual"
    results: list[CaseResult] = attrs.field(factory=list)

    def run(self, case: Case) -> CaseResult:
        """Try a case without recording it."""
        if self.toolkit is None or self.link is None:
            return CaseResult(case, Outcome.INFRA_ERROR, Stage.BOARD, self.trouble, board=self.board)
        return run_case(case, self.toolkit, self.link)

    def record(self, result: CaseResult) -> None:
        """Write a result to the run's folder at once."""
        self.folder.record(result)
        self.results.append(result)

    def conduct(self, case: Case) -> CaseResult:
        """Try a case and record it."""
        result = self.run(case)
        self.record(result)
        return result

    def require(self, result: CaseResult) -> None:
        """Raise unless a case passed or was refused in plain words.

        Raises
        ------
        ConformanceFailure
        """
        if result.outcome in (Outcome.PASS, Outcome.UNSUPPORTED):
            return
        stage = f" at stage {result.stage.value}" if result.stage is not None else ""
        raise ConformanceFailure(
            f"{result.case.id}: {result.outcome.value}{stage}. {result.reason}\n"
            f"Run it again: rknn-harness replay {self.folder.path} {result.case.id}"
        )


@contextlib.contextmanager
def open_suite(
    *, board: Board, toolkit: str, folder: RunFolder, precisions: Sequence[str], seed: int
) -> Iterator[Suite]:
    """Start the board and the toolkit, and write the run's manifest.

    What cannot be had is no exception: every case is then recorded as ``infra_error``, with the reason.

    Parameters
    ----------
    board : Board
    toolkit : str
        Version, and after an ``@`` what it is to run in.
    folder : RunFolder
        It stays open.
    precisions : sequence of str
    seed : int
    """
    logs = folder.path / "logs"
    with contextlib.ExitStack() as stack:
        trouble, opened, link = [], None, None
        used: dict[str, Any] = {"version": toolkit, "lock_sha256": None}
        try:
            opened = stack.enter_context(sklearn2rknn.open_toolkit(toolkit))
            used = {"version": opened.version, **opened.environment.to_json()}
        except (sklearn2rknn.Sklearn2RknnError, OSError) as error:
            trouble.append(f"No toolkit: {error}")
        facts: dict[str, Any] = {}
        try:
            link = stack.enter_context(
                BoardLink(stack.enter_context(started(board, logs / "virtual_board")), logs)
            )
            facts |= link.facts()
        except InfraError as error:
            trouble.append(f"No board: {error}")
        folder.write_manifest(
            manifest(
                toolkits=[used],
                boards={board.name: facts | {"virtual": board.virtual, "device": board.device}},
                precisions=precisions,
                seed=seed,
            )
        )
        yield Suite(opened, link, folder, " ".join(trouble), board.name)


def write_views(path: Path) -> Path:
    """Write the views of a run, ``junit.xml`` and the report, and return the report's page."""
    run = read_run(path)
    write_junit(run)
    return write_report(run)

"""The suite's screen while pytest runs it: header, live line and end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.plan.expectation_updates import ListUpdate
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Kind
from rknn_harness.records.run_folder import RunFolder, read_run
from rknn_harness.screen.ending import ending
from rknn_harness.screen.header import TITLE, board_lines, expected_seconds, not_run_lines, plan_lines
from rknn_harness.screen.live import Live, Record, live
from rknn_harness.screen.printer import own_stdout, print_lines
from rknn_harness.screen.text import INDENT, paragraph
from rknn_harness.suite.run_options import RunOptions


class RunScreen:
    """A plugin of pytest's first process: shows a run from its first line to its last.

    Parameters
    ----------
    config : pytest.Config
    options : RunOptions
        The run's, with nothing left open.
    """

    def __init__(self, config: pytest.Config, options: RunOptions) -> None:
        self._config, self._options, self._stream = config, options, own_stdout()
        self._live: Live | None = None
        self._record: Record | None = None
        self._plan: Mapping[str, Entry] = {}
        self._chosen: set[str] = set()
        self._done, self._wrong, self._current = 0, 0, ""
        self._notes: list[str] = []
        self.errors: dict[str, None] = {}
        """Why tests of cases could not begin, each reason once."""

    @property
    def _shows_pytest(self) -> bool:
        """Whether pytest's own progress is shown."""
        return self._config.pluginmanager.hasplugin("terminalreporter")

    def show_header(self, boards: Mapping[str, Board]) -> None:
        """Print the first lines, before a board or a toolkit is looked at."""
        print_lines([TITLE, *board_lines(boards)], self._stream)

    def show_plan(self, folder: RunFolder, boards: Mapping[str, Board]) -> None:
        """Print what will be tried, and begin the live line."""
        plan = folder.plan()
        self._record = Record(folder.path / "cases.jsonl")
        self._plan = {entry.name: entry for entry in plan}
        self._read()
        jobs = getattr(self._config.option, "numprocesses", None) or 1
        left = plan[self._done :]
        seconds = expected_seconds(left, boards, folder.path.parent, jobs)
        lines = plan_lines(self._options.toolkit, plan, seconds) + not_run_lines(
            folder.manifest().get("not_run", ())
        )
        print_lines([*lines, ""], self._stream)
        if not self._shows_pytest:
            self._live = live(len(plan), self._done, self._stream)
            self._show()

    def say(self, text: str) -> None:
        """Show what is done when no case of the plan is tried."""
        if self._live is not None:
            self._live.say(text)

    def end(self, folder: Path, plan: Sequence[Entry]) -> None:
        """Take the live line away and print table, verdict and next step."""
        self.close()
        if self._options.keyword and self._chosen:
            plan = [entry for entry in plan if entry.name in self._chosen]
        lines = ending(read_run(folder), plan, show_all=self._options.all_rows)
        errors = [line for error in self.errors for line in paragraph(f"{INDENT}error    ", error)]
        lines += [""] * bool(errors) + errors
        print_lines([*lines, *([""] * bool(self._notes)), *self._notes], self._stream)

    def note(self, updates: Iterable[ListUpdate]) -> None:
        """Print at the end what was changed in the lists of known failures."""
        self._notes += [f"{INDENT}{update}" for update in updates] or [
            f"{INDENT}no list of known failures changed"
        ]

    def close(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            self._live.close()
            self._live = None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which cases ``-k`` leaves."""
        self._choose(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note which cases ``-k`` leaves; pytest-xdist's workers look."""
        self._choose(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Name the case whose first test begins."""
        entry = self._entry(nodeid)
        if entry is not None and self._current != entry.case.id:
            self._current = entry.case.id
            self._show()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the cases that ended since; note why a test could not begin."""
        if report.failed and report.when != "call":
            crash = getattr(report.longrepr, "reprcrash", None)
            self.errors[str(report.longrepr if crash is None else crash.message)] = None
        if self._read():
            self._show()

    def pytest_unconfigure(self) -> None:
        """Close the stream, unless it is the process's own."""
        if self._stream is not sys.stdout:
            self._stream.close()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Print why the suite itself cannot be run."""
        if report.failed and not self._shows_pytest:
            self.close()
            print_lines(str(report.longrepr).splitlines(), self._stream)

    def _choose(self, ids: Iterable[str]) -> None:
        entries = map(self._entry, ids)
        self._chosen |= {entry.name for entry in entries if entry is not None}
        if self._live is not None and self._chosen:
            self._live.expect(len(self._chosen))

    def _entry(self, nodeid: str) -> Entry | None:
        """Return the entry of the plan that a test is about: by its id."""
        name = nodeid.partition("[")[2].removesuffix("]")
        return self._plan.get(name) or self._plan.get(name.rpartition("-")[0])

    def _show(self) -> None:
        if self._live is not None:
            self._live.show(self._done, self._wrong, self._current)

    def _read(self) -> bool:
        lines = [] if self._record is None else self._record.read()
        results = [CaseResult.from_json(json.loads(line)) for line in lines]
        self._done += len(results)
        self._wrong += sum(result.kind is Kind.WRONG for result in results)
        return bool(results)


def screen_of(config: pytest.Config) -> RunScreen | None:
    """Return the screen of pytest's first process; None in a worker."""
    found: Any = config.pluginmanager.get_plugin("rknn-screen")
    return found if isinstance(found, RunScreen) else None

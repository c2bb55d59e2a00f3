"""One process's part of a run: results by entry, recorded or tried now."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest

import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.conformance.run_case import CaseFiles, convert_model, run_case
from rknn_harness.conversions.scheduler import Scheduler, SchedulerSettings
from rknn_harness.conversions.source import ConversionSource
from rknn_harness.conversions.store import ConversionStore
from rknn_harness.errors import InfraError, RunFolderError, SchedulerError
from rknn_harness.models.own_model import is_estimator
from rknn_harness.plan.corpus import keep
from rknn_harness.plan.drawing import Draw, smallest_case
from rknn_harness.plan.expectations import Expectation, expected_reason
from rknn_harness.records.case import Case, Key
from rknn_harness.records.case_result import MADE_SMALLER, CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.latency import Latency
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.printed_commands import replay_command
from rknn_harness.records.query import failed_properties
from rknn_harness.records.run_folder import RunFolder, read_run, statement

SHRINK_TRIES = 60
"""Smaller models tried at most for each kind of failure; every one is a conversion and a run."""

SHRINK_KINDS = 8
"""Kinds of failure that are made smaller: where there are more, all is broken."""

T = TypeVar("T")


@attrs.frozen
class _Unavailable:
    """A toolkit, a scheduler or a board that cannot be opened."""

    stage: Stage
    error: Exception

    def result(self, entry: Entry) -> CaseResult:
        kind = "board" if self.stage is Stage.BOARD else "toolkit"
        reason = str(self.error) if isinstance(self.error, SchedulerError) else f"No {kind}: {self.error}"
        return CaseResult(entry.case, Outcome.INFRA_ERROR, self.stage, reason, board=entry.board)


class ConformanceFailure(AssertionError):
    """A case did not pass; the text has the reason and the command that repeats it."""


@attrs.frozen
class SuiteOptions:
    """How a run tries and judges its entries.

    Attributes
    ----------
    expectations : sequence of Expectation
    baseline : mapping of Key to Latency
        What calls are held to, see `read_baseline`.
    logs : pathlib.Path or None
        None: the run folder's ``logs``.
    wait : float
        Seconds for which a board that others have is waited for.
    trust_pickle : bool
        Load a user's pickle whatever it names.
    store : pathlib.Path or None
        Where conversions are kept, and taken from.
    scheduler : SchedulerSettings or None
        Where conversions are done; None: in the processes of the run.
    """

    expectations: Sequence[Expectation] = ()
    baseline: Mapping[Key, Latency] = attrs.field(factory=dict)
    logs: Path | None = None
    wait: float = 5.0
    trust_pickle: bool = False
    store: Path | None = None
    scheduler: SchedulerSettings | None = None


def read_baseline(path: str | None, plan: Sequence[Entry]) -> dict[Key, Latency]:
    """Return the times of an accepted run that calls are held to.

    Raises
    ------
    RunFolderError
        It cannot be read, or has a time for no case of the plan.
    """
    if not path:
        return {}
    results = read_run(Path(path)).results
    times = {result.key: result.latency for result in results if result.latency is not None}
    if not any(entry.key in times for entry in plan):
        raise RunFolderError(
            f"{path} has a time for no case of this run: its boards, toolkits, models or seed are others. "
            "Name a run of the same as --baseline, or leave it out."
        )
    return times


class Suite:
    """The part of a run that one process does; a context manager.

    Toolkits and boards are opened when the first entry needs them. Where one cannot be opened, its entries
    are recorded as ``infra_error``, with the reason.

    Parameters
    ----------
    folder : RunFolder
        It stays open.
    boards : mapping of str to Board
    toolkits : mapping of str to str
        By version, what to open: the version, and after an ``@`` what it is to run in.
    options : SuiteOptions

    Attributes
    ----------
    results : dict of Key to CaseResult
        What is recorded.
    """

    def __init__(
        self,
        folder: RunFolder,
        boards: Mapping[str, Board],
        toolkits: Mapping[str, str],
        options: SuiteOptions = SuiteOptions(),
    ) -> None:
        self.folder = folder
        self.results: dict[Key, CaseResult] = {result.key: result for result in read_run(folder.path).results}
        self._boards, self._toolkits, self._options = boards, toolkits, options
        self._logs = options.logs or folder.path / "logs"
        self._claim = Claim(f"run {folder.path.name}", options.wait)
        self._stack = contextlib.ExitStack()
        self._opened: dict[str, Any] = {}
        self._others: Sequence[Entry] = ()
        own = folder.path / "own"
        self._files = CaseFiles(folder.path, folder.path / "corpus", own, options.trust_pickle)

    def start(self, entries: Sequence[Entry], worker: str = "") -> None:
        """Begin with the conversions of entries, where a scheduler does them.

        Parameters
        ----------
        entries : sequence of Entry
        worker : str
            pytest-xdist's name of this process; empty where there is one process, which then takes the
            entries in the order in which their conversions come.
        """
        source = self._conversions()
        if isinstance(source, ConversionSource):
            left = [entry for entry in entries if entry.key not in self.results]
            source.start([entry.case for entry in left], self._files, keep=worker in ("", "gw0"))
            self._others = () if worker else left

    def result(self, entry: Entry) -> CaseResult:
        """Return an entry's recorded result, or try and record it."""
        while entry.key not in self.results:
            result = self.run(self._next(entry))
            self.record(attrs.evolve(result, expected=expected_reason(self._options.expectations, result)))
        return self.results[entry.key]

    def _next(self, entry: Entry) -> Entry:
        """Return an entry that need not wait for its conversion; this one where all must."""
        source = self._conversions()
        if not isinstance(source, ConversionSource):
            return entry
        self._others = [other for other in self._others if other.key not in self.results]
        return next((each for each in (entry, *self._others) if source.is_ready(each.case)), entry)

    def run(self, entry: Entry) -> CaseResult:
        """Try an entry without recording it."""
        source = self._conversions()
        if isinstance(source, _Unavailable):
            return source.result(entry)
        toolkit: sklearn2rknn.Toolkit | None = None
        if entry.case.kind != "own" or is_estimator(self.folder.path / "own" / str(entry.case.source)):
            opened = self._open_once(self._open_toolkit, entry.case.toolkit, Stage.SIMULATOR)
            if isinstance(opened, _Unavailable):
                return opened.result(entry)
            toolkit = opened
        link = self._open_once(self._open_board, entry.board, Stage.BOARD)
        if isinstance(link, _Unavailable):
            return link.result(entry)
        return run_case(
            entry.case,
            toolkit,
            link,
            files=self._files,
            baseline=self._options.baseline.get(entry.key),
            convert=convert_model if source is None else source.convert,
        )

    def record(self, result: CaseResult) -> None:
        """Write a result to the run's folder at once."""
        self.folder.record(result)
        self.results[result.key] = result

    def require(self, result: CaseResult) -> None:
        """Raise unless a case passed or was refused by the converter.

        Raises
        ------
        ConformanceFailure
        """
        if result.expected and not result.is_failure:
            raise ConformanceFailure(
                f"{result.case.id} passes and is expected to fail: {result.expected} Remove it from "
                f"expectations/{result.board}-{result.case.toolkit}.txt."
            )
        if result.outcome not in (Outcome.PASS, Outcome.UNSUPPORTED):
            if result.expected:
                pytest.xfail(result.expected)
            stage = f" at stage {result.stage.value}" if result.stage is not None else ""
            raise ConformanceFailure(
                f"{result.case.id}: {result.outcome.value}{stage}. {result.reason}\n{self._repeat(result)}"
            )

    def require_property(self, result: CaseResult, name: str) -> None:
        """Raise unless a property held; skip the test where it was not examined.

        Raises
        ------
        ConformanceFailure
        """
        wrong = result.properties.get(name)
        if wrong is None:
            reason = result.not_run.get(name)
            pytest.skip(f"{name} was not run: {reason}" if reason else f"{name} was not examined")
        if wrong and result.expected:
            pytest.xfail(result.expected)
        if wrong:
            raise ConformanceFailure(f"{result.case.id}: {name}. {wrong}\n{self._repeat(result)}")

    def _repeat(self, result: CaseResult) -> str:
        return f"Run it again: {replay_command(self.folder.path, self.folder.manifest(), result)}"

    def make_smaller(self, draw: Draw, corpus: Path) -> None:
        """Make the first failing drawn model of each kind of failure smaller.

        It comes after all entries: then it is the same model, whichever worker met it first.
        """
        first: dict[tuple[object, ...], Entry] = {}
        done = set()
        for entry in self.folder.plan():
            result = self.results.get(entry.key)
            if result is not None and result.is_failure and entry.case.is_drawn:
                first.setdefault(_kind(result), entry)
        for result in self.results.values():
            if result.is_made_smaller:
                done.add(_kind(result))
        for kind, entry in list(first.items())[:SHRINK_KINDS]:
            if kind not in done:
                smaller = self._shrink(entry, kind, draw)
                if smaller is not None and smaller.key not in self.results:
                    notes = (*smaller.notes, f"{MADE_SMALLER} {entry.case.id}.")
                    expected = expected_reason(self._options.expectations, smaller)
                    self.record(attrs.evolve(smaller, notes=notes, expected=expected))
                keep(corpus, smaller or self.results[entry.key])

    def _shrink(self, entry: Entry, kind: tuple[object, ...], draw: Draw) -> CaseResult | None:
        tried: dict[str, CaseResult] = {}

        def fails(case: Case) -> bool:
            if case.id not in tried and len(tried) < SHRINK_TRIES:
                toolkit, second_build = entry.case.toolkit, entry.case.second_build
                smaller = attrs.evolve(case, toolkit=toolkit, second_build=second_build)
                tried[case.id] = self.run(attrs.evolve(entry, case=smaller))
            return case.id in tried and _kind(tried[case.id]) == kind

        smallest = smallest_case(attrs.evolve(entry.case, toolkit=""), draw, fails)
        return tried.get(smallest.id)

    def _conversions(self) -> ConversionSource | _Unavailable | None:
        """Return where conversions come from; None: each process does its own."""
        settings, store = self._options.scheduler, self._options.store
        if settings is None and store is None:
            return None
        return self._open_once(self._open_source, "conversions", Stage.SIMULATOR)

    def _open_source(self, _: str) -> ConversionSource:
        settings, store = self._options.scheduler, self._options.store
        engine = None
        if settings is not None:
            engine = self._stack.enter_context(Scheduler(settings, list(self._toolkits)))
        return ConversionSource(self._toolkits, None if store is None else ConversionStore(store), engine)

    def _open_toolkit(self, version: str) -> sklearn2rknn.Toolkit:
        opened = self._stack.enter_context(sklearn2rknn.open_toolkit(self._toolkits[version]))
        facts = {"version": version, **opened.environment.to_json()}

        def add_facts(manifest: dict[str, Any]) -> None:
            for entry in manifest["toolkits"]:
                if entry["version"] == version:
                    entry.update(facts)

        self.folder.amend(add_facts)
        return opened

    def _open_board(self, name: str) -> BoardLink:
        link = self._stack.enter_context(BoardLink(self._boards[name], self._logs, claim=self._claim))
        if any(result.board == name for result in self.results.values()):
            link.expected = self.folder.manifest()["boards"].get(name, {})
        facts = link.facts()

        def add_facts(manifest: dict[str, Any]) -> None:
            entry = manifest["boards"].setdefault(name, {})
            entry.pop("unreachable", None)  # of a run that broke, and is resumed
            # The file of boards may call a board virtual that looks like hardware, never the other way round.
            virtual = bool(entry.get("virtual")) or bool(facts.get("virtual"))
            entry.update(facts, virtual=virtual)
            manifest["statement"] = statement(manifest["boards"])

        self.folder.amend(add_facts)
        return link

    def _open_once(self, open: Callable[[str], T], name: str, stage: Stage) -> T | _Unavailable:
        """Open something; what failed to open once fails again with the same words."""
        if name not in self._opened:
            try:
                self._opened[name] = open(name)
            except (InfraError, SchedulerError, sklearn2rknn.Sklearn2RknnError, OSError) as error:
                self._opened[name] = _Unavailable(stage, error)
        return self._opened[name]  # type: ignore[no-any-return]

    def __enter__(self) -> Suite:
        # pytest catches what is logged, and shows none of it.
        self._stack.enter_context(_warnings_in(self._logs / "harness.log"))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@contextlib.contextmanager
def _warnings_in(path: Path) -> Iterator[None]:
    """Write what the harness warns of into a file, with the time in UTC: leases taken over, power, clocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log, handler = logging.getLogger("rknn_harness"), logging.FileHandler(path, delay=True, encoding="utf-8")
    formatter = logging.Formatter("%(asctime)sZ %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        handler.close()


def _kind(result: CaseResult) -> tuple[object, ...]:
    """Return the kind of a failure; of each kind one is made smaller."""
    case, failed = result.case, failed_properties(result)
    return case.toolkit, result.board, case.precision, result.outcome, result.stage, failed, result.defect

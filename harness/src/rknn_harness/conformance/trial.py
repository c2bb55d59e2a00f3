"""One case on its way through the stages: what it is tried with, what is known of it, how it ends."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.conformance.timing import Timing
from rknn_harness.records.case import Case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.verdicts.reference import Reference


class PhaseClock:
    """Adds up wall time by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, phase: Phase) -> Iterator[None]:
        """Add the time that a block takes to a phase."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase.value] = self.seconds.get(phase.value, 0.0) + time.monotonic() - started


@attrs.frozen
class CaseFacts:
    """What is recorded of a case however it ends; see `CaseResult`."""

    macs: int = 0
    weights: int = 0
    estimate: tuple[float, float] | None = None
    digests: Mapping[str, str] = attrs.field(factory=dict)
    placement: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()
    attempts: int = 1
    rules: Mapping[str, int] = attrs.field(factory=dict)

    @classmethod
    def of_network(cls, reference: Reference) -> CaseFacts:
        """Return the size of a network."""
        return cls(macs=reference.macs, weights=reference.parameters)

    def with_note(self, note: str) -> CaseFacts:
        """Add a note, unless it is empty."""
        return attrs.evolve(self, notes=(*self.notes, note)) if note else self


@attrs.frozen
class Ending:
    """How a case ended: a stage returns it in place of its result where no later stage can run."""

    outcome: Outcome
    stage: Stage | None
    reason: str
    facts: CaseFacts = attrs.field(factory=CaseFacts)
    cause: str = ""


@attrs.frozen
class CaseFiles:
    """Where the files of a run's cases lie.

    Attributes
    ----------
    run_folder : pathlib.Path or None
        Raw timing samples are kept below its ``samples``.
    corpus : pathlib.Path or None
        The files of the corpus; without, a case of it is built from its spec.
    models : pathlib.Path or None
        The user's own models.
    trust_pickle : bool
        Load a user's pickle whatever it names.
    """

    run_folder: Path | None = None
    corpus: Path | None = None
    models: Path | None = None
    trust_pickle: bool = False


@attrs.frozen(kw_only=True)
class HostTrial:
    """A case, and what its stages before the board need.

    Attributes
    ----------
    case : Case
    toolkit : Toolkit or None
        Of the case's version; None for a bundle that was converted before.
    files : CaseFiles
    tamper : callable or None
        Called with the bundle's path once it is written: tests plant faults by it.
    clock : PhaseClock
    """

    case: Case
    toolkit: sklearn2rknn.Toolkit | None
    files: CaseFiles
    tamper: Callable[[Path], None] | None = None
    clock: PhaseClock = attrs.field(factory=PhaseClock)


@attrs.frozen(kw_only=True)
class Trial(HostTrial):
    """A case, and what all its stages need; see `rknn_harness.conformance.run_case.run_case`."""

    link: BoardLink
    timing: Timing

    def result(self, ending: Ending, **measured: Any) -> CaseResult:
        """Return the result of a case that ended."""
        return CaseResult(
            self.case,
            ending.outcome,
            ending.stage,
            ending.reason,
            **attrs.asdict(ending.facts, recurse=False),
            seconds=self.clock.seconds,
            board=self.link.board.name,
            cause=ending.cause,
            **measured,
        ).with_cause()


def harness_failure(error: Exception) -> str:
    """Return a sentence on an error of the harness itself."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"The harness itself failed: {type(error).__name__}: {error}{place}"

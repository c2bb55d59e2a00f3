"""What changed from one side to another: two runs, or two toolkits, boards or precisions.

Outcomes are compared case by case, numbers as `rknn_harness.report.comparison.movements` has it. A failure
that the expectations name and an infrastructure error (``infra_error``) never count.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import attrs

from rknn_harness.records.case import Key
from rknn_harness.records.case_result import CaseResult, without_figures
from rknn_harness.records.outcomes import ExitCode, Outcome
from rknn_harness.records.query import failed_properties
from rknn_harness.records.run_folder import Run
from rknn_harness.report.comparison.choice import EVERYTHING, Choice
from rknn_harness.report.comparison.measures import ERROR, LABELS, TIME, Measure
from rknn_harness.report.comparison.movements import Movement, movements
from rknn_harness.report.links import run_names
from scirknn.text import count_of


@attrs.frozen
class OutcomeChange:
    """A case that fails, or is refused, on one side alone.

    Attributes
    ----------
    before, after : CaseResult
    is_worse : bool
        Whether the failing side is the one after.
    properties : tuple of str
        Those that fail on that side alone.
    """

    before: CaseResult
    after: CaseResult
    is_worse: bool
    properties: tuple[str, ...] = ()

    @property
    def key(self) -> Key:
        """The key of the case after."""
        return self.after.key

    @property
    def failing(self) -> CaseResult:
        """The result that is the worse one."""
        return self.after if self.is_worse else self.before

    @property
    def reason(self) -> str:
        """Why it is."""
        return " ".join([self.failing.properties[name] for name in self.properties] or [self.failing.reason])

    @property
    def cause(self) -> Hashable:
        """What changes of one cause have in common."""
        ends = self.before.outcome, self.after.outcome
        return *ends, self.failing.stage, self.failing.defect, without_figures(self.reason)


def by_cause(changes: Iterable[OutcomeChange]) -> tuple[tuple[OutcomeChange, ...], ...]:
    """Group changes by their cause, the most frequent one first."""
    groups: dict[Hashable, list[OutcomeChange]] = {}
    for change in changes:
        groups.setdefault(change.cause, []).append(change)
    return tuple(map(tuple, sorted(groups.values(), key=len, reverse=True)))


@attrs.frozen
class Comparison:
    """Two sides compared.

    Attributes
    ----------
    before, after : Run
        The same one where sides of a single run are compared.
    choice : Choice
        What stands on each side.
    compared : int
        Cases that both sides tried.
    failing, passing : tuple of OutcomeChange
    known_failures : int
        Cases that fail after and are expected to.
    failures_not_run_before : int
        Cases that fail after in a property that was not run before: whether it failed then is unknown.
    missing, new : tuple of (id, toolkit, board)
        Cases of one side alone.
    lost : int
        Missing cases that nobody left out of a complete run: no list of expectations skips them after.
        Between precisions 0, as some models are for one alone.
    untried : int
        Cases that either side could not try, of those that both have.
    untimed : int
        Cases whose times are left out, as a clock moved while one was taken.
    incomplete : tuple of Run
        Those that did not come to their end, or have a case of their side that could not be tried.
    moved : tuple of Movement
    made : tuple of (str, str, str)
        Versions, seed and facts that differ: name, before, after.
    """

    before: Run
    after: Run
    choice: Choice
    compared: int
    failing: tuple[OutcomeChange, ...]
    passing: tuple[OutcomeChange, ...]
    known_failures: int
    failures_not_run_before: int
    missing: tuple[Key, ...]
    new: tuple[Key, ...]
    lost: int
    untried: int
    untimed: int
    incomplete: tuple[Run, ...]
    moved: tuple[Movement, ...]
    made: tuple[tuple[str, str, str], ...]

    @property
    def title(self) -> str:
        """What is compared with what."""
        names = " → ".join(dict.fromkeys(self.names))
        return ", ".join(filter(None, [names, self.choice.words]))

    @property
    def names(self) -> list[str]:
        """The runs' names, which differ where the runs do."""
        return run_names((self.before.path, self.after.path))

    @property
    def sides(self) -> str:
        """What is compared, in one word."""
        return "sides" if self.choice.axes else "runs"

    @property
    def worse(self) -> tuple[Movement, ...]:
        """The movements for the worse."""
        return tuple(movement for movement in self.moved if movement.worse)

    @property
    def code(self) -> ExitCode:
        """1 for a regression; else 3 if no case could be compared, one is lost, or a run is incomplete."""
        if self.failing or self.worse:
            return ExitCode.CONFORMANCE
        is_complete = self.compared and not self.lost and not self.incomplete
        return ExitCode.CLEAN if is_complete else ExitCode.INFRASTRUCTURE

    @property
    def verdict(self) -> str:
        """One line."""
        if not self.compared:
            return f"The {self.sides} have no case in common that both could try."
        counts = {
            "newly failing": len(self.failing),
            "moved for the worse": len(self.worse),
            "newly passing": len(self.passing),
            "moved for the better": len(self.moved) - len(self.worse),
        }
        parts = [f"{count} {words}" for words, count in counts.items() if count]
        sentences = [
            f"{', '.join(parts) or 'Nothing changed'}, of {count_of(self.compared, 'case')} that both "
            f"{self.sides} tried."
        ]
        if self.known_failures:
            sentences.append(f"{self.known} besides.")
        if count := self.failures_not_run_before:
            sentences.append(f"{count_of(count, 'case')} failed in what was not run before.")
        if self.lost:
            sentences.append(f"{count_of(self.lost, 'case')} missing.")
        return " ".join([*sentences, *(f"{run.path.name} is not complete." for run in self.incomplete)])

    @property
    def known(self) -> str:
        """How many known failures there are, in words."""
        return count_of(self.known_failures, "known failure")


def compare(before: Run, after: Run, choice: Choice = EVERYTHING, *, time: bool | None = None) -> Comparison:
    """Compare two runs, or two sides of one.

    Parameters
    ----------
    before, after : Run
    choice : Choice
        What of them; by default everything, each case with itself.
    time : bool, optional
        Whether to compare times; by default those of boards with an NPU alone, as a virtual board's are this
        machine's.
    """
    old, new = choice.results(before, 0), choice.results(after, 1)
    missing = [result for name, result in old.items() if name not in new]
    both = [(old[name], new[name]) for name in new if name in old]
    tried = [pair for pair in both if Outcome.INFRA_ERROR not in (pair[0].outcome, pair[1].outcome)]

    def is_timed(pair: tuple[CaseResult, CaseResult]) -> bool:
        sides = zip((before, after), pair, strict=True)
        virtual = any(run.is_virtual(result.board) for run, result in sides)
        return not virtual if time is None else time

    # A comparison inside one run has it on both sides.
    incomplete = {
        run.path: run
        for run, side in ((before, old), (after, new))
        if not run.is_finished or any(result.outcome is Outcome.INFRA_ERROR for result in side.values())
    }
    changes = [change for pair in tried if (change := _change(*pair, time=is_timed(pair))) is not None]
    sound = [pair for pair in tried if not any(result.outcome.is_failure for result in pair)]
    timed = [pair for pair in sound if is_timed(pair)]
    compared: list[tuple[Measure, Sequence[tuple[CaseResult, CaseResult]]]] = [
        (ERROR, sound), (LABELS, sound), (TIME, timed)
    ]  # fmt: skip
    return Comparison(
        before=before,
        after=after,
        choice=choice,
        compared=len(tried),
        failing=tuple(change for change in changes if change.is_worse),
        passing=tuple(change for change in changes if not change.is_worse),
        known_failures=sum(result.is_failure and bool(result.expected) for _, result in tried),
        failures_not_run_before=sum(
            any(map(before.not_run.__contains__, failed_properties(result))) and not result.expected
            for before, result in tried
        ),
        missing=tuple(result.key for result in missing),
        new=tuple(new[name].key for name in new if name not in old),
        lost=_lost(missing, after, choice),
        untried=len(both) - len(tried),
        untimed=sum(any(each.clocks.get("moved") for each in pair) for pair in timed),
        incomplete=tuple(incomplete.values()),
        moved=tuple(movements(compared, before, after)),
        made=tuple(_made(choice, before, after)),
    )


def _lost(missing: Iterable[CaseResult], after: Run, choice: Choice) -> int:
    """Count the missing cases that nobody left out; what a run made beside its plan is none.

    A run that did not come to its end misses cases anyhow.
    """
    if choice.precision is not None or not after.is_finished:
        return 0
    skipped = choice.skipped(after)
    return sum(not each.is_made_smaller and choice.identity(each) not in skipped for each in missing)


_TIME_PROPERTIES = ("batch_latency", "latency_baseline")


def _change(before: CaseResult, after: CaseResult, *, time: bool) -> OutcomeChange | None:
    """Return how a case's outcome changed, if it did, in the properties that neither side left out."""
    left_out = {*before.not_run, *after.not_run}
    before, after = before.without(left_out), after.without(left_out)
    old, new = (
        [name for name in failed_properties(result) if time or name not in _TIME_PROPERTIES]
        for result in (before, after)
    )
    failed, fails = before.outcome.is_failure or bool(old), after.outcome.is_failure or bool(new)
    fresh = tuple(name for name in new if name not in old)
    is_worse = bool(fresh) or (after.outcome.is_failure and not before.outcome.is_failure)
    refused = before.outcome is Outcome.PASS and not failed and after.outcome is Outcome.UNSUPPORTED
    if (is_worse and not after.expected) or refused:
        return OutcomeChange(before, after, is_worse=True, properties=fresh)
    if failed and after.outcome is Outcome.PASS and not fails:
        return OutcomeChange(before, after, is_worse=False, properties=tuple(old))
    return None


def _made(choice: Choice, before: Run, after: Run) -> Iterable[tuple[str, str, str]]:
    old, new = choice.facts(before, 0), choice.facts(after, 1)
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            first, second = ("-" if each.get(name) is None else str(each[name]) for each in (old, new))
            yield name, first, second

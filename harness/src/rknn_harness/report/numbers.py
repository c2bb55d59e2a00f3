"""The numbers of a report: verdict, counts, and all that is not right, those of one cause together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from rknn_harness.records.case_result import CaseResult, results_code
from rknn_harness.records.outcomes import FAIL, INCOMPLETE, PASS, ExitCode, Kind, Outcome, Stage
from rknn_harness.records.query import Records
from rknn_harness.records.run_folder import Run
from rknn_harness.records.specs.family_spec import FamilySpec

KINDS = (Kind.WRONG, Kind.UNTRIED, Kind.KNOWN, Kind.REFUSED, Kind.RIGHT)
"""In the order in which a reader wants them."""


@attrs.frozen
class Question:
    """A number of the report, as `Records.ask` takes it."""

    statistic: str
    name: str
    where: Mapping[str, str]


@attrs.frozen
class CaseGroup:
    """Cases that ended in the same way by the same cause.

    Attributes
    ----------
    kind : Kind
        Any but right.
    outcome : Outcome
    stage : Stage or None
    cause : str
        See `CaseResult`; empty for cases that passed and were expected to fail.
    defect : str
        Name of the vendor's known defect, if it is one.
    cases : tuple of int
        Indexes into the run's results, the smallest network first.
    """

    kind: Kind
    outcome: Outcome
    stage: Stage | None
    cause: str
    defect: str
    cases: tuple[int, ...] = ()

    @property
    def where(self) -> dict[str, str]:
        """The conditions that these cases, and no others, meet."""
        return {
            "kind": self.kind.value,
            "outcome": self.outcome.value,
            "stage": "" if self.stage is None else self.stage.value,
            "cause": self.cause,
            "defect": self.defect,
        }


@attrs.frozen
class Summary:
    """The contents of a report.

    Attributes
    ----------
    sentence : tuple of str and Question
        The verdict in one line, its numbers as questions.
    verdict : str
        The same as text.
    is_complete : bool
        Whether the run came to its end and tried something.
    code : ExitCode
        That of the run; 3 too where it did not come to its end and nothing is wrong so far.
    counts : tuple of (Outcome, int)
        Outcomes that occurred, in the order of `Outcome`.
    groups : tuple of CaseGroup
        All cases that are not right: wrong, not tried, known, refused, and in each the most frequent first.
    outdated : tuple of int
        Indexes of the cases that were expected to fail and pass.
    """

    sentence: tuple[str | Question, ...]
    verdict: str
    is_complete: bool
    code: ExitCode
    counts: tuple[tuple[Outcome, int], ...]
    groups: tuple[CaseGroup, ...]
    outdated: tuple[int, ...]

    def of_kind(self, kind: Kind) -> tuple[CaseGroup, ...]:
        """Return the groups of a kind."""
        return tuple(group for group in self.groups if group.kind is kind)

    @property
    def faults(self) -> tuple[CaseGroup, ...]:
        """The failures by cause: those that nobody expected first."""
        wrong = (group for group in self.of_kind(Kind.WRONG) if group.cause)
        return (*wrong, *self.of_kind(Kind.KNOWN))

    @property
    def word(self) -> str:
        """The verdict in one word."""
        if self.of_kind(Kind.WRONG):
            return FAIL
        return PASS if self.is_complete and not self.of_kind(Kind.UNTRIED) else INCOMPLETE


def summarize(run: Run) -> Summary:
    """Compute a report's numbers."""
    results, records = run.results, Records(run.results)
    counts = Counter(result.outcome for result in results)
    code = results_code(results)
    if code is ExitCode.CLEAN and not run.is_finished:
        code = ExitCode.INFRASTRUCTURE
    sentence = tuple(_sentence(records, incomplete=not run.is_finished))
    return Summary(
        sentence=sentence,
        verdict="".join(
            part if isinstance(part, str) else f"{records.ask(part.statistic, part.name, part.where)}"
            for part in sentence
        ),
        is_complete=bool(results) and run.is_finished,
        code=code,
        counts=tuple((outcome, counts[outcome]) for outcome in Outcome if counts[outcome]),
        groups=_groups(results),
        outdated=tuple(
            index
            for index, result in enumerate(results)
            if result.expected and result.outcome is Outcome.PASS and not result.is_failure
        ),
    )


def _sentence(records: Records, *, incomplete: bool) -> list[str | Question]:
    def count(**where: str) -> Question:
        return Question("count", "cases", where)

    def some(question: Question) -> bool:
        return bool(records.ask(question.statistic, question.name, question.where))

    everything, failed, foreseen = count(), count(ok="no", expected="no"), count(ok="no", expected="yes")
    passed = count(outcome="pass", ok="yes", compared="yes")
    uncompared = count(outcome="pass", ok="yes", compared="no")
    outdated = count(outcome="pass", ok="yes", expected="yes")
    refused, untried = count(outcome="unsupported"), count(outcome="infra_error")
    if not records.results:
        return ["Nothing was tried."]
    if some(failed):
        parts: list[str | Question] = [failed, " of ", everything, " cases fail"]
    elif records.where(passed.where) == records.where({}):
        parts = ["All ", everything, " cases agree with scikit-learn"]
    else:
        parts = [passed, " of ", everything, " cases agree with scikit-learn"]
        parts += [] if some(foreseen) else [" and none fails"]
    noun = " known failure" + "s" * (len(records.where(foreseen.where)) != 1)
    known = noun + (" besides" if some(failed) else "; no new ones")
    more = " more were" if some(failed) else ""
    for question, words in (
        (outdated, f"{more} expected to fail and passed"),
        (uncompared, " not compared with scikit-learn"),
        (foreseen, known),
        (refused, " refused by the converter"),
        (untried, " could not be tried"),
    ):
        if some(question):
            parts += ["; ", question, words]
    return [*parts, "; the run is not complete." if incomplete else "."]


def _groups(results: Sequence[CaseResult]) -> tuple[CaseGroup, ...]:
    members: dict[CaseGroup, list[int]] = {}
    for index, result in enumerate(results):
        if result.kind is not Kind.RIGHT:
            group = CaseGroup(result.kind, result.outcome, result.stage, result.cause, defect=result.defect)
            members.setdefault(group, []).append(index)
    groups = [
        attrs.evolve(group, cases=tuple(sorted(indexes, key=lambda index: _size(results[index]))))
        for group, indexes in members.items()
    ]
    return tuple(
        sorted(groups, key=lambda group: (KINDS.index(group.kind), not group.cause, -len(group.cases)))
    )


def _size(result: CaseResult) -> tuple[float, ...]:
    """Order models by what a reader has to look at."""
    source = result.case.source
    if isinstance(source, str):
        return (float("inf"), result.macs)
    if isinstance(source, FamilySpec):
        return (source.n_features, source.fitted_rows, source.rows)
    return (sum(source.widths), len(source.widths), source.rows)

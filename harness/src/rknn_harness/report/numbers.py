"""The numbers of a report: verdict, groups, and failures, those of one kind together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from rknn_harness.records.case_result import CaseResult, results_code
from rknn_harness.records.outcomes import ExitCode, Outcome, Stage
from rknn_harness.records.query import Records, failed_properties
from rknn_harness.records.run_folder import Run
from rknn_harness.records.specs.family_spec import FamilySpec

__all__ = ["Fault", "Question", "Summary", "summarize"]


@attrs.frozen
class Question:
    """A number of the report, as `Records.ask` takes it."""

    statistic: str
    name: str
    where: Mapping[str, str]


@attrs.frozen
class Fault:
    """Cases that failed in the same way.

    Attributes
    ----------
    outcome : Outcome
    stage : Stage or None
    properties : tuple of str
        The properties that failed.
    defect : str
        Name of the vendor's known defect, if it is one.
    expected : bool
        Whether the expectations name these cases.
    cases : tuple of int
        Indexes into the run's results, the smallest network first.
    """

    outcome: Outcome
    stage: Stage | None
    properties: tuple[str, ...]
    defect: str
    expected: bool
    cases: tuple[int, ...]

    @property
    def where(self) -> dict[str, str]:
        """The conditions that these cases, and no others, meet."""
        return {
            "outcome": self.outcome.value,
            "stage": "" if self.stage is None else self.stage.value,
            "failed": " ".join(self.properties),
            "defect": self.defect,
            "expected": "yes" if self.expected else "no",
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
    code : ExitCode
    counts : tuple of (Outcome, int)
        Outcomes that occurred, in the order of `Outcome`.
    faults : tuple of Fault
        Those that nobody expected first, and in them the most frequent.
    outdated : tuple of int
        Indexes of the cases that were expected to fail and pass.
    """

    sentence: tuple[str | Question, ...]
    verdict: str
    code: ExitCode
    counts: tuple[tuple[Outcome, int], ...]
    faults: tuple[Fault, ...]
    outdated: tuple[int, ...]


def summarize(run: Run) -> Summary:
    """Compute a report's numbers."""
    results, records = run.results, Records(run.results)
    counts = Counter(result.outcome for result in results)
    sentence = tuple(_sentence(records, incomplete=run.torn or run.manifest.get("finished") is None))
    return Summary(
        sentence=sentence,
        verdict="".join(
            part if isinstance(part, str) else f"{records.ask(part.statistic, part.name, part.where)}"
            for part in sentence
        ),
        code=results_code(results),
        counts=tuple((outcome, counts[outcome]) for outcome in Outcome if counts[outcome]),
        faults=_faults(results),
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
    for question, words in (
        (uncompared, " not compared with scikit-learn"),
        (foreseen, known),
        (outdated, " expected to fail and passed"),
        (refused, " refused by the converter"),
        (untried, " could not be tried"),
    ):
        if some(question):
            parts += ["; ", question, words]
    return [*parts, "; the run is not complete." if incomplete else "."]


def _faults(results: Sequence[CaseResult]) -> tuple[Fault, ...]:
    kinds: dict[Fault, list[int]] = {}
    for index, result in enumerate(results):
        if result.is_failure:
            properties = failed_properties(result)
            kind = Fault(result.outcome, result.stage, properties, result.defect, bool(result.expected), ())
            kinds.setdefault(kind, []).append(index)
    faults = [
        attrs.evolve(kind, cases=tuple(sorted(indexes, key=lambda index: _size(results[index]))))
        for kind, indexes in kinds.items()
    ]
    return tuple(sorted(faults, key=lambda fault: (fault.expected, -len(fault.cases))))


def _size(result: CaseResult) -> tuple[float, ...]:
    """Order models by what a reader has to look at."""
    source = result.case.source
    if isinstance(source, str):
        return (float("inf"), result.macs)
    if isinstance(source, FamilySpec):
        return (source.n_features, source.fitted_rows, source.rows)
    return (sum(source.widths), len(source.widths), source.rows)

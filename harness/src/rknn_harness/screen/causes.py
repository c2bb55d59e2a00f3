"""Why cases failed, were refused or could not be tried: one paragraph for each cause."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from rknn_harness.records.case import PRECISIONS
from rknn_harness.records.case_result import GIVEN_UP, CaseResult
from rknn_harness.records.outcomes import Cause, Kind, Outcome, Stage
from rknn_harness.records.printed_commands import replay_command
from rknn_harness.records.run_folder import Run
from rknn_harness.screen.tally import Tally, row_name
from rknn_harness.screen.text import INDENT, listed, paragraph
from scirknn.text import count_of

SHOWN = 8
"""Causes that are printed; the report has all."""

_STAGES = {
    Stage.SKLEARN: "in scikit-learn",
    Stage.ONNX: "in the float32 ONNX graph",
    Stage.SIMULATOR: "in the vendor's simulator",
    Stage.VIRTUAL_NPU: "in the virtual NPU",
    Stage.BOARD: "on the board",
}
_CLASS = re.compile(r"^[A-Z][A-Za-z]+: (?=[A-Z][a-z]* )")
"""The name of an error's class before a sentence, which is not for users."""

_NAMES = 5


Results = Sequence[CaseResult]
"""Of one cause: a shrunk network first, then in the plan's order."""


def causes_of(totals: Tally, kind: Kind) -> list[Results]:
    """Group a run's cases of a kind by cause, the most frequent first."""
    groups: dict[tuple[object, ...], list[CaseResult]] = {}
    for result in (*totals.smaller, *totals.results):
        if result.kind is kind:
            key = (result.outcome, result.stage, result.cause, result.defect)
            groups.setdefault(key, []).append(result)
    return sorted(groups.values(), key=len, reverse=True)


def cause_lines(causes: Sequence[Results], totals: Tally, run: Run) -> list[str]:
    """Return a paragraph for each cause, with the command that tries its first case again."""
    lines = []
    for number, cause in enumerate(causes[:SHOWN], 1):
        stage = cause[0].first_bad_stage
        where = "" if stage is None else f", first seen {_STAGES[stage]}"
        lines += paragraph(f"{INDENT}{number}  ", f"{_members(cause, totals)}{where}:")
        lines += paragraph(f"{INDENT}   ", " ".join(filter(None, [_sentence(cause[0]), _labels(cause)])))
        lines.append(f"{INDENT}   again:  {replay_command(run.path, run.manifest, cause[0])}")
    left = len(causes) - SHOWN
    if left > 0:
        lines.append(f"{INDENT}   and {count_of(left, 'cause')} more, all in the report")
    return lines


def refusal_lines(totals: Tally) -> list[str]:
    """Return a line for each reason for which the converter refused models."""
    reasons = Counter(_refusal(result) for result in totals.results if result.kind is Kind.REFUSED)
    lines: list[str] = []
    for reason, count in reasons.most_common():
        label = "" if lines else "refused"
        lines += paragraph(f"{INDENT}{label:7}  {count:3}  ", reason)
    return lines


def _refusal(result: CaseResult) -> str:
    if result.cause in (Cause.COARSE, Cause.RANGE):
        return result.meaning.replace("the precision", result.case.precision)
    return _first_sentence(result.reason)


def _sentence(result: CaseResult) -> str:
    """Return why a case counts as it does."""
    if result.expected and not result.is_failure:
        path = f"expectations/{result.board}-{result.case.toolkit}.txt"
        return f"It is expected to fail and passes: {result.expected} Remove it from {path}."
    sentence = result.reason
    if not sentence:
        sentence = next((text for text in result.properties.values() if text), result.outcome.meaning)
        sentence = sentence.partition(": ")[2] or sentence
    return _CLASS.sub("", sentence.removeprefix(GIVEN_UP))


def _members(cause: Results, totals: Tally) -> str:
    """Name a cause's cases: by data set, precision and batch size; random networks are counted."""
    results = [result for result in cause if result not in totals.smaller] or cause
    names: dict[str, list[CaseResult]] = {}
    for result in results:
        names.setdefault(row_name(result.case), []).append(result)
    parts = [_member(name, group) for name, group in names.items()]
    if len(parts) > _NAMES:
        parts = [*parts[: _NAMES - 1], f"{len(parts) - _NAMES + 1} more"]
    return listed(parts) + _places(results, totals)


def _member(name: str, results: Results) -> str:
    by_precision: dict[str, list[str]] = {}
    for result in results:
        size = "n" + "+".join(map(str, result.case.batch_size))
        sizes = by_precision.setdefault(result.case.precision, [])
        if size not in sizes:
            sizes.append(size)
    if name == "random":
        count = len({result.case.id for result in results})
        precisions = sorted(by_precision, key=PRECISIONS.index)
        return f"{count_of(count, 'random network')} in {listed(precisions)}"
    if len(set(map(tuple, by_precision.values()))) == 1:
        return f"{name} {listed(list(by_precision))} ({' '.join(next(iter(by_precision.values())))})"
    return f"{name} " + ", ".join(
        f"{precision} ({' '.join(sizes)})" for precision, sizes in by_precision.items()
    )


def _places(results: Results, totals: Tally) -> str:
    """Return the toolkits and boards, unless they are all."""
    keys: tuple[tuple[str, Callable[[CaseResult], str]], ...] = (
        (" with toolkit ", lambda result: result.case.toolkit),
        (" on ", lambda result: result.board),
    )
    text = ""
    for words, key in keys:
        mine, everyone = _values(results, key), _values(totals.results, key)
        text += f"{words}{listed(mine)}" if mine != everyone else ""
    return text


def _values(results: Iterable[CaseResult], key: Callable[[CaseResult], str]) -> list[str]:
    return sorted(set(map(key, results)))


def _labels(cause: Results) -> str:
    """Return that all labels are right, where only numbers are wrong and each case's labels were examined."""
    mismatch = all(result.outcome is Outcome.MISMATCH for result in cause)
    return "Every label is right." * (
        mismatch and all(result.properties.get("labels") == "" for result in cause)
    )


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[a-z0-9)])[.:] ", text, maxsplit=1)[0].rstrip(".")

"""Bring the lists of known failures up to date with a run's results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from rknn_harness.plan.expectations import (
    Expectation,
    expected_reason,
    is_expectation,
    list_path,
    parse_line,
)
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.query import failed_properties
from scirknn.files import write_atomically
from scirknn.text import count_of

_HEADER = "# fail or skip   property   case   reason   link or measured\n"


@attrs.frozen
class ListUpdate:
    """What was changed in one list.

    Attributes
    ----------
    path : pathlib.Path
    added, removed : int
        Lines.
    left_out : int
        Failing random networks without a line: another seed draws others, and the corpus has smaller ones.
    """

    path: Path
    added: int
    removed: int
    left_out: int

    def __str__(self) -> str:
        text = f"{self.path}: {count_of(self.added, 'line')} added, {self.removed} removed"
        left_out = f"; {count_of(self.left_out, 'random network')} left out, for smaller ones in the corpus"
        return text + left_out * bool(self.left_out)


def update_expectations(
    folder: Path, results: Iterable[CaseResult], corpus: Path, source: str
) -> list[ListUpdate]:
    """Add a line for each failure that no list expects, and remove the lines that are out of date.

    Parameters
    ----------
    folder : pathlib.Path
        Of the lists.
    results : iterable of CaseResult
        Of a run. What could not be tried changes nothing.
    corpus : pathlib.Path
        A random network gets a line only where it is kept here.
    source : str
        Where the failures were seen; it ends the reason of a new line.

    Returns
    -------
    list of ListUpdate
        Of the lists that changed, or from which a network was left out.
    """
    lists: dict[tuple[str, str], list[CaseResult]] = {}
    for result in results:
        if result.outcome is not Outcome.INFRA_ERROR:
            lists.setdefault((result.board, result.case.toolkit), []).append(result)
    updates = [
        _update(list_path(folder, board, toolkit), own, corpus, source)
        for (board, toolkit), own in lists.items()
    ]
    return [update for update in updates if update.added or update.removed or update.left_out]


def _update(path: Path, results: Sequence[CaseResult], corpus: Path, source: str) -> ListUpdate:
    board, toolkit = results[0].board, results[0].case.toolkit
    lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else [_HEADER]
    rules = {
        line: parse_line(line, board, toolkit, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if is_expectation(line)
    }
    outdated = {line for line, rule in rules.items() if _is_outdated(rule, results)}
    kept = [line for line in lines if line not in outdated]
    current = [rule for line, rule in rules.items() if line not in outdated]
    added, left_out = [], 0
    for result in results:
        if not result.is_failure or expected_reason(current, result):
            continue
        if result.case.kind == "random" and not (corpus / result.case.id).exists():
            left_out += 1
            continue
        for name in failed_properties(result) or ("*",):
            added.append(_line(name, result, rules.values(), source))
    if added or outdated:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = "".join(kept)
        write_atomically(path, text + "\n" * (text[-1:] not in ("", "\n")) + "".join(added))
    return ListUpdate(path, len(added), len(outdated), left_out)


def _is_outdated(rule: Expectation, results: Sequence[CaseResult]) -> bool:
    """Whether something passes that a line expects to fail."""
    return rule.kind == "fail" and any(
        not result.is_failure or result.properties.get(rule.property) == ""
        for result in results
        if rule.matches(result)
    )


def _line(name: str, result: CaseResult, rules: Iterable[Expectation], source: str) -> str:
    """Return a line for a property; what is left of a pattern's cases keeps the pattern's reason."""
    given = (rule for rule in rules if rule.kind == "fail" and rule.property == name and rule.matches(result))
    reason = result.reason or result.properties.get(name) or result.outcome.meaning
    own = f"{' '.join(reason.split())} Seen in {source}. measured"
    case = re.sub(r"\s", "?", result.case.id)
    return f"fail  {name}  {case}  {next((rule.reason for rule in given), own)}\n"

"""Expected failures and cases to skip: a plain text list for each board and toolkit.

``expectations/<board>-<toolkit>.txt``, a line for each::

    # fail or skip   property   case             reason                                link
    fail             labels     iris-int16-n64   The program's scales are too coarse.  https://example.org/1
    fail             *          defect:mean-std  std_values is ignored.                measured
    skip             *          digits-int8-n64  It takes the board down.              https://example.org/2

A property is one of `rknn_harness.records.case.PROPERTIES`, or ``*`` for the outcome; a case is one of the
run, or ``defect:`` and a name of the toolkits' table. Anything else is an error, so that no line goes out of
date unseen. A case that is expected to fail and passes fails the run. The last column is a link, or
``measured``.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable
from pathlib import Path

import attrs

from rknn_harness.errors import HarnessError
from rknn_harness.records.case import PROPERTIES
from rknn_harness.records.case_result import CaseResult
from sklearn2rknn.toolkit.pins.versions import toolkit_version

__all__ = ["Expectation", "ExpectationsError", "expected_reason", "read_expectations"]


class ExpectationsError(HarnessError):
    """A list of expectations has an invalid line."""


@attrs.frozen
class Expectation:
    """One line of a list."""

    kind: str
    property: str
    case: str
    reason: str
    board: str
    toolkit: str

    def matches(self, result: CaseResult) -> bool:
        """Whether the line is about this result's case, or its defect."""
        named = self.case in (result.case.id, f"defect:{result.defect}")
        return named and (self.board, self.toolkit) == (result.board, result.case.toolkit)


def read_expectations(
    folder: Path, boards: Iterable[str], toolkits: Iterable[str], cases: Collection[str]
) -> list[Expectation]:
    """Read the lists of a run's boards and toolkits.

    Parameters
    ----------
    folder : pathlib.Path
        Where there is no list, nothing is expected.
    boards, toolkits : iterable of str
        Names and versions.
    cases : collection of str
        Ids that lines may name.

    Raises
    ------
    ExpectationsError
        The text names the file and the line.
    """
    expectations = []
    for board, toolkit in itertools.product(boards, toolkits):
        path = folder / f"{board}-{toolkit}.txt"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for number, line in enumerate(lines, 1):
            if line.strip() and not line.lstrip().startswith("#"):
                expectations.append(_expectation(line, f"{path}, line {number}", board, toolkit, cases))
    return expectations


def expected_reason(expectations: Iterable[Expectation], result: CaseResult) -> str:
    """Return why a result's failure is expected, also where it did not fail; else an empty text."""
    failed = {name for name, wrong in result.properties.items() if wrong}
    matching = [each for each in expectations if each.kind == "fail" and each.matches(result)]
    named = {each.property for each in matching}
    if not matching or ("*" not in named and result.is_failure and not (failed and failed <= named)):
        return ""
    return " ".join(dict.fromkeys(each.reason for each in matching))


def _expectation(line: str, place: str, board: str, toolkit: str, cases: Collection[str]) -> Expectation:
    words = line.split()
    if len(words) < 5:
        raise ExpectationsError(f"{place}: a line is fail or skip, a property, a case, a reason and a link.")
    kind, name, case, *reason = words
    defects = {f"defect:{defect.id}" for defect in toolkit_version(toolkit).defects}
    wrong = (
        f"begins with {kind!r}, not fail or skip" * (kind not in ("fail", "skip"))
        or f"names an unknown property {name!r}" * (name != "*" and name not in PROPERTIES)
        or f"names an unknown case {case!r}" * (case not in cases and case not in defects)
        or "skips a defect, which only the case itself shows" * (kind == "skip" and case in defects)
        or f"ends with {words[-1]!r}, neither a link nor measured"
        * (words[-1] != "measured" and not words[-1].startswith(("https://", "http://")))
    )
    if wrong:
        raise ExpectationsError(f"{place} {wrong}.")
    return Expectation(kind, name, case, " ".join(reason), board, toolkit)

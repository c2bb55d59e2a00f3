"""What is known to fail, and what is not to be tried: a plain text list for each board and toolkit.

``expectations/<board>-<toolkit>.txt``, a line for each::

    # fail or skip   property   case             reason                                link
    fail             labels     iris-int16-n64   The program's scales are too coarse.  https://example.org/1
    fail             *          defect:mean-std  std_values is ignored.                measured
    skip             *          digits-int8-n64  It takes the board down.              https://example.org/2

A property is one of `rknn_harness.records.case.PROPERTIES`, or ``*`` for the case as a whole; a case is one
that a run knows, or ``defect:`` and a name of the toolkits' table. Anything else is an error, so a list
cannot rot unseen. A case that is expected to fail and passes fails the run. The last word is a link, or
``measured``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import attrs

from rknn_harness.errors import HarnessError
from rknn_harness.records.case import PROPERTIES
from rknn_harness.records.case_result import CaseResult
from sklearn2rknn.toolkit.pins.versions import toolkit_version

__all__ = ["Expectation", "ExpectationsError", "expected_reason", "read_expectations"]


class ExpectationsError(HarnessError):
    """A list of expectations has a line that says nothing."""


@attrs.frozen
class Expectation:
    """One line of a list."""

    kind: str
    property: str
    case: str
    reason: str
    board: str
    toolkit: str

    def meets(self, result: CaseResult) -> bool:
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
        Every case's id that can be named.

    Raises
    ------
    ExpectationsError
        The text names the file and the line.
    """
    found = []
    toolkits = list(toolkits)
    for board in boards:
        for toolkit in toolkits:
            path = folder / f"{board}-{toolkit}.txt"
            lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
            for number, line in enumerate(lines, 1):
                if line.strip() and not line.lstrip().startswith("#"):
                    found.append(_expectation(line, f"{path}, line {number}", board, toolkit, cases))
    return found


def expected_reason(expectations: Iterable[Expectation], result: CaseResult) -> str:
    """Return why a result's failure is expected; also when it did not fail. Empty where it is not."""
    failed = {name for name, wrong in result.properties.items() if wrong}
    meeting = [each for each in expectations if each.kind == "fail" and each.meets(result)]
    named = {each.property for each in meeting}
    if not meeting or ("*" not in named and result.is_failure and not (failed and failed <= named)):
        return ""
    return " ".join(dict.fromkeys(each.reason for each in meeting))


def _expectation(line: str, place: str, board: str, toolkit: str, cases: Collection[str]) -> Expectation:
    words = line.split()
    if len(words) < 5:
        raise ExpectationsError(f"{place}: a line is fail or skip, a property, a case, a reason and a link.")
    kind, name, case, *reason = words
    defects = {f"defect:{defect.id}" for defect in toolkit_version(toolkit).defects}
    wrong = (
        f"begins with {kind!r}, not fail or skip" * (kind not in ("fail", "skip"))
        or f"names a property {name!r} that there is not" * (name != "*" and name not in PROPERTIES)
        or f"names a case {case!r} that there is not" * (case not in cases and case not in defects)
        or "skips a defect, which is known after the case only" * (kind == "skip" and case in defects)
        or f"ends with {words[-1]!r}, neither a link nor measured"
        * (words[-1] != "measured" and not words[-1].startswith(("https://", "http://")))
    )
    if wrong:
        raise ExpectationsError(f"{place} {wrong}.")
    return Expectation(kind, name, case, " ".join(reason), board, toolkit)

"""Expected failures and cases to skip: a plain text list for each board and toolkit.

``expectations/<board>-<toolkit>.txt``, a line for each::

    # fail or skip   property   case             reason                                link
    fail             labels     iris-int16-n64   The program's scales are too coarse.  https://example.org/1
    fail             *          defect:mean-std  std_values is ignored.                measured
    skip             *          digits-int8-n64  It takes the board down.              https://example.org/2

A property is one of `rknn_harness.records.case.PROPERTIES`, or ``*`` for the outcome; a case is one of the
run, a pattern such as ``iris-int16-*`` that some of them match (``*`` any text, ``?`` one letter), or
``defect:`` and a name of the toolkits' table. Anything else is an error, so that no line goes out of date
unseen. A case that is expected to fail and passes fails the run, whether by its name or by a pattern. The
last column is a link, or ``measured``.
"""

from __future__ import annotations

import fnmatch
import itertools
from collections.abc import Collection, Iterable
from pathlib import Path

import attrs

from rknn_harness.errors import HarnessError
from rknn_harness.records.case import PROPERTIES
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.query import failed_properties
from sklearn2rknn.toolkit.pins.versions import toolkit_version

_DEFECT = "defect:"


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

    def names(self, case: str) -> bool:
        """Whether the line is about this case, or ``defect:`` and a name."""
        if self.case.startswith(_DEFECT) != case.startswith(_DEFECT):
            return False
        # Brackets are letters: models are named by their files.
        return self.case == case or fnmatch.fnmatchcase(case, self.case.replace("[", "[[]"))

    def matches(self, result: CaseResult) -> bool:
        """Whether the line is about this result's case, or its defect, and what it names was run."""
        if self.property in result.not_run:
            return False
        named = self.names(result.case.id) or self.names(_DEFECT + result.defect)
        return named and (self.board, self.toolkit) == (result.board, result.case.toolkit)


def list_path(folder: Path, board: str, toolkit: str) -> Path:
    """Return the path of the list of a board and a toolkit."""
    return folder / f"{board}-{toolkit}.txt"


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
        path = list_path(folder, board, toolkit)
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        for number, line in enumerate(lines, 1):
            if is_expectation(line):
                expectations.append(_expectation(line, f"{path}, line {number}", board, toolkit, cases))
    return expectations


def is_expectation(line: str) -> bool:
    """Whether a line of a list is neither empty nor a comment."""
    return bool(line.strip()) and not line.lstrip().startswith("#")


def expected_reason(expectations: Iterable[Expectation], result: CaseResult) -> str:
    """Return why a result's failure is expected, also where it did not fail; else an empty text."""
    failed = set(failed_properties(result))
    matching = [each for each in expectations if each.kind == "fail" and each.matches(result)]
    named = {each.property for each in matching}
    if not matching or ("*" not in named and result.is_failure and not (failed and failed <= named)):
        return ""
    return " ".join(dict.fromkeys(each.reason for each in matching))


def parse_line(line: str, board: str, toolkit: str, place: str) -> Expectation:
    """Take a line apart.

    Raises
    ------
    ExpectationsError
        It has too few parts; the text begins with `place`.
    """
    words = line.split()
    if len(words) < 5:
        raise ExpectationsError(f"{place}: a line is fail or skip, a property, a case, a reason and a link.")
    kind, name, case, *reason = words
    return Expectation(kind, name, case, " ".join(reason), board, toolkit)


def _expectation(line: str, place: str, board: str, toolkit: str, cases: Collection[str]) -> Expectation:
    parsed = parse_line(line, board, toolkit, place)
    kind, name, last = parsed.kind, parsed.property, parsed.reason.split()[-1]
    is_defect = any(parsed.names(_DEFECT + defect.id) for defect in toolkit_version(toolkit).defects)
    checks = {
        f"begins with {kind!r}, not fail or skip": kind not in ("fail", "skip"),
        f"names an unknown property {name!r}": name != "*" and name not in PROPERTIES,
        f"names an unknown case {parsed.case!r}": not is_defect and not any(map(parsed.names, cases)),
        "skips a defect, which only the case itself shows": kind == "skip" and is_defect,
        f"ends with {last!r}, neither a link nor measured": last != "measured"
        and not last.startswith(("https://", "http://")),
    }
    wrong = [words for words, is_wrong in checks.items() if is_wrong]
    if wrong:
        raise ExpectationsError(f"{place} {wrong[0]}.")
    return parsed

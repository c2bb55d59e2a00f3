"""The table of a run: how many models of each kind are right, refused and wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import attrs

from rknn_harness.records.case import PRECISIONS
from rknn_harness.records.outcomes import Kind
from rknn_harness.records.query import last_metrics
from rknn_harness.screen.tally import Tally, row_name
from rknn_harness.screen.text import INDENT, WIDTH

_COUNTS = (Kind.RIGHT, Kind.REFUSED, Kind.WRONG)
_GAP = "   "
_LAST = ("random", "failed before")
_LONGEST = 16
"""Letters of a name where precisions stand below each other: with four such columns a line has 80."""

_HINT = f"{INDENT}(--all lists the data sets one by one)"


@attrs.frozen
class _Row:
    """One row: its keys, its counts for each column of precisions, and a remark."""

    keys: tuple[str, ...]
    counts: tuple[Counter[Kind], ...]
    remark: str


def table(totals: Tally, *, show_all: bool = False) -> list[str]:
    """Return the lines of the table.

    Precisions stand side by side where that fits into 80 columns, else one below the other.

    Parameters
    ----------
    totals : Tally
    show_all : bool
        Whether data sets and families that are all right have a row each, not one in common.
    """
    if not totals.cells:
        return []
    names = sorted({cell.row for cell in totals.cells}, key=lambda name: (name in _LAST, name))
    right = [name for name in names if name not in _LAST and _is_right(totals, name)]
    families = totals.families
    kinds = ([name for name in right if name not in families], [name for name in right if name in families])
    folded = [group for group in kinds if len(group) > 1 and not show_all]
    groups = [*folded, *([name] for name in names if not any(name in group for group in folded))]
    precisions = [name for name in PRECISIONS if any(cell.precision == name for cell in totals.cells)]
    pairs = sorted({(cell.toolkit, cell.board) for cell in totals.cells})
    lines = _lines(totals, groups, [(name,) for name in precisions], pairs)
    if max(map(len, lines)) > WIDTH:
        lines = _lines(totals, groups, precisions, pairs)
    return [*lines, *[_HINT] * bool(folded)]


def _is_right(totals: Tally, name: str) -> bool:
    kinds = sum((counter for cell, counter in totals.cells.items() if cell.row == name), Counter[Kind]())
    return set(+kinds) == {Kind.RIGHT}


def _lines(
    totals: Tally,
    groups: Sequence[Sequence[str]],
    precisions: Sequence[str | tuple[str]],
    pairs: Sequence[tuple[str, str]],
) -> list[str]:
    """Return the table's lines: a precision in a tuple is a column, one by itself a row."""
    columns = [name[0] for name in precisions if isinstance(name, tuple)]
    below = [name for name in precisions if isinstance(name, str)]
    rows = [row for group in groups for row in _rows(totals, group, columns, below, pairs)]
    shown = _shown_keys(pairs, below)
    titles = [
        title
        for title, is_shown in zip(("model", "toolkit", "board", "precision"), shown, strict=True)
        if is_shown
    ]
    keys = [[key for key, is_shown in zip(row.keys, shown, strict=True) if is_shown] for row in rows]
    longest = WIDTH if columns else _LONGEST
    widths = [min(max(map(len, column)), longest) for column in zip(titles, *keys, strict=True)]
    counts = " ".join(kind.value for kind in _COUNTS)
    heads = [
        _line(titles, widths, columns, "") if columns else "",
        _line([""] * len(titles) if columns else titles, widths, [counts] * max(len(columns), 1), ""),
    ]
    lines = []
    before: list[str] = []
    for row, words in zip(rows, keys, strict=True):
        same = [index for index in range(len(words)) if words[: index + 1] == before[: index + 1]]
        cells = ["" if index in same else _cut(word, longest) for index, word in enumerate(words)]
        lines.append(_line(cells, widths, [_counts(counter) for counter in row.counts], row.remark))
        before = words
    return [*filter(None, heads), *lines]


def _cut(word: str, longest: int) -> str:
    """Leave out the middle of a long name, as names differ at their ends."""
    part = (longest - 3) // 2
    return word if len(word) <= longest else f"{word[:part]}...{word[-(longest - 3 - part) :]}"


def _shown_keys(pairs: Sequence[tuple[str, str]], below: Sequence[str]) -> tuple[bool, ...]:
    several_toolkits, several_boards = (len({pair[place] for pair in pairs}) > 1 for place in (0, 1))
    return True, several_toolkits, several_boards, bool(below)


def _rows(
    totals: Tally,
    group: Sequence[str],
    columns: Sequence[str],
    below: Sequence[str],
    pairs: Sequence[tuple[str, str]],
) -> Iterator[_Row]:
    for pair in pairs:
        for rows_of in [columns] if columns else [[name] for name in below]:
            counts = tuple(
                sum(
                    (
                        counter
                        for cell, counter in totals.cells.items()
                        if cell.row in group and cell.precision == name and (cell.toolkit, cell.board) == pair
                    ),
                    Counter[Kind](),
                )
                for name in rows_of
            )
            if not sum(counts, Counter[Kind]()).total():
                continue
            noun = "families" if group[0] in totals.families else "data sets"
            label = f"{len(group)} {noun}" if len(group) > 1 else group[0]
            precision = "" if columns else rows_of[0]
            remark = _remark(totals, group, rows_of, pair, counts)
            yield _Row((label, *pair, precision), counts, remark)


def _remark(
    totals: Tally,
    group: Sequence[str],
    precisions: Sequence[str],
    pair: tuple[str, str],
    counts: Sequence[Counter[Kind]],
) -> str:
    """Return the counts of other kinds, or how good the answers of one data set are."""
    total = sum(counts, Counter[Kind]())
    others = [f"{total[kind]} {kind.value}" for kind in (Kind.KNOWN, Kind.UNTRIED) if total[kind]]
    if others or len(group) > 1 or group[0] in _LAST:
        return ", ".join(others)
    metrics = [
        last_metrics(result)
        for result in totals.results
        if result.kind in (Kind.RIGHT, Kind.WRONG)
        and row_name(result.case) in group
        and result.case.precision in precisions
        and (result.case.toolkit, result.board) == pair
    ]
    agreements = [each.agreement for each in metrics if each is not None and each.agreement is not None]
    fits = [each.r2 for each in metrics if each is not None and each.r2 is not None]
    if agreements:
        share = math.floor(min(agreements) * 10_000) / 100
        return "all labels equal" if share == 100 else f"{share:.2f} % of labels"
    return f"R2 {math.floor(min(fits) * 10_000) / 10_000:.4f}" if fits else ""


def _counts(counter: Counter[Kind]) -> str:
    return " ".join(f"{counter[kind] or '-':>{len(kind.value)}}" for kind in _COUNTS)


def _line(keys: Sequence[str], widths: Sequence[int], cells: Sequence[str], remark: str) -> str:
    left = "  ".join(f"{key:{width}}" for key, width in zip(keys, widths, strict=True))
    width = len(" ".join(kind.value for kind in _COUNTS))
    right = _GAP.join(f"{cell:{width}}" for cell in cells)
    line = f"{INDENT}{left}{_GAP}{right}".rstrip()
    full = f"{INDENT}{left}{_GAP}{right}{_GAP}{remark}".rstrip()
    return full if len(full) <= WIDTH else line

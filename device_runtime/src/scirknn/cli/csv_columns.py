"""What the cells of a CSV file mean to a model: header, columns by name, numbers, texts and gaps."""

from __future__ import annotations

import contextlib
import math
from typing import Any, Iterable, List, Protocol, Sequence

import numpy as np

from scirknn.arrays import Array
from scirknn.bundle.columns import Columns, Key, Lookup
from scirknn.errors import InputError


class TakesRows(Protocol):
    """What has rows as its input: a bundle, or a network before it is converted."""

    @property
    def n_features_in(self) -> int:
        """Columns of X."""

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """``feature_names_in_``."""

    @property
    def columns(self) -> Columns | None:
        """What is looked up, filled or picked; None where every column is a number."""


Cells = List[str]

_MISSING = frozenset({"", "na", "nan", "null", "none", "n/a", "<na>", "-nan", "#n/a"})
_BOOLEANS = {"true": 1.0, "false": 0.0}
_LEAST_COUNTED = 4  # columns from which 0, 1, 2, ... is taken for a header whatever follows


class CsvColumns:
    """The columns of a file, as a model takes them.

    Parameters
    ----------
    model : Bundle or another that takes rows
    """

    def __init__(self, model: TakesRows) -> None:
        self._names, self._taken, self._width = model.feature_names, model.columns, model.n_features_in
        self._places: list[int | None] | None = None
        self._texts: dict[int, _TextColumn] = {}
        for lookup in () if model.columns is None else model.columns.lookups:
            if any(isinstance(key, (str, bool)) or key is None for key in lookup.keys):
                self._texts[lookup.source] = _TextColumn(lookup)

    @property
    def widths(self) -> tuple[int, int]:
        """Columns of X, and one more for an index."""
        return self._width, self._width + 1

    def is_header(self, cells: Cells, following: Cells | None, path: str) -> bool:
        """Say whether a file's first line names its columns.

        It does if it has names that the model knows, if it is no row (no number and no known text is in it),
        or if it counts the columns as pandas does.

        Parameters
        ----------
        cells, following : list of str
            The first two lines; None where there is one.
        path : str

        Raises
        ------
        InputError
            A line of 0 and 1 may be either.
        """
        if self._names is not None and set(self._names) & set(_stripped(cells)):
            return True
        if self._counts(cells):
            if self._width >= _LEAST_COUNTED or any(not cell.strip().isdigit() for cell in following or ()):
                return True
            raise InputError(
                f"{path} begins with {','.join(cells):.40}, which may be names of columns or a row. Pass "
                "--header yes if they are names, --header no if they are a row."
            )
        if self._has_index(cells):
            return all(_number(cell) is None for cell in cells[1:])
        return all(_number(cell) is None for cell in cells) and not any(
            text.knows(cells[place]) for place, text in self._texts.items() if place < len(cells)
        )

    def _counts(self, cells: Cells) -> bool:
        """Whether cells are 0, 1, 2, ..., behind the gap of an index or not."""
        names = cells[1:] if self._has_index(cells) else cells
        return self._width > 1 and names == [str(place) for place in range(self._width)]

    def _has_index(self, cells: Cells) -> bool:
        return len(cells) == self._width + 1 and not cells[0].strip()

    def arrange(self, header: Cells, path: str) -> None:
        """Take the columns by the names in `header`, or without the index that pandas writes first.

        Raises
        ------
        InputError
            A column is missing, or there twice.
        """
        if self._names is None:
            if self._has_index(header):
                self._places = list(range(1, len(header)))
            return
        needed = None if self._taken is None else self._taken.named
        names = header if set(self._names) <= set(header) else _stripped(header)
        twice = [name for name in self._names if names.count(name) > 1]
        if twice:
            raise InputError(
                f"{path} has the column {twice[0]!r} {names.count(twice[0])} times. Keep one of them."
            )
        places = {name: place for place, name in enumerate(names)}
        missing = [
            name
            for column, name in enumerate(self._names)
            if name not in places and (needed is None or column in needed)
        ]
        if missing:
            shown = ", ".join(map(repr, missing[:5])) + (" ..." if missing[5:] else "")
            raise InputError(
                f"{path} has no column {shown}. The model was fitted with these names. If the columns are the"
                " right ones in the right order, drop the first line and pass --header no."
            )
        self._places = [places.get(name) for name in self._names]

    def values(self, rows: Sequence[tuple[int, Cells]], path: str) -> Array:
        """Return rows of cells, each with the number of its line, as an array."""
        table = [cells for _, cells in rows]
        if self._places is not None:
            table = [["" if place is None else cells[place] for place in self._places] for cells in table]
        if not self._texts and not _has_underscore(table):
            with contextlib.suppress(ValueError):
                numbers = np.array(table, dtype=np.float64)
                if self._taken is not None or np.isfinite(numbers).all():
                    return numbers
        # Slowly, one by one: there are texts, or there is an error to be reported.
        values = np.empty((len(table), len(table[0])), dtype=object if self._texts else np.float64)
        for row, cells in enumerate(table):
            for column, cell in enumerate(cells):
                try:
                    values[row, column] = self._value(column, cell)
                except ValueError as error:
                    name = (self._names or ())[column : column + 1] or (column + 1,)
                    where = f"{path}, line {rows[row][0]}, column {name[0]}"
                    raise InputError(f"{where}: {cell!r:.40} {error}.") from None
        return values

    def _value(self, column: int, cell: str) -> Any:
        if column in self._texts:
            return self._texts[column].read(cell)
        value = _number(cell)
        if value is None and cell.strip().lower() in _MISSING:
            value = math.nan
        if value is None and self._is_looked_at(column):
            raise ValueError("is no number")
        if self._taken is None and value is not None and value != value:
            raise ValueError("is no number, and the model fills none in")
        return value

    def _is_looked_at(self, column: int) -> bool:
        return self._taken is None or self._taken.named is None or column in self._taken.named


class _TextColumn:
    """A column that is looked up and holds texts: its cells are taken verbatim."""

    def __init__(self, lookup: Lookup) -> None:
        self._keys = {key for key in lookup.keys if isinstance(key, str)}
        self._others: dict[float, Key] = {
            float(key): key for key in lookup.keys if isinstance(key, (bool, int, float))
        }
        self._missing: Any = math.nan if lookup.nan is not None or None not in lookup.keys else None

    def knows(self, cell: str) -> bool:
        """Say whether a cell is a category."""
        return cell in self._keys or (bool(self._others) and _number(cell) in self._others)

    def read(self, cell: str) -> Any:
        """Return the category, number or gap that a cell stands for, or its text."""
        if cell in self._keys:
            return cell
        if not cell:
            return self._missing
        number = _number(cell) if self._others else None
        return cell if number is None or number not in self._others else self._others[number]


def _number(cell: str) -> float | None:
    """Return the number in a cell, 1 and 0 for True and False, None for anything else."""
    try:
        number = float(cell)
    except ValueError:
        return _BOOLEANS.get(cell.strip().lower())
    # float() takes 1_000 for a thousand; a table has no such numbers. NaN is a gap.
    return None if "_" in cell or number != number else number


def _has_underscore(table: Iterable[Cells]) -> bool:
    return any("_" in cell for cells in table for cell in cells)


def _stripped(cells: Cells) -> Cells:
    return [cell.strip() for cell in cells]

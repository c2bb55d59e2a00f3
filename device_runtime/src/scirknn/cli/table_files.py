"""Rows from CSV and ``.npy`` files, and predictions into them, a block at a time."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import sys
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Callable, Iterable, Iterator, List, Sequence

import numpy as np

from scirknn.errors import InputError
from scirknn.files import open_atomically

if TYPE_CHECKING:
    from typing import Protocol

    from scirknn.arrays import Array
    from scirknn.bundle.columns import Columns

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


__all__ = ["HEADERS", "STREAM", "count_rows", "read_blocks", "read_table", "write_blocks"]

HEADERS = ("auto", "yes", "no")

STREAM = "-"
"""In place of a path: standard input or output."""

BLOCK = 8192
_DELIMITERS = ",;\t"
_MISSING = ("", "na", "nan", "null", "none")

Cells = List[str]


def read_table(path: str, model: TakesRows, *, header: str = "auto") -> Array:
    """Return all rows of a file as a model takes them; see `read_blocks`."""
    blocks = list(read_blocks(path, model, header=header))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def read_blocks(path: str, model: TakesRows, *, header: str = "auto", block: int = BLOCK) -> Iterator[Array]:
    """Yield the rows of a file as a model takes them.

    Parameters
    ----------
    path : str
        A ``.npy`` file, which is mapped into memory; any other is taken for CSV, with comma,
        semicolon or tab; ``-`` for CSV from standard input.
    model : Bundle or another that takes rows
        Where it has feature names and the file's first line has them too, the columns are taken by name, in
        any order and among others.
    header : {"auto", "yes", "no"}
        Whether the first line names the columns; "auto": if it is no row of numbers. A line of 0, 1, 2, ...
        may be either, and is refused.
    block : int
        Rows in a block.

    Yields
    ------
    numpy.ndarray, shape (rows, columns)

    Raises
    ------
    InputError
        The file is no table; the text names the line.
    OSError
    """
    if path.endswith(".npy"):
        rows = _mapped(path)
        if rows.ndim < 2 or not len(rows):
            yield rows  # for the model to refuse
            return
        for start in range(0, len(rows), block):
            yield rows[start : start + block]
        return
    with contextlib.ExitStack() as stack:
        if path == STREAM:
            file: IO[str] = sys.stdin
        else:
            file = stack.enter_context(open(path, encoding="utf-8-sig", newline=""))
        try:
            yield from _csv_blocks(file, path, _Columns(model), header, block)
        except UnicodeDecodeError as error:
            raise InputError(f"{path} is no UTF-8 text ({error}); is it a table saved as CSV?") from None
        except csv.Error as error:
            raise InputError(f"{path} is no CSV: {error}.") from None


def count_rows(path: str) -> int | None:
    """Return how many rows a ``.npy`` file has; None for any other."""
    return len(_mapped(path)) if path.endswith(".npy") else None


def _mapped(path: str) -> Array:
    try:
        rows: Array = np.atleast_1d(np.load(path, mmap_mode="r", allow_pickle=False))
    except ValueError as error:
        raise InputError(f"{path} is no .npy file of numbers ({error}).") from None
    return rows


def _csv_blocks(file: IO[str], path: str, columns: _Columns, header: str, block: int) -> Iterator[Array]:
    first = file.readline()
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(itertools.chain([first], file), delimiter=delimiter)
    lines: Iterator[tuple[int, Cells]] = (
        (reader.line_num, [cell.strip() for cell in cells]) for cells in reader if cells
    )
    number, cells = next(lines, (1, []))
    if not cells:
        raise InputError(f"{path} is empty.")
    width = len(cells)
    if header == "auto":
        columns.refuse_counted(cells, path)
    if header == "yes" or (header == "auto" and columns.named_by(cells)):
        columns.arrange(cells, path)
    else:
        lines = itertools.chain([(number, cells)], lines)
    some = False
    while True:
        rows = list(itertools.islice(lines, block))
        for number, cells in rows:
            if len(cells) != width:
                raise InputError(
                    f"{path}, line {number}: {len(cells)} cells, where the first line has {width}."
                )
        if rows:
            some = True
            yield columns.values(rows, path)
        elif some:
            return
        else:
            raise InputError(f"{path} has a header and no rows.")


class _Columns:
    """What a bundle's model takes, and where a file has it."""

    def __init__(self, model: TakesRows) -> None:
        self._names, self._taken, self._width = model.feature_names, model.columns, model.n_features_in
        self._places: list[int | None] | None = None
        # How a column's cells are to be read; as numbers unless it is looked up by text.
        self._texts: dict[int, Callable[[str], Any]] = {}
        for lookup in () if model.columns is None else model.columns.lookups:
            if any(isinstance(key, bool) for key in lookup.keys):
                self._texts[lookup.source] = lambda cell: {"true": True, "false": False}.get(
                    cell.lower(), cell
                )
            elif any(isinstance(key, str) for key in lookup.keys):
                self._texts[lookup.source] = str

    def named_by(self, cells: Cells) -> bool:
        """Say whether a file's first line names its columns."""
        if self._names is not None and set(self._names) & set(cells):
            return True
        plain = [cell for place, cell in enumerate(cells) if place not in self._texts]
        return any(_number(cell) is None for cell in plain)

    def refuse_counted(self, cells: Cells, path: str) -> None:
        """Refuse a first line that counts the columns, as pandas names an array's."""
        if self._names is not None and set(self._names) <= set(cells):
            return
        counted = [str(place) for place in range(self._width)]
        if self._width > 1 and cells == counted:
            raise InputError(
                f"{path} begins with {','.join(cells):.40}, which may be names of columns or a row. Pass "
                "--header yes if they are names, --header no if they are a row."
            )
        if len(cells) == self._width + 1 and not cells[0] and all(cells[1:]):
            raise InputError(
                f"{path} begins with a column that has no name, as pandas writes the index. Write the table "
                "with index=False."
            )

    def arrange(self, header: Cells, path: str) -> None:
        """Take the columns by the names in `header`, where there are names."""
        if self._names is None:
            return
        needed = None if self._taken is None else self._taken.named
        places = {name: place for place, name in enumerate(header)}
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
        """Return rows of cells as an array."""
        table = [cells for _, cells in rows]
        if self._places is not None:
            table = [["" if place is None else cells[place] for place in self._places] for cells in table]
        if not self._texts:
            with contextlib.suppress(ValueError):
                numbers = np.array(table, dtype=np.float64)
                if self._taken is not None or np.isfinite(numbers).all():
                    return numbers
        # Slowly, one by one: there are texts, or an error to locate.
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
        read = self._texts.get(column)
        if read is not None and cell.lower() not in _MISSING:
            return read(cell)
        value = _number(cell)
        if value is None and self._is_looked_at(column):
            raise ValueError("is no number")
        if self._taken is None and value is not None and value != value:
            raise ValueError("is no number, and the model fills none in")
        return value

    def _is_looked_at(self, column: int) -> bool:
        return self._taken is None or self._taken.named is None or column in self._taken.named


def _number(cell: str) -> float | None:
    if cell.lower() in _MISSING:
        return float("nan")
    try:
        return float(cell)
    except ValueError:
        return None


def write_blocks(path: str, blocks: Iterable[Array], header: Sequence[str], rows: int | None = None) -> int:
    """Write predictions and return how many rows they have.

    `path` is a ``.npy`` file, any other name for CSV, ``-`` for CSV on standard output. `blocks` have shape
    (rows,) or (rows, columns), `header` is the first line of CSV. A file is written atomically. Where `rows`,
    their number in all, is known, a ``.npy`` file is filled as they come.
    """
    if path == STREAM:
        return _write_csv(sys.stdout.write, blocks, header)
    with open_atomically(path) as file:
        if path.endswith(".npy"):
            return _write_npy(file, blocks, rows)
        return _write_csv(lambda text: file.write(text.encode("utf-8")), blocks, header)


def _write_csv(write: Callable[[str], Any], blocks: Iterable[Array], header: Sequence[str]) -> int:
    written = 0
    for block in blocks:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not written:
            writer.writerow(header)
        table = block.reshape(len(block), -1)
        if table.dtype == np.float32:
            # Nine digits separate every float32 from its neighbours.
            writer.writerows([f"{value:.9g}" for value in row] for row in table.tolist())
        else:
            writer.writerows(table.tolist())
        write(text.getvalue())
        written += len(block)
    return written


def _write_npy(file: BinaryIO, blocks: Iterable[Array], rows: int | None) -> int:
    """Write the header with the first block; a file that cannot seek will do."""
    if rows is None:
        table = np.concatenate(list(blocks))
        blocks, rows = [table], len(table)
    written, dtype = 0, None
    for block in blocks:
        if dtype is None:
            dtype = block.dtype
            layout = np.lib.format.header_data_from_array_1_0(block)
            layout.update(shape=(rows, *block.shape[1:]), fortran_order=False)
            np.lib.format.write_array_header_1_0(file, layout)
        file.write(block.astype(dtype, copy=False).tobytes())
        written += len(block)
    return written

"""Rows from CSV and ``.npy`` files, and predictions into them, a block at a time."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import sys
import tokenize
from typing import IO, Any, BinaryIO, Callable, Iterable, Iterator, List, Sequence

import numpy as np

from scirknn.arrays import Array
from scirknn.cli.csv_columns import CsvColumns, TakesRows
from scirknn.errors import InputError
from scirknn.files import open_atomically
from scirknn.text import printable

HEADERS = ("auto", "yes", "no")

STREAM = "-"
"""In place of a path: standard input or output."""

BLOCK = 8192
_DELIMITERS = ",;\t"
_SHOWN = 200  # characters of a header
_LONGEST_LINE = 1 << 24  # characters: 65,536 columns of 255
_LINES = 1000  # of the first record, for a quote that nothing closes

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
        Whether the first line names the columns; "auto": if no number is in it, it has the model's names, or
        it counts the columns as pandas does. What is taken for names is said on standard error.
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
            if hasattr(file, "reconfigure"):
                file.reconfigure(encoding="utf-8-sig", newline="")
        else:
            file = stack.enter_context(open(path, encoding="utf-8-sig", newline=""))
        name = "standard input" if path == STREAM else path
        try:
            yield from _csv_blocks(file, name, CsvColumns(model), header, block)
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name} is no UTF-8 text ({error}). Give a table saved as CSV or .npy."
            ) from None
        except csv.Error as error:
            raise InputError(f"{name} is no CSV: {error}.") from None


def count_rows(path: str) -> int | None:
    """Return how many rows a ``.npy`` file has; None for any other."""
    return len(_mapped(path)) if path.endswith(".npy") else None


def map_array(path: str | os.PathLike[str]) -> Array:
    """Return the array of a ``.npy`` file, mapped: of the size that the file has, without objects.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        It is no such file.
    """
    try:
        array: Array = np.lib.format.open_memmap(path, mode="r")
    except (OverflowError, TypeError, tokenize.TokenError) as error:  # numpy evaluates the header
        raise ValueError(str(error)) from None
    return array


def _mapped(path: str) -> Array:
    try:
        return np.atleast_1d(map_array(path))
    except ValueError as error:
        raise InputError(f"{path} is no .npy file of numbers ({error}).") from None


def _csv_blocks(file: IO[str], path: str, columns: CsvColumns, header: str, block: int) -> Iterator[Array]:
    first = _first_record(file)
    delimiter = _delimiter_of(first, columns.widths)
    reader = csv.reader(itertools.chain(first, iter(lambda: _line(file), "")), delimiter=delimiter)
    lines: Iterator[tuple[int, Cells]] = ((reader.line_num, cells) for cells in reader if cells)
    start = list(itertools.islice(lines, 2))
    if not start:
        raise InputError(f"{path} is empty.")
    width = columns.widths[0]
    if width > 1 and all(len(cells) == 1 and len(cells[0].split()) == width for _, cells in start):
        raise InputError(
            f"{path} has spaces between its cells. Write commas, semicolons or tabs, as numpy.savetxt does "
            "with delimiter=','."
        )
    names, following = start[0][1], start[1][1] if start[1:] else None
    if header == "yes" or (header == "auto" and columns.is_header(names, following, path)):
        columns.arrange(names, path)
        del start[0]
        if header == "auto":
            shown = delimiter.join(names)
            shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + " ..."
            text = printable(f"{path}: the first line is taken as names of columns: {shown}")
            print(text.replace("\n", " "), file=sys.stderr)
    lines = itertools.chain(start, lines)
    some = False
    while True:
        rows = list(itertools.islice(lines, block))
        for number, cells in rows:
            if len(cells) != len(names):
                raise InputError(
                    f"{path}, line {number}: {len(cells)} cells, where the first line has {len(names)}."
                )
        if rows:
            some = True
            yield columns.values(rows, path)
        elif some:
            return
        else:
            raise InputError(f"{path} has a header and no rows.")


def _first_record(file: IO[str]) -> list[str]:
    """Return the lines of the first record, of which quoted cells may hold several, without a BOM."""
    first = _line(file)
    if first.startswith("\ufeff"):  # standard input, whose encoding keeps it
        first = first[1:]
    lines, quotes = [first], first.count('"')
    while quotes % 2 and lines[-1] and len(lines) < _LINES and sum(map(len, lines)) < _LONGEST_LINE:
        lines.append(_line(file))
        quotes += lines[-1].count('"')
    return lines


def _line(file: IO[str]) -> str:
    """Return the next line, which is not read to its end if that is far away."""
    line = file.readline(_LONGEST_LINE)
    if len(line) == _LONGEST_LINE:
        raise csv.Error(f"a line has {_LONGEST_LINE >> 20} million characters or more")
    return line


def _delimiter_of(record: Sequence[str], widths: Sequence[int]) -> str:
    """Return the delimiter that gives a record as many cells as the model has columns, or else the most."""
    counts = {each: len(next(csv.reader(record, delimiter=each), [])) for each in _DELIMITERS}
    return max(_DELIMITERS, key=lambda each: (counts[each] in widths and counts[each] > 1, counts[each]))


def require_file_of_its_own(output: str, read: Iterable[str | os.PathLike[str]]) -> None:
    """Refuse an output that would replace a file that is read (InputError)."""
    if output == STREAM or not os.path.isfile(output):
        return
    if any(os.path.exists(path) and os.path.samefile(output, path) for path in read):
        raise InputError(
            f"Predictions would replace {output}, from which they are made. Name another output."
        )


def write_blocks(path: str, blocks: Iterable[Array], header: Sequence[str], rows: int | None = None) -> int:
    """Write predictions and return how many rows they have.

    `path` is a ``.npy`` file, any other name for CSV, ``-`` for CSV on standard output. `blocks` have shape
    (rows,) or (rows, columns), `header` is the first line of CSV. A file is written atomically. Where `rows`,
    their number in all, is known, a ``.npy`` file is filled as they come.
    """
    if path == STREAM:
        # A terminal would obey what is in labels; a program gets them as they are.
        shown = printable if sys.stdout.isatty() else str
        return _write_csv(lambda text: sys.stdout.write(shown(text)), blocks, header)
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

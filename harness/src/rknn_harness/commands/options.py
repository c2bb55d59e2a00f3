"""What several commands share: options, and exit codes for errors."""

from __future__ import annotations

import contextlib
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import sklearn2rknn
from rknn_harness.boards.boards_file import Board, default_boards_file, no_board, read_boards
from rknn_harness.boards.claim import Claim
from rknn_harness.errors import BoardsFileError, HarnessError
from rknn_harness.records.outcomes import ExitCode
from scirknn.text import drop_output, printable
from sklearn2rknn.file_path import FilePath

if TYPE_CHECKING:
    from rknn_harness.boards.board_link import BoardLink

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST = 30 * 86_400

BOARD_VARIABLE = "RKNN_HARNESS_BOARD"
"""Names the board of a command without ``--board``."""

board_option = click.option(
    "--board",
    "board_name",
    default="virtual",
    show_default=True,
    envvar=BOARD_VARIABLE,
    show_envvar=True,
    help="The board's name.",
)
boards_option = click.option(
    "--boards",
    "boards_file",
    type=FilePath(exists=True, dir_okay=False),
    default=default_boards_file,
    help="File of boards; without one there is the virtual board alone.  "
    "[default: ~/.config/rknn-harness/boards.toml, if it exists]",
)


class Share(click.FloatRange):
    """A number from 0 to 1."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a text, or refuse it."""
        share: float = super().convert(value, param, ctx)
        if math.isnan(share):  # it lies in every range
            self.fail(f"{value!r} is no number from 0 to 1.", param, ctx)
        return share


class Duration(click.ParamType):  # type: ignore[type-arg]  # click before 8.4 has no parameters
    """Seconds, from a text such as ``90s``, ``30m``, ``2h`` or ``1d``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read a text, or refuse it."""
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", str(value))
        seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
        if not 0 < seconds <= _LONGEST:
            self.fail(f"{value!r} is no time such as 90s, 30m, 2h or 1d, up to 30d.", param, ctx)
        return seconds


@contextlib.contextmanager
def acquire_board(
    name: str, boards_file: Path | None, *, claim: Claim | None = None, leased: bool = True
) -> Iterator[BoardLink]:
    """Acquire a board by name, or raise `click.UsageError` where there is none."""
    from rknn_harness.boards.board_link import BoardLink

    with BoardLink(choose_board(name, boards_file), claim=claim, leased=leased) as link:
        yield link


@contextlib.contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Turn errors into a line and an exit code."""
    try:
        yield
    except (BoardsFileError, sklearn2rknn.OptionError) as error:
        raise click.UsageError(str(error)) from None
    except (HarnessError, sklearn2rknn.Sklearn2RknnError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            drop_output()
        click.echo(printable(f"Error: {error}"), err=True)
        sys.exit(int(ExitCode.INFRASTRUCTURE))


def choose_board(name: str, boards_file: Path | None) -> Board:
    """Return a board by name, or raise click.UsageError."""
    boards = read_boards(boards_file)
    if name not in boards:
        raise click.UsageError(no_board(name, boards, boards_file))
    return boards[name]

"""The file of boards, ``boards.toml``; the virtual board needs no entry.

::

    [board.rock5b]
    host = "rock5b.example"             # or a Host of ~/.ssh/config
    user = "rock"                       # this and the next three: by default what ssh would use
    key = "~/.ssh/id_ed25519"
    known_hosts = "~/.ssh/known_hosts"
    port = 22
    python = "/opt/rknn/bin/python3"    # has numpy and rknnlite; default python3
    tags = ["rk3588"]
    power_command = ["pdu", "cycle", "rock5b"]

    [board.emulated]
    kind = "virtual"                    # another provider than "ssh"; each has fields of its own
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from platformdirs import user_config_path

from rknn_harness.boards.board import VIRTUAL, Board
from rknn_harness.boards.board_entry import BoardEntry
from rknn_harness.boards.providers.provider import provider_class
from rknn_harness.errors import BoardsFileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["VIRTUAL", "Board", "default_boards_file", "no_board", "read_boards"]

_CURES = {
    "password": "boards let in keys alone: 'ssh-copy-id -i KEY.pub USER@HOST' asks for the password once",
    "proxy_jump": "write ProxyJump for the host into ~/.ssh/config, or forward a port with 'ssh -L'",
}
_COMMAND_LINE = (
    "is {0!r}, a command line, but it must be one program. Make a script on the board with the lines "
    "'#!/bin/sh' and 'exec {0} \"$@\"', make it executable, and write its path here"
)
_CHOICES = {"device": ("npu", "virtual"), "clocks": ("pin", "record", "ignore")}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def read_boards(path: Path | None) -> dict[str, Board]:
    """Read the boards of a file.

    Parameters
    ----------
    path : pathlib.Path or None
        ``boards.toml``; relative paths in it are relative to its folder. None: the virtual board alone.

    Returns
    -------
    dict of str to Board
        By name, in the file's order after ``"virtual"``, which is always there.

    Raises
    ------
    BoardsFileError
        The text names the file, the entry and the field.
    """
    boards = {"virtual": VIRTUAL}
    if path is None:
        return boards
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BoardsFileError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:  # TOML's error and a wrong encoding
        raise BoardsFileError(f"{path} is not TOML: {error}") from None
    unknown = sorted(set(document) - {"board"})
    if unknown:
        raise BoardsFileError(f"{path} has {unknown[0]!r}; boards are tables named [board.NAME].")
    entries = document.get("board", {})
    if not isinstance(entries, dict):
        raise BoardsFileError(f"{path}: 'board' is no table; boards are tables named [board.NAME].")
    for name, entry in entries.items():
        if name == "virtual":
            raise BoardsFileError(f"{path}: [board.virtual] is built in; give the entry another name.")
        if not isinstance(entry, dict):
            raise BoardsFileError(f"{path}: 'board.{name}' is no table; write [board.{name}].")
        if not _NAME.fullmatch(name):
            raise BoardsFileError(
                f"{path}: {name!r:.60} cannot be a board's name, which files are named by: it takes "
                "letters, digits, '.', '_', '+' and '-', and begins with one of the first two."
            )
        boards[name] = _read_board(BoardEntry(path, name, entry))
    return boards


def default_boards_file() -> Path | None:
    """Return ``rknn-harness/boards.toml`` of ``$XDG_CONFIG_HOME`` or ``~/.config``, if it exists."""
    path = user_config_path("rknn-harness") / "boards.toml"
    return path if path.is_file() else None


def no_board(name: str, boards: Mapping[str, Board], path: Path | None) -> str:
    """Return the text that a board is not among those that were read."""
    text = f"There is no board {name!r}; there are {', '.join(boards)}."
    if path:
        return f"{text} Add an entry [board.{name}] to {path}, or name another file with --boards."
    usual = user_config_path("rknn-harness") / "boards.toml"
    return f"{text} Boards of yours are in a file, {usual} or one named with --boards boards.toml."


def _read_board(entry: BoardEntry) -> Board:
    kind = entry.text("kind", "ssh")
    try:
        provider = provider_class(kind)
    except ValueError as error:
        entry.fail("kind", f"is {kind!r}; {error}")
    fields: dict[str, Any] = provider.read(entry)
    device = entry.text("device", fields.pop("device", "npu"))
    for field in ("clocks", "lease_folder"):
        if field in entry.fields:
            fields[field] = entry.text(field)
    board = Board(
        name=entry.name,
        kind=kind,
        made_for_each_use=provider.made_for_each_use,
        python=entry.text("python", fields.pop("python", "python3")),
        work_folder=entry.text("work_folder", ".cache/rknn-harness"),
        device=device,
        virtual=entry.flag("virtual") or fields.pop("virtual", False) or device == "virtual",
        tags=entry.words("tags") or (),
        power_command=entry.words("power_command"),
        boot_seconds=entry.seconds("boot_seconds", 120.0),
        **fields,
    )
    _check(entry, board)
    return board


def _check(entry: BoardEntry, board: Board) -> None:
    for field, known in _CHOICES.items():
        value = getattr(board, field)
        if value not in known:
            entry.fail(field, f"is {value!r}, not {', '.join(map(repr, known[:-1]))} or {known[-1]!r}")
    for field in ("python", "work_folder", "lease_folder"):
        value = getattr(board, field)
        if value.startswith("~"):
            home = value.partition("/")[0]
            entry.fail(
                field, f"is {value!r}; write that home in full, as 'echo {home}' shows it on the board"
            )
    if re.match(r"[^\s/]+\s", board.python):
        entry.fail("python", _COMMAND_LINE.format(board.python))
    if board.power_command == ():
        entry.fail("power_command", "is empty")
    if entry.fields:
        field = min(entry.fields)
        hidden = ("name", "proxy", "options", "made_for_each_use")
        names = ", ".join(each.name for each in attrs.fields(Board) if each.name not in hidden)
        entry.fail(field, f"is no field of a board; {_CURES.get(field, f'there are {names}')}")

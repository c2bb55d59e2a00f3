"""Boards: whatever answers over SSH. They are listed in ``boards.toml``; the virtual board needs no entry.

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
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from rknn_harness.boards.ssh_settings import ssh_settings
from rknn_harness.errors import BoardsFileError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["VIRTUAL", "Board", "no_board", "read_boards"]

_CURES = {
    "password": "boards let in keys alone: 'ssh-copy-id -i KEY.pub USER@HOST' asks for the password once",
    "proxy_jump": "write ProxyJump for the host into ~/.ssh/config, or forward a port with 'ssh -L'",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def _from_home(path: str) -> str:
    """Return a path on the board as it is from the home of its user, where every command begins."""
    first, _, rest = path.partition("/")
    return rest or "." if first == "~" else path


@attrs.frozen
class Board:
    """How to reach a board, and what to use there.

    Attributes
    ----------
    name : str
    host : str
        An address or a name; read from a file, the ``HostName`` of the user's ssh_config.
    user : str
    key : pathlib.Path
        Private key without a passphrase.
    known_hosts : pathlib.Path
        The only file in which the board's host key is looked up.
    port : int
    proxy : str
        A shell's command that reaches the board on its standard streams; empty for a direct connection. It
        comes from ``ProxyJump`` or ``ProxyCommand`` of the user's ssh_config.
    python : str
        The board's Python, 3.8 or later, with numpy and its NPU's runtime.
    work_folder : str
        Where the board keeps what is sent to it; relative to the user's home, or absolute.
    device : {"npu", "virtual"}
        What `scirknn` runs models on.
    virtual : bool
        Whether no NPU is behind it, only `virtual_npu`: its reports say so, and its bits must be the same as
        those computed here. Always so where `device` is "virtual". Without a port it is the one that is
        started when it is used. A board that answers that it has no NPU is reported so whatever is said here.
    tags : tuple of str
        What cases may ask for.
    power_command : tuple of str or None
        Run on this machine, without a shell, to power-cycle the board.
    boot_seconds : float
        How long the board may take to answer after that.
    clocks : {"pin", "record", "ignore"}
        Whether clocks are held at their highest while a model is timed, or looked at only, or neither. The
        default is "ignore" for a virtual board, whose clocks are this machine's, and else "pin".
    lease_folder : str
        Where on the board it says who has it, the same for all who use it; relative to the user's home, or
        absolute. By default a virtual board's is in its work folder.
    """

    name: str
    host: str
    user: str
    key: Path
    known_hosts: Path
    port: int = 22
    proxy: str = ""
    python: str = attrs.field(default="python3", converter=_from_home)
    work_folder: str = attrs.field(default=".cache/rknn-harness", converter=_from_home)
    device: str = "npu"
    virtual: bool = False
    tags: tuple[str, ...] = ()
    power_command: tuple[str, ...] | None = None
    boot_seconds: float = 120.0
    clocks: str = attrs.field()
    lease_folder: str = attrs.field(converter=_from_home)

    @clocks.default
    def _default_clocks(self) -> str:
        return "ignore" if self.virtual else "pin"

    @lease_folder.default
    def _default_lease_folder(self) -> str:
        # Not /run/lock: a reservation outlives a power cut.
        return f"{self.work_folder}/lease" if self.virtual else "/var/tmp/rknn-harness-lease"


VIRTUAL = Board(
    name="virtual",
    host="127.0.0.1",
    port=0,
    user="board",
    key=Path(),
    known_hosts=Path(),
    python=sys.executable,
    device="virtual",
    virtual=True,
    tags=("virtual",),
)
"""The virtual board before it is started: `rknn_harness.boards.providers.virtual.started` gives it a port and
keys."""


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
    except ValueError as error:  # TOML's error and a wrong encoding
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
        boards[name] = _Entry(path, name, entry).board()
    return boards


def no_board(name: str, boards: Mapping[str, Board], path: Path | None) -> str:
    """Say that a board is not among those that were read."""
    there = f"There is no board {name!r}; there are {', '.join(boards)}."
    return there if path else f"{there} Boards of yours are in a file, named with --boards boards.toml."


class _Entry:
    """Takes typed fields out of one entry, or says which one is wrong."""

    def __init__(self, path: Path, name: str, entry: Mapping[str, Any]) -> None:
        self.path, self.name, self.entry = path, name, dict(entry)

    def board(self) -> Board:
        device = self.text("device", "npu")
        optional: dict[str, Any] = {
            field: self.text(field) for field in ("clocks", "lease_folder") if field in self.entry
        }
        board = Board(
            name=self.name,
            **self.address(),
            python=self.text("python", "python3"),
            work_folder=self.text("work_folder", ".cache/rknn-harness"),
            device=device,
            virtual=self.flag("virtual") or device == "virtual",
            tags=self.words("tags", ()),
            power_command=self.words("power_command", None),
            boot_seconds=self.seconds("boot_seconds", 120.0),
            **optional,
        )
        for field, known in (("device", ("npu", "virtual")), ("clocks", ("pin", "record", "ignore"))):
            value = getattr(board, field)
            if value not in known:
                self.fail(field, f"is {value!r}, not {', '.join(map(repr, known[:-1]))} or {known[-1]!r}")
        for field in ("python", "work_folder", "lease_folder"):
            if getattr(board, field).startswith("~"):
                self.fail(field, f"is {getattr(board, field)!r}; write another user's home in full")
        if board.power_command == ():
            self.fail("power_command", "is empty")
        if self.entry:
            field = min(self.entry)
            names = ", ".join(a.name for a in attrs.fields(Board) if a.name not in ("name", "proxy"))
            self.fail(field, f"is no field of a board; {_CURES.get(field, f'there are {names}')}")
        return board

    def address(self) -> dict[str, Any]:
        """Return where and how the board is reached: the entry's fields, else what ``ssh HOST`` would use."""
        host, port = self.text("host").strip("[]"), self.port()
        if found := re.fullmatch(r"(?:ssh://)?([^:]+|.*\[.+\]):(\d+)", host):
            self.fail("host", f"is {host!r}, with a port; write port = {found[2]} on a line of its own")
        user = self.text("user") if "user" in self.entry else None
        try:
            settings = ssh_settings(host, user=user, port=port)
        except ValueError as error:
            self.fail("host", f"is {host!r}, which ssh refuses: {error}")
        fields: dict[str, Any] = {
            "host": settings.host,
            "port": settings.port or port or 22,
            "proxy": settings.proxy,
        }
        fields["user"] = user or settings.user or self.text("user")
        for field, usual in (("key", settings.key), ("known_hosts", settings.known_hosts)):
            fields[field] = self.file(field) if field in self.entry or usual is None else usual
        return fields

    def fail(self, field: str, why: str) -> Any:
        raise BoardsFileError(
            f"{self.path}: [board.{self.name}] {field} {why}.",
            file=str(self.path),
            entry=self.name,
            field=field,
        )

    def text(self, field: str, default: str | None = None) -> str:
        value = self.entry.pop(field, default)
        if value is None:
            self.fail(field, "is missing")
        if not isinstance(value, str) or not value or not value.isprintable():
            self.fail(field, f"is {value!r:.60}, not a text of one line")
        return str(value)

    def file(self, field: str) -> Path:
        return self.path.parent / Path(self.text(field)).expanduser()

    def port(self) -> int | None:
        if "port" not in self.entry:
            return None
        value = self.entry.pop("port")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
            self.fail("port", f"is {value!r:.60}, not a number from 1 to 65535")
        return int(value)

    def seconds(self, field: str, default: float) -> float:
        value = self.entry.pop(field, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 86_400:
            self.fail(field, f"is {value!r:.60}, not seconds, up to a day")
        return float(value)

    def flag(self, field: str) -> bool:
        value = self.entry.pop(field, False)
        if not isinstance(value, bool):
            self.fail(field, f"is {value!r:.60}, not true or false")
        return bool(value)

    def words(self, field: str, default: tuple[str, ...] | None) -> Any:
        value = self.entry.pop(field, default)
        if value is default:
            return default
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            self.fail(field, f"is {value!r:.60}, not a list of texts")
        return tuple(value)

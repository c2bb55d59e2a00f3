"""A board: how to reach it, and what to use there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import attrs


def _from_home(path: str) -> str:
    """Return a path relative to the home of the board's user, where commands begin."""
    first, _, rest = path.partition("/")
    return rest.lstrip("/") or "." if first == "~" else path


def _program_from_home(path: str) -> str:
    """Return a program's path from that home; a bare name would be looked up in PATH."""
    program = _from_home(path)
    return f"./{program}" if path.startswith("~/") and "/" not in program else program


@attrs.frozen
class Board:
    """How to reach a board, and what to use there.

    Attributes
    ----------
    name : str
    kind : str
        Of its provider, see `rknn_harness.boards.providers.provider`. A board that was acquired is "ssh".
    options : mapping of str to str
        What that provider takes beside the fields here.
    made_for_each_use : bool
        Whether each process that uses it has a board of its own, which nobody else can take.
    host : str
        An address or a name; read from a file, the ``HostName`` of the user's ssh_config. This and the next
        three are settled when the board is acquired.
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
        Where the board keeps what is sent to it; relative to the user's home, or absolute. Here, in `python`
        and in `lease_folder` a leading ``~/`` is that home.
    device : {"npu", "virtual"}
        What `scirknn` runs models on.
    virtual : bool
        Whether `virtual_npu` stands for its NPU: reports name that, and its bits must be the same as those
        computed here. Always so where `device` is "virtual". A board that reports no NPU is reported as
        virtual in any case.
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
        Where the board records who has it, the same for all who use it; relative to the user's home, or
        absolute. By default a virtual board's is in its work folder.
    """

    name: str
    host: str = ""
    user: str = ""
    key: Path = Path()
    known_hosts: Path = Path()
    port: int = 22
    kind: str = "ssh"
    options: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    made_for_each_use: bool = False
    proxy: str = ""
    python: str = attrs.field(default="python3", converter=_program_from_home)
    work_folder: str = attrs.field(default=".cache/rknn-harness", converter=_from_home)
    device: str = "npu"
    virtual: bool = False
    tags: tuple[str, ...] = ()
    power_command: tuple[str, ...] | None = None
    boot_seconds: float = 120.0
    clocks: str = attrs.field()
    lease_folder: str = attrs.field(converter=_from_home)

    @property
    def address(self) -> str:
        """Return host and port in one text, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @clocks.default
    def _default_clocks(self) -> str:
        return "ignore" if self.virtual else "pin"

    @lease_folder.default
    def _default_lease_folder(self) -> str:
        # Not /run/lock: a reservation outlives a power cut.
        return f"{self.work_folder}/lease" if self.virtual else "/var/tmp/rknn-harness-lease"


VIRTUAL = Board(
    name="virtual",
    kind="virtual",
    made_for_each_use=True,
    host="127.0.0.1",
    port=0,
    user="board",
    python=sys.executable,
    device="virtual",
    virtual=True,
    tags=("virtual",),
)
"""The virtual board before it is started: its provider gives it a port and keys."""

"""The arm64 board: the vendor's rknnlite under qemu-user, over the virtual NPU.

The tree comes from ``containers/arm64/make-tree``. Its programs run in namespaces of their own (users,
mounts, processes), so that nothing outside is changed: the kernel learns of qemu for that user namespace
alone. An executor outside answers on a socket in the tree, where the tree's ``librknnrt.so`` finds it. To the
harness it is a board like any other::

    containers/arm64/make-tree build/arm64
    python -m rknn_harness.boards.providers.arm64 build/arm64 build/arm64-board    # prints the path of a
    boards.toml rknn-harness run --boards build/arm64-board/boards.toml --board arm64-2.3.2
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import asyncssh
import attrs

from rknn_harness.boards.board import Board
from rknn_harness.boards.board_entry import BoardEntry
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.provider import BoardProvider, board_provider
from rknn_harness.errors import BoardBusyError, BoardRefusedError, VirtualBoardError

__all__ = ["arm64_boards", "boards_file", "missing"]

_QEMU: Final = "/usr/bin/qemu-aarch64-static"
_PROGRAMS: Final = {
    _QEMU: "qemu-user-static",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "mount": "mount",
}

# Kernel documentation, admin-guide/binfmt-misc: magic and mask of an ELF header of machine EM_AARCH64 (183),
# executables and shared objects alike. F: the interpreter is opened now, so a chroot needs none of its own.
_BINFMT: Final = (
    r":scirknn-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
    r":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
    f":{_QEMU}:F"
)

# Where Debian's qemu-user looks for an absolute path first. There lie the tree again and, in it, a procfs: so
# programs see all of /proc, and the tree's own proc/device-tree where procfs has none.
_PREFIX: Final = "etc/qemu-binfmt/aarch64"

_START: Final = f"""
set -eu
read -r mapped # until then this process is nobody
mount -t binfmt_misc binfmt_misc "$2"
printf '%s' '{_BINFMT}' >"$2/register"
mount --bind "$1" "$1/{_PREFIX}"
mount -t proc proc "$1/{_PREFIX}/proc"
# Again, as the kernel forgets a parent-death signal when a process gains capabilities.
exec setpriv --pdeathsig KILL chroot "$1" /usr/sbin/sshd -D -e -f /etc/ssh/board_config
"""

_SSHD_CONFIG: Final = """\
ListenAddress 127.0.0.1
Port {port}
HostKey /etc/ssh/board_host_key
AuthorizedKeysFile /etc/ssh/board_authorized_keys
AuthenticationMethods publickey
AllowUsers board
UsePAM no
PidFile none
Subsystem sftp internal-sftp
SetEnv PYTHONPYCACHEPREFIX=/home/board/.cache/python
"""
"""The tree has no bytecode, without which imports are slow: the first one writes it."""

_SOCKET: Final = "run/virtual_npu.sock"
_START_SECONDS: Final = 60.0


def missing() -> str:
    """Return what this machine lacks for the board; empty when it can run here."""
    if os.geteuid() != 0:
        return "the arm64 board needs root"
    absent = sorted({package for program, package in _PROGRAMS.items() if not shutil.which(program)})
    if absent:
        return f"the arm64 board needs Debian's {', '.join(absent)}"
    return ""


@contextlib.contextmanager
def arm64_boards(tree: Path, folder: Path, name: str = "arm64") -> Iterator[Mapping[str, Board]]:
    """Run the board.

    Parameters
    ----------
    tree : pathlib.Path
        What ``make-tree`` made; one board at a time runs in it, and keeps its files there.
    folder : pathlib.Path
        For keys and the log; made if it is not there.
    name : str
        What the boards' names begin with.

    Yields
    ------
    mapping of str to Board
        ``"arm64-2.3.2"`` and so on: one machine with one environment for each version of rknnlite.

    Raises
    ------
    VirtualBoardError
        Something is missing on this machine, or the board did not come up; the text ends with its log.
    """
    lacking = missing()
    if lacking:
        raise VirtualBoardError(f"{lacking[0].upper()}{lacking[1:]}.")
    versions = sorted(path.name for path in tree.glob("opt/rknnlite/*"))
    if not versions:
        raise VirtualBoardError(
            f"{tree} is no tree of an arm64 board: make one with containers/arm64/make-tree."
        )
    tree, folder = tree.absolute(), folder.absolute()
    (folder / "binfmt").mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        _lock(tree),
        (folder / "board.log").open("wb") as log,
        _executor(tree, log.fileno()),
        _sshd(tree, folder, port, log.fileno()) as sshd,
    ):
        _wait(lambda: _answers(port) or sshd.poll() is not None, "sshd did not answer", folder)
        if sshd.poll() is not None:
            raise VirtualBoardError(f"The arm64 board ended before it was ready.{_log_end(folder)}")
        yield {
            f"{name}-{version}": Board(
                name=f"{name}-{version}",
                host="127.0.0.1",
                port=port,
                user="board",
                key=folder / "client_key",
                known_hosts=folder / "known_hosts",
                python=f"/opt/rknnlite/{version}/bin/python3",
                virtual=True,
                tags=("rk3588", "arm64"),
                lease_folder=f".cache/rknn-harness/lease-{name}-{version}",
            )
            for version in versions
        }


@board_provider("arm64")
class Arm64Provider(BoardProvider):
    """Runs one environment of a tree: ``tree`` and ``version`` of the entry."""

    _stack: contextlib.ExitStack | None = None

    @classmethod
    def read(cls, entry: BoardEntry) -> dict[str, Any]:
        """Take the tree's folder and the version of rknnlite."""
        options = {"tree": str(entry.file("tree")), "version": entry.text("version")}
        return {"options": options, "virtual": True, "port": 0}

    def acquire(self, folder: Path, claim: Claim) -> Board:
        """Start the board."""
        self._stack = contextlib.ExitStack()
        tree, version = Path(self.board.options["tree"]), self.board.options["version"]
        boards = self._stack.enter_context(arm64_boards(tree, folder, "arm64"))
        if f"arm64-{version}" not in boards:
            self.release()
            raise BoardRefusedError(
                f"{tree} has no rknnlite {version!r}; it has {', '.join(name[6:] for name in boards)}. "
                f"Correct 'version' of {self.board.name}."
            )
        running = boards[f"arm64-{version}"]
        names = ("host", "port", "user", "key", "known_hosts", "python")
        address = {name: getattr(running, name) for name in names}
        return attrs.evolve(self.board, kind="ssh", **address)

    def release(self) -> None:
        """Stop the board."""
        if self._stack is not None:
            self._stack.close()

    def facts(self) -> dict[str, Any]:
        """Return the tree's folder."""
        return {"tree": self.board.options["tree"]}


def boards_file(boards: Mapping[str, Board]) -> str:
    """Write boards as `rknn_harness.boards.boards_file.read_boards` reads them."""
    fields = ("host", "port", "user", "key", "known_hosts", "python", "virtual", "tags", "lease_folder")
    return "\n".join(
        f"[board.{json.dumps(name)}]\n"
        + "".join(f"{field} = {json.dumps(getattr(board, field), default=str)}\n" for field in fields)
        for name, board in boards.items()
    )


@contextlib.contextmanager
def _lock(tree: Path) -> Iterator[None]:
    with (tree / ".board.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BoardBusyError(f"{tree} runs an arm64 board. Stop it, or make another tree.") from None
        yield


def _write_keys(tree: Path, folder: Path, port: int) -> None:
    ssh = tree / "etc/ssh"
    host, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    for path, key in ((ssh / "board_host_key", host), (folder / "client_key", client)):
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        key.write_private_key(path)
    (ssh / "board_authorized_keys").write_bytes(client.export_public_key())
    (ssh / "board_config").write_text(_SSHD_CONFIG.format(port=port))
    public = host.export_public_key().decode().strip()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")


@contextlib.contextmanager
def _executor(tree: Path, log: int) -> Iterator[None]:
    """Serve the virtual NPU on the tree's socket."""
    process = subprocess.Popen(
        # A relative path: a socket's may have no more than 107 bytes.
        [sys.executable, "-m", "virtual_npu.c_api.server", _SOCKET, "--mode", "666", "--while-stdin"],
        cwd=tree,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
    )
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise VirtualBoardError("The arm64 board's executor ended before it was ready.")
        yield
    finally:
        process.terminate()
        process.communicate()


@contextlib.contextmanager
def _sshd(tree: Path, folder: Path, port: int, log: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run the tree's sshd, the first process of its namespace."""
    _write_keys(tree, folder, port)
    process = subprocess.Popen(
        # All of it ends with this process, however that ends.
        [
            *("setpriv", "--pdeathsig", "KILL"),
            *("unshare", "--user", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-c", _START, "sh", str(tree), str(folder / "binfmt")),
        ],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
    )
    try:
        assert process.stdin is not None
        own, other = Path("/proc/self/ns/user"), Path(f"/proc/{process.pid}/ns/user")
        _wait(lambda: own.readlink() != other.readlink(), "no user namespace was made", folder)
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text("0 0 65536")
        process.stdin.write(b"\n")
        process.stdin.close()
        yield process
    finally:
        process.kill()
        process.wait()


def _wait(condition: Callable[[], bool], problem: str, folder: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise VirtualBoardError(f"The arm64 board is not up: {problem}.{_log_end(folder)}")
        time.sleep(0.01)


def _answers(port: int) -> bool:
    """Whether sshd greets: it listens a little before it can."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        return client.recv(4) == b"SSH-"
    return False


def _log_end(folder: Path) -> str:
    text = (folder / "board.log").read_text("utf-8", "replace")[-2000:]
    return f" Its log, {folder / 'board.log'}, ends: {text or 'it is empty'}"


def main() -> None:
    """Start arm64 boards, and print the path of their boards.toml."""
    tree, folder = (Path(argument) for argument in sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with arm64_boards(tree, folder) as boards:
        file = folder.absolute() / "boards.toml"
        file.write_text(boards_file(boards))
        print(file, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()


if __name__ == "__main__":
    main()

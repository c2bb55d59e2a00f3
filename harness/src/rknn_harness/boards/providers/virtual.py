"""The virtual board: an SSH server on loopback, whose NPU is `virtual_npu`.

To the harness it is a board like any other: strict host keys, one user, public keys only, commands in a
shell. It serves on a free port of 127.0.0.1 while its standard input is open, so that it cannot outlive its
owner::

    python -m rknn_harness.boards.providers.virtual FOLDER
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from rknn_harness.boards.board import VIRTUAL, Board
from rknn_harness.boards.board_entry import BoardEntry
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.provider import BoardProvider, board_provider
from rknn_harness.errors import VirtualBoardError
from scirknn.files import write_atomically

if TYPE_CHECKING:
    import asyncssh

__all__ = ["VirtualBoard", "VirtualProvider", "serve", "virtual_board"]

_ROOT = "RKNN_HARNESS_ROOT"  # as the runner knows it
_INHERITED = (_ROOT, "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "TMPDIR")
_CHUNK = 1 << 16
_WINDOW = 8 << 20  # bytes in flight on one channel; the default of 2 MiB halts a large transfer now and then
_STOP_SECONDS = 5.0

_START_SECONDS = 30.0
LOGIN_SECONDS = 60.0
"""How long a connection may take to log in; on a busy machine a key exchange takes seconds."""

_ALGORITHMS = {
    "kex_algs": (
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
    ),
    "encryption_algs": (
        *("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"),
        *("aes128-ctr", "aes256-ctr"),
    ),
    "mac_algs": ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256"),
    "signature_algs": (
        *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
        *("rsa-sha2-256", "rsa-sha2-512"),
    ),
}
"""What OpenSSH and paramiko have in common, without SHA-1, MD5, CBC and small groups."""


class VirtualBoard:
    """A virtual board that runs; a context manager that ends it.

    Parameters
    ----------
    folder : pathlib.Path
        Its keys, its home and its log; made if it is not there. A board started again in the same folder
        keeps its keys and files, and its port if that is still free.
    root : pathlib.Path, optional
        A tree with the files that the runner reads of its machine and sets its clocks by, in place of this
        machine's.

    Attributes
    ----------
    board : Board
        How to reach it.
    pid : int
        The server's process.

    Raises
    ------
    VirtualBoardError
        It did not come up; the text ends with its log.
    """

    def __init__(self, folder: Path, root: Path | None = None) -> None:
        folder = folder.absolute()
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "server.log"
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "rknn_harness.boards.providers.virtual", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, _ROOT: str(root.absolute())} if root else None,
                start_new_session=True,  # the session's processes are the board's, and end with it
            )
        self.pid = self._process.pid
        try:
            port = _read_port(self._process)
        except BaseException as error:
            self.kill()
            if not isinstance(error, VirtualBoardError):
                raise
            output = log.read_text("utf-8", "replace")[-2000:]
            raise VirtualBoardError(f"{error} Its log, {log}, ends: {output or 'it is empty'}") from None
        self.board = attrs.evolve(
            VIRTUAL,
            kind="ssh",
            made_for_each_use=False,
            port=port,
            key=folder / "client_key",
            known_hosts=folder / "known_hosts",
        )

    def stop(self) -> None:
        """Stop the server and what it started; more than once does no harm."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        end = time.monotonic() + _STOP_SECONDS
        while not self._has_ended() and time.monotonic() < end:
            time.sleep(0.005)
        self.kill()

    def kill(self) -> None:
        """End every process of the board at once, as a power cut does."""
        if self._process.returncode is not None:
            return
        self._process.kill()
        while not self._has_ended():
            time.sleep(0.001)
        # Before the server is reaped: until then its number, which is the session's, cannot be another's.
        _end_session(self.pid)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _has_ended(self) -> bool:
        if self._process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def __enter__(self) -> VirtualBoard:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@contextlib.contextmanager
def virtual_board(folder: Path) -> Iterator[Board]:
    """Run a virtual board in `folder`; yields how to reach it."""
    with VirtualBoard(folder) as running:
        yield running.board


@board_provider("virtual")
class VirtualProvider(BoardProvider):
    """Starts a virtual board for each use, and stops it afterwards."""

    made_for_each_use = True
    _running: VirtualBoard | None = None

    @classmethod
    def read(cls, entry: BoardEntry) -> dict[str, Any]:
        """Return the fields of the built-in virtual board."""
        names = ("host", "port", "user", "python", "device", "virtual")
        return {name: getattr(VIRTUAL, name) for name in names}

    def acquire(self, folder: Path, claim: Claim) -> Board:
        """Start a board in `folder`."""
        self._running = VirtualBoard(folder)
        address = {name: getattr(self._running.board, name) for name in ("port", "key", "known_hosts")}
        return attrs.evolve(self.board, kind="ssh", made_for_each_use=False, **address)

    def release(self) -> None:
        """Stop the board."""
        if self._running is not None:
            self._running.stop()


def _read_port(process: subprocess.Popen[bytes]) -> int:
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    line, end = b"", time.monotonic() + _START_SECONDS
    while not line.endswith(b"\n"):
        if not poll.poll(max(end - time.monotonic(), 0) * 1000):
            raise VirtualBoardError(f"The virtual board was not ready within {_START_SECONDS:g} s.")
        data = os.read(process.stdout.fileno(), 4096)
        if not data:
            raise VirtualBoardError("The virtual board ended before it was ready.")
        line += data
    return int(json.loads(line)["port"])


def _end_session(session: int) -> None:
    """Kill a session's processes but its leader, those forked meanwhile included."""
    for _ in range(100):
        members = [pid for pid in _members(session) if pid not in (session, os.getpid())]
        if not members:
            return
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def _members(session: int) -> Iterator[int]:
    """Yield a session's living processes: field 6 of proc(5)'s ``stat``."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(entry.path, "stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[3]) == session and fields[0] != b"Z":
                    yield int(entry.name)


async def serve(folder: Path, *, login_seconds: float = LOGIN_SECONDS) -> None:
    """Be the board in `folder` until its owner is gone, or asks for the end; prints the port as JSON."""
    import asyncssh  # the harness's own process never needs it

    home = folder / "home"
    home.mkdir(exist_ok=True)
    host_key = _key(folder / "host_key")
    client_key = _key(folder / "client_key")
    os.chdir(home)  # where relative paths of SFTP begin
    ended = _end_event()
    listen = functools.partial(
        asyncssh.listen,
        "127.0.0.1",
        config=[],
        server_factory=_server(client_key.export_public_key().decode(), home),
        server_host_keys=[host_key],
        password_auth=False,
        kbdint_auth=False,
        process_factory=lambda process: _execute(process, home),
        sftp_factory=_sftp_server(),
        reuse_address=True,  # not the default before 2.24: a board that comes back has its port
        encoding=None,
        agent_forwarding=False,
        compression_algs=None,
        window=_WINDOW,
        login_timeout=login_seconds,
        **_ALGORITHMS,
    )
    port_file = folder / "port"
    try:
        server = await listen(port=int(port_file.read_text()))
    except (OSError, ValueError):
        server = await listen(port=0)
    port = server.get_port()
    port_file.write_text(str(port))
    public = host_key.export_public_key().decode().strip()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {public}\n")
    print(json.dumps({"port": port}), flush=True)
    await ended.wait()
    server.close()


def _end_event() -> asyncio.Event:
    """Return an event that is set when the owner is gone, or asks for the end."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def read_owner() -> None:
        if not os.read(0, _CHUNK):
            loop.remove_reader(0)
            ended.set()

    loop.add_reader(0, read_owner)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    return ended


def _server(own_key: str, home: Path) -> type[asyncssh.SSHServer]:
    """Return a class of servers that accept the board's key, and added ones, of its user alone."""
    import asyncssh

    added = home / ".ssh" / "authorized_keys"

    class Server(asyncssh.SSHServer):
        def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
            self._connection = connection

        def begin_auth(self, username: str) -> bool:
            keys = own_key + (added.read_text("utf-8") if added.is_file() else "")
            if username != VIRTUAL.user:
                keys = ""
            self._connection.set_authorized_keys(asyncssh.import_authorized_keys(keys))
            return True

    return Server


def _sftp_server() -> type[asyncssh.SFTPServer]:
    """Return a class of file servers that end with status 0, as ``scp`` needs."""
    import asyncssh

    class Files(asyncssh.SFTPServer):
        def exit(self) -> None:
            self.channel.exit(0)

    return Files


def _key(path: Path) -> asyncssh.SSHKey:
    import asyncssh

    if not path.exists():
        key = asyncssh.generate_private_key("ssh-ed25519")
        write_atomically(path, key.export_private_key(), mode=0o600)
    return asyncssh.read_private_key(path)


async def _execute(process: asyncssh.SSHServerProcess[bytes], home: Path) -> None:
    """Run a client's command in a process group that ends with the channel."""
    if process.command is None:
        process.stderr.write(b"This board runs commands; it has no interactive shell.\n")
        process.exit(1)
        return
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        process.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=home,
        env={**inherited, "HOME": str(home), "USER": "board", "LOGNAME": "board", "SHELL": "/bin/sh"},
        preexec_fn=os.setpgrp,
        limit=1 << 20,
    )
    feeding = asyncio.ensure_future(_feed(process.stdin, child.stdin))
    closed = asyncio.ensure_future(process.wait_closed())
    ending = asyncio.ensure_future(_finish(process, child))
    try:
        await asyncio.wait({closed, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        for task in (feeding, closed, ending):
            task.cancel()
        await asyncio.gather(feeding, closed, ending, return_exceptions=True)


async def _copy(source: Any, target: Any) -> None:
    while data := await source.read(_CHUNK):
        target.write(data)
        await target.drain()


async def _feed(source: Any, target: Any) -> None:
    try:
        await _copy(source, target)
    finally:
        target.close()


async def _finish(process: asyncssh.SSHServerProcess[bytes], child: asyncio.subprocess.Process) -> None:
    """Bring the command's output and status to the client."""
    await asyncio.gather(_copy(child.stdout, process.stdout), _copy(child.stderr, process.stderr))
    status = await child.wait()
    if status >= 0:
        process.exit(status)
    else:
        process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))


def _main() -> None:
    (folder,) = sys.argv[1:]
    try:
        asyncio.run(serve(Path(folder).absolute()))
    finally:
        # Started by hand it is in its terminal's session, whose processes are not the board's.
        if os.getsid(0) == os.getpid():
            _end_session(os.getpid())


if __name__ == "__main__":
    _main()

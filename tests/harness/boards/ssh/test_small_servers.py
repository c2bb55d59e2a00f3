"""SSH servers of small images: without SFTP, with one session, with a greeting before SFTP."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.boards.ssh.file_transfer import FileTransfer
from rknn_harness.errors import InfraError, ProtocolError, ProvisioningError


async def execute(process: Any) -> None:
    """Run a command in a shell."""
    done = await asyncio.to_thread(subprocess.run, process.command, shell=True, capture_output=True)
    process.stdout.write(done.stdout)
    process.exit(done.returncode)


class NoSftp(asyncssh.SSHServerProcess[bytes]):
    """Runs commands, and refuses each subsystem."""

    def subsystem_requested(self, subsystem: str) -> bool:
        """Refuse it."""
        return False


class CommandsAlone(asyncssh.SSHServer):
    """Has no SFTP, as small images."""

    def session_requested(self) -> Any:
        """Take commands."""
        return NoSftp(execute, None, 3, False)


class Greeting(asyncssh.SSHServerProcess[bytes]):
    """Runs commands, and greets for a subsystem."""

    def subsystem_requested(self, subsystem: str) -> bool:
        """Take it."""
        return True

    def session_started(self) -> None:
        """Print, and end."""
        if self.subsystem is None:
            super().session_started()
        else:
            self.channel.write(b"Welcome to the board\n")
            self.channel.exit(0)


class GreetingFirst(asyncssh.SSHServer):
    """Prints before SFTP begins, as a shell whose start-up files do."""

    def session_requested(self) -> Any:
        """Take all."""
        return Greeting(execute, None, 3, False)


class OneSession(asyncssh.SSHServer):
    """Lets one session into a connection, as MaxSessions 1."""

    has_session = False

    def session_requested(self) -> Any:
        """Refuse the second."""
        refused, self.has_session = self.has_session, True
        return False if refused else asyncssh.SSHServerProcess(execute, None, 3, False)


async def listen(options: dict[str, Any]) -> asyncssh.SSHAcceptor:
    """Serve on a free port of loopback."""
    return await asyncssh.listen("127.0.0.1", 0, encoding=None, **options)


Serve = Callable[..., Board]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts a server on a free port of loopback, and returns the board there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers = []
    key = asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(tmp_path / "key")
    (tmp_path / "allowed").write_bytes(key.export_public_key())

    def start(**options: Any) -> Board:
        options |= {"server_host_keys": [key], "authorized_client_keys": str(tmp_path / "allowed")}
        server = asyncio.run_coroutine_threadsafe(listen(options), loop).result(20)
        servers.append(server)
        port = server.get_port()
        known = tmp_path / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
        return Board(
            name="small",
            host="127.0.0.1",
            port=port,
            user="board",
            key=tmp_path / "key",
            known_hosts=known,
            work_folder=str(tmp_path / "work"),
        )

    yield start
    for server in servers:
        loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(20)


def refusal(board: Board, kind: type[InfraError]) -> str:
    with pytest.raises(kind) as caught, Connection(board, attempts=1) as connection:
        FileTransfer(connection).put({"file": b"content"})
    return str(caught.value)


def test_a_server_with_sftp_takes_files(serve: Serve) -> None:
    with Connection(serve(process_factory=execute, sftp_factory=True), attempts=1) as connection:
        assert FileTransfer(connection).put({"file": b"content"}).startswith("artifacts/")


def test_a_server_without_sftp_gets_the_package(serve: Serve) -> None:
    text = refusal(serve(server_factory=CommandsAlone), ProvisioningError)
    assert "does not start SFTP" in text
    assert "apt install openssh-sftp-server" in text


def test_a_greeting_before_sftp_gets_the_start_up_file(serve: Serve) -> None:
    assert "start-up files of the board's shell" in refusal(
        serve(server_factory=GreetingFirst), ProtocolError
    )


def test_a_server_with_one_session_gets_its_setting(serve: Serve) -> None:
    assert "MaxSessions 10" in refusal(serve(server_factory=OneSession), ProvisioningError)

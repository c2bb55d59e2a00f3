"""The virtual board as a server, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import paramiko
import pytest

from rknn_harness.boards.boards_file import Board, read_boards
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.provider import provider_of
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.errors import AuthenticationError, ConnectionLostError, VirtualBoardError
from tests.harness.boards.shell import run
from tests.waiting import PATIENCE, is_running, wait_for_end, wait_until

OWNER = """
import sys, time
from pathlib import Path
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.boards.providers.virtual import VirtualBoard
from tests.harness.boards.shell import run

running = VirtualBoard(Path(sys.argv[1]))
with Connection(running.board) as connection:
    connection.channel(["sh", "-c", "sleep 600 & sleep 600"])
    connection.channel(["true"]).recv_exit_status()
    print(running.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def connection(board: Board) -> Iterator[Connection]:
    with Connection(board) as opened:
        yield opened


def test_commands_have_output_and_status(connection: Connection) -> None:
    done = run(connection, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.stdout, done.stderr, done.status) == ("out\n", "err\n", 3)
    assert run(connection, ["sh", "-c", "kill -9 $$"]).status == 128 + signal.SIGKILL
    assert run(connection, ["printf", "%s", "$HOME `x` 'y' \"z\" é"]).stdout == "$HOME `x` 'y' \"z\" é"


def test_a_command_runs_in_the_home_with_little_of_our_environment(
    connection: Connection, board: Board
) -> None:
    home = board.key.parent / "home"
    assert run(connection, ["pwd"]).stdout.strip() == str(home)
    names = {line.split("=")[0] for line in run(connection, ["env"]).stdout.splitlines()}
    assert "HOME" in names
    assert not any(name.startswith("PYTEST") for name in names)


def test_standard_streams_are_binary_clean(connection: Connection) -> None:
    data = bytes(range(256)) * 8192
    channel = connection.channel(["cat"])
    received = bytearray()
    for start in range(0, len(data), 65536):
        channel.sendall(data[start : start + 65536])
    channel.shutdown_write()
    while block := channel.recv(65536):
        received += block
    assert received == data
    assert channel.recv_exit_status() == 0


def test_what_a_command_started_ends_with_its_channel(connection: Connection) -> None:
    channel = connection.channel(["sh", "-c", "sleep 600 & echo $!; sleep 600"])
    pid = int(channel.recv(100))
    assert is_running(pid)
    channel.close()
    wait_for_end(pid)


def test_only_the_key_opens_it(board: Board) -> None:
    with socket.create_connection((board.host, board.port)) as plain:
        transport = paramiko.Transport(plain)
        transport.start_client(timeout=10)
        with pytest.raises(paramiko.BadAuthenticationType) as caught:
            transport.auth_password(board.user, "board")
        assert caught.value.allowed_types == ["publickey"]
        transport.close()
    assert stat.S_IMODE(board.key.stat().st_mode) == 0o600


def test_only_its_own_user_is_let_in(board: Board) -> None:
    with Connection(board) as connection:
        assert run(connection, ["true"]).status == 0
    for user in ("root", "Board", "", "board\0"):
        with pytest.raises(AuthenticationError), Connection(attrs.evolve(board, user=user)):
            pass


def test_it_offers_no_outdated_algorithm(board: Board) -> None:
    lists = offered(board.port)
    outdated = re.compile(
        r"sha1|md5|cbc|3des|arcfour|blowfish|cast128|ssh-rsa|ssh-dss|group1-|group-exchange|-96|umac-64"
    )
    for names in lists[:6]:  # RFC 4253, 7.1: key exchange, host keys, ciphers and MACs, both ways
        assert names
        assert not [name for name in names if outdated.search(name)]


@pytest.mark.parametrize("first", [b"", b"SSH-2.0-", b"SSH-2.0-stranger\r\n"])
def test_who_does_not_log_in_is_dropped(first: bytes, tmp_path: Path) -> None:
    code = "import asyncio, pathlib, sys; from rknn_harness.boards.providers.virtual import serve; "
    code += "asyncio.run(serve(pathlib.Path(sys.argv[1]), login_seconds=0.5))"
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as stranger:
            stranger.sendall(first)
            with contextlib.suppress(ConnectionResetError):
                while stranger.recv(4096):
                    pass
        server.terminate()


def offered(port: int) -> list[list[str]]:
    """Return the lists of algorithms in a server's first packet, as RFC 4253 lays it out."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        plain.makefile("rb") as stream,
    ):
        plain.sendall(b"SSH-2.0-test\r\n")
        while not stream.readline().startswith(b"SSH-2.0-"):
            pass
        (length,) = struct.unpack(">I", stream.read(4))
        packet = stream.read(length)[1:]
    assert packet[0] == paramiko.common.MSG_KEXINIT
    lists, rest = [], packet[17:]
    for _ in range(10):
        (size,) = struct.unpack_from(">I", rest)
        lists.append(rest[4 : 4 + size].decode().split(",") if size else [])
        rest = rest[4 + size :]
    return lists


def test_a_key_that_was_added_on_the_board_opens_it(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as running:
        key = paramiko.ECDSAKey.generate()
        key.write_private_key_file(str(tmp_path / "added"))
        added = attrs.evolve(running.board, key=tmp_path / "added")
        with pytest.raises(AuthenticationError), Connection(added):
            pass
        with Connection(running.board) as connection:
            line = f"{key.get_name()} {key.get_base64()}"
            run(connection, ["sh", "-c", f"mkdir .ssh && echo '{line}' > .ssh/authorized_keys"])
        with Connection(added) as connection:
            assert run(connection, ["true"]).status == 0


def test_a_session_of_file_transfer_ends_with_status_0(board: Board) -> None:
    # Without a status scp fails, whatever it copied.
    with Connection(board) as connection:
        transport = connection.channel(["true"]).get_transport()
        files = transport.open_sftp_client()
        assert files is not None
        channel = files.get_channel()
        assert channel is not None
        channel.shutdown_write()
        assert channel.recv_exit_status() == 0


def test_started_again_it_keeps_its_keys_and_files(tmp_path: Path) -> None:
    with VirtualBoard(tmp_path) as first, Connection(first.board) as connection:
        run(connection, ["touch", "kept"])
        key = first.board.key.read_bytes()
    with VirtualBoard(tmp_path) as second, Connection(second.board) as connection:
        assert run(connection, ["ls"]).stdout == "kept\n"
        assert second.board.key.read_bytes() == key


def test_nothing_is_left_of_a_stopped_or_killed_board(tmp_path: Path) -> None:
    for end in ("stop", "kill"):
        running = VirtualBoard(tmp_path)
        with Connection(running.board) as connection:
            # A process in a group of its own is still the board's.
            code = "import os, time; print(os.getpid(), flush=True); os.setpgid(0, 0); time.sleep(600)"
            pid = int(connection.channel([sys.executable, "-c", code]).recv(100))
            getattr(running, end)()
            for gone in (pid, running.pid):
                wait_for_end(gone)
            getattr(running, end)()


def test_it_does_not_outlive_its_owner(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    owner.stdout.close()
    wait_for_end(pid)
    wait_until(lambda: not _session(pid), "its processes end")


def test_one_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(VirtualBoardError, match="FileExistsError"):
        VirtualBoard(tmp_path)


def test_the_provider_starts_a_board_and_stops_it(tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text('[board.emulated]\nkind = "virtual"\ntags = ["rk3588"]\n')
    entry = read_boards(path)["emulated"]
    assert entry.made_for_each_use
    provider = provider_of(entry)
    with Connection(provider.acquire(tmp_path / "new", Claim())) as connection:
        acquired = connection.board
        assert (acquired.kind, acquired.name, acquired.tags) == ("ssh", "emulated", ("rk3588",))
        assert run(connection, ["true"]).status == 0
    provider.release()
    with pytest.raises(ConnectionLostError), Connection(acquired, attempts=1):
        pass


def _session(session: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and is_running(int(entry)):
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(int(entry)) == session:
                    found.append(int(entry))
    return found

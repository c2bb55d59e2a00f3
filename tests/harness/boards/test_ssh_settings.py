"""What a board's entry leaves out is what ``ssh HOST`` would use, as OpenSSH reads its configuration."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from rknn_harness.boards.boards_file import Board, read_boards
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.boards.ssh_settings import ssh_settings
from rknn_harness.errors import BoardsFileError, ConnectionLostError
from tests.harness.boards.shell import run

pytestmark = pytest.mark.skipif(shutil.which("ssh") is None, reason="needs an ssh client")

Configure = Callable[[str], None]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Writes the configuration that ``ssh`` reads. It knows the user's home from passwd, not from HOME."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F "{tmp_path}/config" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    (tmp_path / "config").touch()

    def write(text: str) -> None:
        (tmp_path / "config").write_text(text)

    return write


def entry(tmp_path: Path, text: str) -> Board:
    path = tmp_path / "boards.toml"
    path.write_text(f"[board.desk]\n{text}\n")
    return read_boards(path)["desk"]


def as_ssh_host(board: Board, *more: str) -> str:
    lines = [
        "Host desk",
        "HostName 127.0.0.1",
        f"Port {board.port}",
        f"User {board.user}",
        f"IdentityFile {board.key}",
        f"UserKnownHostsFile {board.known_hosts}",
        *more,
    ]
    return "\n  ".join(lines) + "\n"


def test_an_alias_is_enough(board: Board, tmp_path: Path, configure: Configure) -> None:
    configure(as_ssh_host(board))
    desk = entry(tmp_path, 'host = "desk"')
    assert (desk.host, desk.port, desk.user) == ("127.0.0.1", board.port, board.user)
    with Connection(desk) as connection:
        assert run(connection, ["echo", "here"]).stdout == "here\n"


def test_settings_of_an_included_file_count(board: Board, tmp_path: Path, configure: Configure) -> None:
    (tmp_path / "more").write_text(as_ssh_host(board))
    configure(f"Include {tmp_path}/more\n")
    assert entry(tmp_path, 'host = "desk"').port == board.port


def test_the_entry_counts_more_than_the_configuration(
    board: Board, tmp_path: Path, configure: Configure
) -> None:
    configure(as_ssh_host(board))
    desk = entry(tmp_path, 'host = "desk"\nport = 7\nuser = "root"\nkey = "k"\nknown_hosts = "n"')
    assert (desk.port, desk.user) == (7, "root")
    assert (desk.key, desk.known_hosts) == (tmp_path / "k", tmp_path / "n")


def test_a_proxy_command_carries_the_connection(board: Board, tmp_path: Path, configure: Configure) -> None:
    relay = tmp_path / "relay.py"
    relay.write_text(
        "import os, select, socket, sys\n"
        "link = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "pipes = {0: link.fileno(), link.fileno(): 1}\n"
        "while True:\n"
        "    for source in select.select(list(pipes), [], [])[0]:\n"
        "        if not (data := os.read(source, 1 << 16)):\n"
        "            raise SystemExit\n"
        "        while data:\n"
        "            data = data[os.write(pipes[source], data):]\n"
    )
    configure(as_ssh_host(board, f"ProxyCommand {sys.executable} {relay} %h %p"))
    desk = entry(tmp_path, 'host = "desk"')
    assert desk.proxy.endswith(f"{relay} 127.0.0.1 {board.port}")
    with Connection(desk) as connection:
        assert run(connection, ["echo", "here"]).stdout == "here\n"
    with BoardSession(attrs.evolve(desk, python=board.python)) as session:
        session.files.put({"large": bytes(1 << 20)})


def test_a_proxy_that_fails_is_a_lost_connection(board: Board, tmp_path: Path, configure: Configure) -> None:
    configure(as_ssh_host(board, "ProxyCommand exit 1"))
    with (
        pytest.raises(ConnectionLostError, match="desk"),
        Connection(entry(tmp_path, 'host = "desk"'), attempts=1),
    ):
        pass


def test_jump_hosts_are_ssh_s_own(configure: Configure) -> None:
    configure("Host desk\n ProxyJump first,me@second:77\nHost near\n ProxyCommand nc --%%-%r %n %h %p\n")
    assert ssh_settings("desk").proxy == "ssh -J first -W '[desk]:22' ssh://me@second:77"
    assert ssh_settings("near", user="u", port=5).proxy == "nc --%-u near near 5"


def test_a_configuration_that_ssh_refuses_is_named(tmp_path: Path, configure: Configure) -> None:
    configure("Nonsense yes\n")
    with pytest.raises(BoardsFileError, match=r"host is 'desk', which ssh refuses: .*nonsense"):
        entry(tmp_path, 'host = "desk"')


def test_without_an_ssh_client_there_are_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    desk = entry(tmp_path, 'host = "desk"\nuser = "u"\nkey = "k"\nknown_hosts = "n"')
    assert (desk.host, desk.port, desk.proxy) == ("desk", 22, "")
    with pytest.raises(BoardsFileError, match="key is missing"):
        entry(tmp_path, 'host = "desk"\nuser = "u"\nknown_hosts = "n"')


@pytest.mark.parametrize(
    ("line", "cure"), [('password = "orangepi"', "ssh-copy-id"), ('proxy_jump = "jump"', "ProxyJump")]
)
def test_fields_that_people_try_have_a_cure(line: str, cure: str, tmp_path: Path) -> None:
    with pytest.raises(BoardsFileError, match=cure):
        entry(tmp_path, f'host = "h"\nuser = "u"\nkey = "k"\nknown_hosts = "n"\n{line}')


def test_an_unknown_host_is_named_with_its_cure(tmp_path: Path, board: Board) -> None:
    desk = entry(
        tmp_path,
        f'host = "desk.invalid"\nuser = "u"\nkey = "{board.key}"\nknown_hosts = "{board.known_hosts}"',
    )
    with (
        pytest.raises(ConnectionLostError, match=r"'desk\.invalid'.*HostName in ~/\.ssh/config"),
        Connection(desk, attempts=1),
    ):
        pass

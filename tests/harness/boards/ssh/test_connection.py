"""Connections: who is trusted, and how files come to a board."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import attrs
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.boards.ssh.file_transfer import FileTransfer
from rknn_harness.errors import (
    AuthenticationError,
    ConnectionLostError,
    HostKeyError,
    InfraError,
    ProvisioningError,
)


@pytest.fixture
def connection(board: Board) -> Iterator[Connection]:
    with Connection(board) as opened:
        yield opened


@pytest.fixture
def home(board: Board) -> Path:
    return board.key.parent / "home" / ".cache/rknn-harness"


def refused(board: Board, kind: type[InfraError]) -> str:
    with pytest.raises(kind) as caught, Connection(board):
        pass
    assert board.name in str(caught.value)
    return str(caught.value)


def test_a_changed_host_key_is_refused(board: Board, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{board.port} {other.export_public_key().decode()}")
    said = refused(attrs.evolve(board, known_hosts=known), HostKeyError)
    assert other.get_fingerprint() in said
    assert str(known) in said


def test_an_unknown_host_key_is_refused_and_not_learnt(board: Board, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.touch()
    said = refused(attrs.evolve(board, known_hosts=known), HostKeyError)
    assert asyncssh.read_private_key(board.key.parent / "host_key").get_fingerprint() in said
    assert known.read_text() == ""
    refused(attrs.evolve(board, known_hosts=tmp_path / "none"), HostKeyError)


def test_a_wrong_key_is_refused(board: Board, tmp_path: Path) -> None:
    key = tmp_path / "key"
    refused(attrs.evolve(board, key=key), AuthenticationError)
    key.write_text("no key")
    refused(attrs.evolve(board, key=key), AuthenticationError)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)
    refused(attrs.evolve(board, key=key), AuthenticationError)
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key, passphrase="secret")
    assert "passphrase" in refused(attrs.evolve(board, key=key), AuthenticationError)


def test_a_refused_connection_is_tried_again_and_said(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(ConnectionLostError, match="refused"),
        Connection(attrs.evolve(board, port=1), attempts=2),
    ):
        pass
    assert len(caplog.records) == 1


def test_files_arrive_and_are_not_sent_again(
    connection: Connection, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"in a file")
    content = os.urandom(100_000)
    folder = FileTransfer(connection).put({"one": content, "two": tmp_path / "file"})
    assert (home / folder / "one").read_bytes() == content
    assert (home / folder / "two").read_bytes() == b"in a file"

    def sent(*_: object) -> None:
        raise AssertionError("sent again")

    with monkeypatch.context() as patch:
        patch.setattr(FileTransfer, "_send", sent)
        assert FileTransfer(connection).put({"two": b"in a file", "one": content}) == folder
    (home / folder / "one").write_bytes(b"damaged")
    FileTransfer(connection).put({"one": content, "two": b"in a file"})
    assert (home / folder / "one").read_bytes() == content
    assert not list((home / folder).parent.glob(".*"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "a\0b"])
def test_a_name_that_leaves_its_folder_is_refused(connection: Connection, name: str) -> None:
    with pytest.raises(ValueError, match="bare file name"):
        FileTransfer(connection).put({name: b""})


@pytest.mark.parametrize("name", ["-rf", "a b", "$(touch pwned)", "'", '"', "`x`", "\\", "*", "é", "-"])
def test_any_other_name_is_just_a_name(connection: Connection, home: Path, name: str) -> None:
    folder = FileTransfer(connection).put({name: b"content"})
    assert os.listdir(home / folder) == [name]


def test_a_full_disk_is_said_and_nothing_is_left(board: Board) -> None:
    if os.geteuid():
        pytest.skip("a small file system can be mounted by root only")
    small = board.key.parent / "home" / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        with Connection(attrs.evolve(board, work_folder="small")) as connection:
            with pytest.raises(ProvisioningError, match="has room: Filesystem"):
                FileTransfer(connection).put({"large": os.urandom(2 << 20)})
            assert not [path for path in small.rglob("*") if path.is_file()]
            FileTransfer(connection).put({"small": b"fits"})
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_folder_that_may_not_be_written_is_said(board: Board) -> None:
    with (
        Connection(attrs.evolve(board, work_folder="/proc/none")) as connection,
        pytest.raises(ProvisioningError, match="may write there"),
    ):
        FileTransfer(connection).put({"a": b""})


def test_a_command_that_does_not_end_is_given_up(board: Board) -> None:
    with Connection(board) as connection, pytest.raises(ConnectionLostError, match="no end within"):
        connection.run(["sleep", "60"], seconds=0.1)

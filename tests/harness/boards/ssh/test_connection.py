"""Connections: who is trusted, and how files come to a board."""

from __future__ import annotations

from pathlib import Path

import asyncssh
import attrs
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.errors import (
    AuthenticationError,
    ConnectionLostError,
    HostKeyError,
    InfraError,
)


def refused(board: Board, kind: type[InfraError]) -> str:
    with pytest.raises(kind) as caught, Connection(board):
        pass
    assert board.name in str(caught.value)
    return str(caught.value)


def test_a_changed_host_key_is_refused(board: Board, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519")
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{board.port} {other.export_public_key().decode()}")
    message = refused(attrs.evolve(board, known_hosts=known), HostKeyError)
    assert other.get_fingerprint() in message
    assert str(known) in message


def test_an_unknown_host_key_is_refused_and_not_learnt(board: Board, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.touch()
    message = refused(attrs.evolve(board, known_hosts=known), HostKeyError)
    assert asyncssh.read_private_key(board.key.parent / "host_key").get_fingerprint() in message
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


def test_a_refused_connection_is_retried_and_logged(board: Board, caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(ConnectionLostError, match="refused"),
        Connection(attrs.evolve(board, port=1), attempts=2),
    ):
        pass
    assert len(caplog.records) == 1

"""The board, the link and the runner fail in the middle of a run; each is told from the others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.boards.ssh.file_transfer import FileTransfer
from rknn_harness.errors import (
    BoardDeadlineError,
    ConnectionLostError,
    ProtocolError,
    ProvisioningError,
)
from tests.harness.boards.fault_proxy import FaultProxy
from tests.waiting import PATIENCE, once, wait_for_end

MakeBundle = Callable[..., Path]
X = np.ones((1, 3))


def through(proxy: FaultProxy, board: Board, folder: Path) -> Board:
    known = folder / "known_hosts"
    known.write_text(board.known_hosts.read_text().replace(f":{board.port} ", f":{proxy.port} "))
    return attrs.evolve(board, port=proxy.port, known_hosts=known)


def test_a_transfer_that_is_cut_is_begun_anew(
    board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = os.urandom(2 << 20)
    with (
        FaultProxy(board.port, cut_after=1 << 20) as proxy,
        Connection(through(proxy, board, tmp_path)) as connection,
    ):
        folder = FileTransfer(connection).put({"content": content})
        assert proxy.connections == 2
    (written,) = board.key.parent.glob(f"home/.cache/*/{folder}/*")
    assert written.read_bytes() == content
    assert "The connection to virtual failed" in caplog.text


def test_a_transfer_that_is_always_cut_is_given_up_and_leaves_nothing_that_counts(
    board: Board, tmp_path: Path
) -> None:
    with (
        FaultProxy(board.port, cut_after=1 << 20, cuts=99) as proxy,
        Connection(through(proxy, board, tmp_path), attempts=2) as connection,
    ):
        with pytest.raises(ConnectionLostError, match="sending files"):
            FileTransfer(connection).put({"other": os.urandom(2 << 20)})
        assert proxy.connections == 2
    assert not list(board.key.parent.glob("home/.cache/*/artifacts/*/[!.]*/other"))


def test_a_link_cut_during_inference_is_lost(
    board: Board, stand_in: Path, bundle: MakeBundle, tmp_path: Path
) -> None:
    with (
        FaultProxy(board.port) as proxy,
        BoardSession(through(proxy, board, tmp_path), runtime=stand_in) as session,
    ):
        session.models.load(bundle(f"hang at {tmp_path / 'hanging'}"))
        with (
            once((tmp_path / "hanging").exists, proxy.cut, "the model hangs"),
            pytest.raises(ConnectionLostError, match="during 'predict'"),
        ):
            session.models.predict(X, deadline=PATIENCE)


def test_a_silent_link_is_given_up_at_the_deadline(
    board: Board, stand_in: Path, bundle: MakeBundle, tmp_path: Path
) -> None:
    with (
        FaultProxy(board.port) as proxy,
        BoardSession(through(proxy, board, tmp_path), runtime=stand_in, grace=0.2) as session,
    ):
        session.models.load(bundle("well"))
        proxy.silence()
        with pytest.raises(BoardDeadlineError, match=r"'predict' within 0\.4 s"):
            session.models.predict(X, deadline=0.2)


def test_a_board_killed_in_mid_run_is_lost_and_leaves_nothing(
    tmp_path: Path, stand_in: Path, bundle: MakeBundle
) -> None:
    running = VirtualBoard(tmp_path / "board")
    with BoardSession(running.board, runtime=stand_in) as session:
        pids = session.greeting["runner_pid"], session.greeting["child_pid"]
        session.models.load(bundle(f"hang at {tmp_path / 'hanging'}"))
        with (
            once((tmp_path / "hanging").exists, running.kill, "the model hangs"),
            pytest.raises(ConnectionLostError, match="during 'predict'"),
        ):
            session.models.predict(X, deadline=PATIENCE)
    running.stop()
    for pid in pids:
        wait_for_end(pid)


def test_a_frozen_board_is_given_up_at_the_deadline(
    tmp_path: Path, stand_in: Path, bundle: MakeBundle
) -> None:
    with (
        VirtualBoard(tmp_path / "board") as running,
        BoardSession(running.board, runtime=stand_in, grace=0.2) as session,
    ):
        session.models.load(bundle("well"))
        os.kill(running.pid, signal.SIGSTOP)
        try:
            with pytest.raises(BoardDeadlineError):
                session.models.predict(X, deadline=0.1)
        finally:
            os.kill(running.pid, signal.SIGCONT)


HELLO = """'{"id": 1, "ok": true, "protocol": 1, "arrays": []}\\n'"""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("printf 'no frame\\n'", "not JSON"),
        ("echo Welcome to the board", "start-up files"),
        ('printf \'{"id": 1, "ok": true\'', "half a frame"),
        ("head -c 3000000 /dev/zero", "longer than"),
        ('printf \'{"id": 2, "ok": true}\\n\'', "answered request 2, not 1"),
        ('printf \'{"id": 1, "ok": true, "protocol": 9}\\n\'', "protocol 9"),
        ('printf \'{"id": 1, "ok": false}\\n\'', "with the error None"),
        ('printf \'{"id": 1, "ok": false, "error": {"kind": "x", "type": 1}}\\n\'', "with the error"),
        ("printf '{}\\n{}\\n'", "more than one frame"),
        (f'printf {HELLO}; read x; printf \'{{"id": 2, "ok": true}}\\n\'', "with None"),
    ],
)
def test_a_hostile_answer_is_a_protocol_error(board: Board, tmp_path: Path, answer: str, said: str) -> None:
    with (
        pytest.raises(ProtocolError, match=said),
        BoardSession(_impostor(board, tmp_path, answer), leased=False) as session,
    ):
        session.facts()


def test_an_answer_of_wrong_arrays_is_a_protocol_error(board: Board, tmp_path: Path) -> None:
    answer = f'printf {HELLO}; read x; printf \'{{"id": 2, "ok": true}}\\n\'; sleep 9'
    with (
        BoardSession(_impostor(board, tmp_path, answer), leased=False) as session,
        pytest.raises(ProtocolError, match="answered 1 rows with"),
    ):
        session.models.predict(X)


@pytest.mark.parametrize("answer", ["exit 3", "echo No module named numpy >&2; exit 1"])
def test_a_python_that_does_not_run_the_runner_is_told(board: Board, tmp_path: Path, answer: str) -> None:
    with (
        pytest.raises(ProvisioningError, match="set 'python'") as caught,
        BoardSession(_impostor(board, tmp_path, answer)),
    ):
        pass
    assert caught.value.data["status"] in (1, 3)
    if "numpy" in answer:
        assert "No module named numpy" in str(caught.value)


def test_a_python_that_is_not_there_is_told(board: Board) -> None:
    with (
        pytest.raises(ProvisioningError, match="no-python"),
        BoardSession(attrs.evolve(board, python="/no-python")),
    ):
        pass


def _impostor(board: Board, folder: Path, answer: str) -> Board:
    """Return the board with a program in Python's place that takes one request and answers as it likes."""
    script = folder / "python"
    script.write_text(f"#!/bin/sh\nread request\n{answer}\n")
    script.chmod(0o755)
    return attrs.evolve(board, python=str(script))

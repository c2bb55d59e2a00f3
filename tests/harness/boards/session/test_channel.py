"""What a session makes of answers that no runner gives, and of boards that cannot run it."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import numpy as np
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import ProtocolError, ProvisioningError

X = np.ones((1, 3))

HELLO = """'{"id": 1, "ok": true, "protocol": 1, "arrays": []}\\n'"""


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("printf 'no frame\\n'", "not JSON"),
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
def test_a_hostile_answer_is_a_protocol_error(
    board: Board, tmp_path: Path, answer: str, expected: str
) -> None:
    with (
        pytest.raises(ProtocolError, match=expected),
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
def test_a_python_that_does_not_run_the_runner_is_a_provisioning_error(
    board: Board, tmp_path: Path, answer: str
) -> None:
    with (
        pytest.raises(ProvisioningError, match="set 'python'") as caught,
        BoardSession(_impostor(board, tmp_path, answer)),
    ):
        pass
    assert caught.value.data["status"] in (1, 3)
    if "numpy" in answer:
        assert "No module named numpy" in str(caught.value)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("echo 'rknn-harness runner: mine'", "it answers 'mine'"),
        ("printf 'rknn-harness runner: start\\nmore'", "it goes on after 'start'"),
        ("head -c 3000000 /dev/zero", "bytes first"),
        ("printf 'rknn-harness runner: \\033[31m\\n'", "it answers '\ufffd"),
        ("printf 'rknn-harness runner: sta'", "status 0"),
        (
            "echo 'rknn-harness runner: send'; head -c 9 >/dev/null; echo 'rknn-harness runner: refused x'",
            "the runner into .cache/rknn-harness (x)",
        ),
    ],
)
def test_a_hostile_start_is_a_provisioning_error(
    board: Board, tmp_path: Path, program: str, expected: str
) -> None:
    with (
        pytest.raises(ProvisioningError, match=re.escape(expected)) as caught,
        BoardSession(_program(board, tmp_path, program)),
    ):
        pass
    assert "\x1b" not in str(caught.value)


def test_a_python_that_is_not_there_is_a_provisioning_error(board: Board) -> None:
    with (
        pytest.raises(ProvisioningError, match="no-python"),
        BoardSession(attrs.evolve(board, python="/no-python")),
    ):
        pass


def _impostor(board: Board, folder: Path, answer: str) -> Board:
    """Return the board with a program in Python's place that takes one request and answers as it likes."""
    return _program(board, folder, f"printf 'rknn-harness runner: start\\n'\nread request\n{answer}")


def _program(board: Board, folder: Path, text: str) -> Board:
    script = folder / "python"
    script.write_text(f"#!/bin/sh\n{text}\n")
    script.chmod(0o755)
    return attrs.evolve(board, python=str(script))

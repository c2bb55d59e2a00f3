"""The way of a bundle to a board and back, over real SSH on loopback."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scirknn
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.channel import RunnerChannel
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds
from rknn_harness.errors import BoardError, ConnectionLostError
from tests.harness.boards.shell import run
from tests.waiting import wait_for_end

MakeBundle = Callable[..., Path]
X = np.array([[1.0, 0.0, 5.0], [0.0, 1.0, 5.0]])


def test_a_prediction_comes_back_as_the_board_made_it(session: BoardSession, bundle: MakeBundle) -> None:
    session.models.load(bundle("well"))
    answer = session.models.predict(X)
    assert answer.output.dtype == np.float32
    np.testing.assert_array_equal(answer.output, [[2, 0], [0, 2]])
    assert answer.predictions.tolist() == ["yes", "no"]
    assert answer.probabilities is not None
    np.testing.assert_array_equal(answer.probabilities, [[0.5, 0], [0, 0.5]])


def test_the_runtime_that_was_sent_wins_over_an_installed_one(board: Board, session: BoardSession) -> None:
    assert session.greeting["scirknn"] == "stand-in"
    assert "runner.pyz" in session.greeting["scirknn_file"]
    with BoardSession(board, leased=False) as other:
        assert other.greeting["scirknn"] == scirknn.__version__


def test_samples_are_raw_and_both_bounds_hold(session: BoardSession, bundle: MakeBundle) -> None:
    session.models.load(bundle("well"))
    samples = session.timing.time_model(X, SamplingBounds(1, 30, 0.05, 5.0)).samples
    assert len(samples) >= 30
    assert (samples > 0).all()


def test_one_question_has_many_outputs(session: BoardSession, bundle: MakeBundle) -> None:
    session.models.load(bundle("well"))
    rows, numbers = np.array([1, 0, 1]), np.arange(6).reshape(2, 3)
    chosen, given = session.models.outputs(X, [rows, numbers])
    np.testing.assert_array_equal(chosen, 2 * X[rows, :2])
    np.testing.assert_array_equal(given, 2 * numbers[:, :2])
    assert chosen.dtype == given.dtype == np.float32
    with pytest.raises(BoardError, match="chooses rows that are not there"):
        session.models.outputs(X, [np.array([len(X)])])


def test_each_core_is_loaded_and_asked(session: BoardSession, bundle: MakeBundle) -> None:
    session.models.load(bundle("cores"))
    found = session.models.outputs_on(("0", "2"), X)
    np.testing.assert_array_equal(found["0"], 2 * X[:, :2])
    np.testing.assert_array_equal(found["2"], np.zeros((2, 2)))
    np.testing.assert_array_equal(session.models.predict(X).output, found["2"])  # the last stays loaded
    session.models.load(bundle("one-core"))
    with pytest.raises(BoardError, match="no such core") as caught:
        session.models.outputs_on(("0", "2"), X)
    assert caught.value.kind == "load_error"


def test_rows_are_sent_once(
    session: BoardSession, bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[set[str]] = []
    ask = RunnerChannel.ask

    def watched(self: RunnerChannel, op: str, deadline: float, arrays: Any = None, **fields: Any) -> Any:
        sent.append(set(arrays or {}))
        return ask(self, op, deadline, arrays, **fields)

    session.models.load(bundle("well"))
    monkeypatch.setattr(RunnerChannel, "ask", watched)
    rows = X.copy()
    session.models.predict(rows)
    np.testing.assert_array_equal(session.models.predict(rows[:1]).output, [[2, 0]])
    session.models.outputs_on(("0",), rows)
    rows[0, 0] = -0.0  # other bits at the same place
    assert session.models.predict(rows).output[0, 0] == 0
    session.models.predict(rows.astype(np.float32))
    with pytest.raises(BoardError):
        session.models.outputs(rows, [np.array([9])])
    session.models.predict(rows)  # who failed may have lost them
    x = {"X"}
    assert sent == [x, set(), set(), x, x, {*x, "0"}, x]


@pytest.mark.parametrize(
    ("folder", "name"), [("../x", "a"), ("/tmp/x", "a"), ("artifacts/x", ".."), ("artifacts/x", "a/b")]
)
def test_files_are_kept_below_the_work_folder_alone(session: BoardSession, folder: str, name: str) -> None:
    with pytest.raises(BoardError) as caught:
        session.runner.ask("store", 10.0, {name: np.zeros(1, np.uint8)}, folder=folder)
    assert caught.value.kind == "bad_request"


@pytest.mark.parametrize("manner", ["refuse", "bad", "picky"])
def test_an_exception_on_the_board_is_an_answer(
    session: BoardSession, bundle: MakeBundle, manner: str
) -> None:
    kind, name, code = {
        "refuse": ("run_error", "NativeError", -6),
        "bad": ("load_error", "NativeError", -6),
        "picky": ("bad_request", "InputError", None),
    }[manner]
    with pytest.raises(BoardError) as caught:
        _load_and_predict(session, bundle(manner))
    assert (caught.value.kind, caught.value.type, caught.value.code) == (kind, name, code)
    _load_and_predict(session, bundle("well"))


@pytest.mark.parametrize("manner", ["hang", "hang-in-load"])
def test_a_hang_is_a_timeout_and_the_next_load_works(
    session: BoardSession, bundle: MakeBundle, manner: str
) -> None:
    child = session.greeting["child_pid"]
    with pytest.raises(BoardError) as caught:
        _load_and_predict(session, bundle(manner), deadline=0.2)
    assert caught.value.kind == "timeout"
    assert not Path(f"/proc/{child}").exists()
    with pytest.raises(BoardError, match="no model is loaded"):
        session.models.predict(X)
    _load_and_predict(session, bundle("well"))


def test_a_crash_in_native_code_is_an_answer(session: BoardSession, bundle: MakeBundle) -> None:
    session.models.load(bundle("crash"))
    with pytest.raises(BoardError) as caught:
        session.models.predict(X)
    assert (caught.value.kind, caught.value.type, caught.value.code) == (
        "run_error",
        "SIGSEGV",
        signal.SIGSEGV,
    )
    _load_and_predict(session, bundle("well"))


def test_a_library_that_ends_the_process_is_an_answer(session: BoardSession, bundle: MakeBundle) -> None:
    session.models.load(bundle("exit"))
    with pytest.raises(BoardError, match="status 7") as caught:
        session.models.predict(X)
    assert (caught.value.type, caught.value.code) == ("Exited", 7)


def test_a_chattering_library_neither_blocks_nor_breaks_the_protocol(
    board: Board, stand_in: Path, bundle: MakeBundle, tmp_path: Path
) -> None:
    with BoardSession(board, runtime=stand_in, logs=tmp_path / "logs") as session:
        session.models.load(bundle("chatter"))
        session.models.predict(X)
    (log,) = (tmp_path / "logs").iterdir()
    # Labels and probabilities come of one run of the network.
    assert log.read_bytes().count(b"vendor says hello\n") == 200_000


def test_metacharacters_in_a_name_do_no_harm(session: BoardSession, bundle: MakeBundle) -> None:
    session.models.load(bundle("well", name="a b;touch $(pwned) '\"`x`\\ &|*.rknn"))
    session.models.predict(X)
    assert run(session.connection, ["find", ".", "-name", "pwned"]).stdout == ""


def test_a_killed_runner_ends_the_session(session: BoardSession, bundle: MakeBundle) -> None:
    session.models.load(bundle("well"))
    child = session.greeting["child_pid"]
    os.kill(session.greeting["runner_pid"], signal.SIGKILL)
    with pytest.raises(ConnectionLostError):
        session.models.predict(X)
    wait_for_end(child)
    with pytest.raises(ConnectionLostError, match="open another"):
        session.models.predict(X)


def test_the_runner_ends_with_its_channel(board: Board, stand_in: Path, bundle: MakeBundle) -> None:
    with BoardSession(board, runtime=stand_in) as session:
        pids = session.greeting["runner_pid"], session.greeting["child_pid"]
        session.models.load(bundle("well"))
    for pid in pids:
        wait_for_end(pid)


def test_rows_that_are_no_table_are_refused_here(session: BoardSession) -> None:
    with pytest.raises(ValueError, match="rows and columns"):
        session.models.predict(X[0])


def _load_and_predict(session: BoardSession, bundle: Path, deadline: float = 10.0) -> None:
    session.models.load(bundle, deadline=deadline)
    session.models.predict(X, deadline=deadline)

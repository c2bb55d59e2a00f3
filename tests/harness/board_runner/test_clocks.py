"""A board's clocks: held while a model is timed, put back whatever happens, and a moved one noticed."""

from __future__ import annotations

import functools
import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest

from rknn_harness.board_runner.clocks import Clocks
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds, Timed
from rknn_harness.errors import BoardError, ConnectionLostError
from tests.harness.sysfs_tree import CPU, DDR, FILES, NPU, ZONE, make_tree, shown
from tests.waiting import PATIENCE, wait_until

MakeBundle = Callable[..., Path]
X = np.ones((1, 3))
GOVERNORS = {name: FILES[name] for name in (f"{NPU}/governor", f"{DDR}/governor", f"{CPU}/scaling_governor")}
TOP = {"npu": 1_000_000_000, "ddr": 2_112_000_000, "policy4": 2_352_000_000}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "root")


def governors(tree: Path) -> dict[str, str]:
    return {name: shown(tree, name) for name in GOVERNORS}


def test_clocks_are_held_at_their_highest_and_put_back(tree: Path, tmp_path: Path) -> None:
    record = tmp_path / "clocks.json"
    with Clocks(str(tree), record).watch(hold=True) as watch:
        assert list(governors(tree).values()) == ["performance", "userspace", "performance"]
        assert shown(tree, f"{DDR}/userspace/set_freq") == "2112000000"
        assert set(json.loads(record.read_text())) == set(TOP)
        summary = watch.summary()
    assert summary == {
        "pinned": TOP,
        "before": TOP,
        "after": TOP,
        "moved": False,
        "temperature": [41.615] * 2,
    }
    assert governors(tree) == GOVERNORS
    assert not record.exists()


def test_clocks_that_may_not_be_set_are_recorded(tree: Path, tmp_path: Path) -> None:
    for name in (f"{NPU}/available_governors", f"{DDR}/available_governors"):
        (tree / name).write_text("rknpu_ondemand\n")
    (tree / CPU / "scaling_available_governors").unlink()
    with Clocks(str(tree), tmp_path / "clocks.json").watch(hold=True) as watch:
        assert governors(tree) == GOVERNORS
        summary = watch.summary()
    assert (summary["pinned"], summary["before"], summary["moved"]) == (None, TOP, False)


def test_a_board_without_such_files_has_no_clocks(tmp_path: Path) -> None:
    with Clocks(str(tmp_path), tmp_path / "clocks.json").watch(hold=True) as watch:
        summary = watch.summary()
    assert summary == {"pinned": None, "before": {}, "after": {}, "moved": False, "temperature": None}


@pytest.mark.parametrize("hold", [True, False])
def test_a_clock_that_moves_is_noticed(tree: Path, tmp_path: Path, hold: bool) -> None:
    with Clocks(str(tree), tmp_path / "clocks.json").watch(hold=hold) as watch:
        (tree / NPU / "cur_freq").write_text("400000000\n")
        (tree / ZONE / "temp").write_text("90000\n")
        summary = watch.summary()
    assert summary["moved"]
    assert (summary["before"]["npu"], summary["after"]["npu"]) == (1_000_000_000, 400_000_000)
    assert summary["temperature"] == [41.615, 90.0]


def test_a_clock_that_does_not_rise_is_not_called_held(tree: Path, tmp_path: Path) -> None:
    (tree / NPU / "cur_freq").write_text("300000000\n")
    with Clocks(str(tree), tmp_path / "clocks.json").watch(hold=True) as watch:
        assert set(watch.summary()["pinned"]) == {"ddr", "policy4"}
    assert governors(tree) == GOVERNORS


@pytest.mark.parametrize(
    "record",
    [
        b"no record",
        b"[" * 9000,
        b'{"npu": {"governor": "../../x"}, "/etc/passwd": {"governor": "x"}, "policy4": 3}',
        b'{"npu": {"governor": "a b"}, "ddr": {"governor": ["userspace"], "frequency": "1"}}',
    ],
)
def test_a_record_that_another_wrote_sets_nothing(tree: Path, tmp_path: Path, record: bytes) -> None:
    (tmp_path / "clocks.json").write_bytes(record)
    assert not Clocks(str(tree), tmp_path / "clocks.json").restore()
    assert {name: shown(tree, name) for name in FILES} == FILES
    assert not (tmp_path / "clocks.json").exists()


@pytest.fixture
def clocked(tree: Path, tmp_path: Path) -> Iterator[Board]:
    """A virtual board with that tree, whose clocks are held."""
    with VirtualBoard(tmp_path / "board", root=tree) as running:
        yield attrs.evolve(running.board, clocks="pin")


def _is_as_long(path: Path, size: int) -> bool:
    return path.stat().st_size >= size


def timed(session: BoardSession, count: int = 3) -> Timed:
    return session.timing.time_model(X, SamplingBounds(0, count, 0.0, PATIENCE))


def test_timing_tells_of_the_clocks(clocked: Board, stand_in: Path, bundle: MakeBundle, tree: Path) -> None:
    with BoardSession(clocked, runtime=stand_in) as session:
        assert session.facts()["npu"]["governor"] == "rknpu_ondemand"
        session.models.load(bundle("well"))
        summary = timed(session).clocks
        assert (summary["pinned"], summary["moved"]) == (TOP, False)
        assert governors(tree) == GOVERNORS


def test_a_clock_moved_while_timing_is_recorded(
    clocked: Board, stand_in: Path, bundle: MakeBundle, tree: Path, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    calls.touch()

    def throttle() -> None:
        for hertz in ("400000000", "1000000000"):
            # Ten calls of 0.1 s each: time enough for the runner to look.
            goal = calls.stat().st_size + 10
            wait_until(functools.partial(_is_as_long, calls, goal), "ten calls more")
            (tree / NPU / "cur_freq").write_text(f"{hertz}\n")

    with BoardSession(clocked, runtime=stand_in) as session:
        session.models.load(bundle(f"slow, counts in {calls}"))
        thread = threading.Thread(target=throttle)
        thread.start()
        summary = timed(session, count=25).clocks
        thread.join()
        assert summary["moved"]
        assert summary["before"] == summary["after"] == TOP  # the samples between saw it


def test_clocks_are_put_back_after_a_hang(
    clocked: Board, stand_in: Path, bundle: MakeBundle, tree: Path
) -> None:
    with BoardSession(clocked, runtime=stand_in) as session:
        session.models.load(bundle("hang"))
        with pytest.raises(BoardError) as caught:
            session.timing.time_model(X, deadline=0.5)
        assert caught.value.kind == "timeout"
        assert governors(tree) == GOVERNORS


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_clocks_are_put_back_when_the_runner_is_killed(
    clocked: Board, stand_in: Path, bundle: MakeBundle, tree: Path, number: signal.Signals
) -> None:
    with BoardSession(clocked, runtime=stand_in) as session:
        session.models.load(bundle("hang"))
        pid = session.greeting["runner_pid"]

        def kill() -> None:
            wait_until(lambda: shown(tree, f"{NPU}/governor") == "performance", "clocks are held")
            os.kill(pid, number)

        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(ConnectionLostError):
            session.timing.time_model(X, deadline=30)
        thread.join()
    wait_until(lambda: governors(tree) == GOVERNORS, "clocks are put back")


def test_clocks_are_put_back_by_the_next_session_after_a_power_cut(
    clocked: Board, stand_in: Path, tree: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lease = tmp_path / "lease"
    clocks = Clocks(str(tree), lease / "clocks.json")
    lease.mkdir()
    with clocks.watch(hold=True):
        record = clocks.record.read_bytes()
        held = governors(tree)
    clocks.record.write_bytes(record)
    for name, governor in held.items():
        (tree / name).write_text(f"{governor}\n")
    with BoardSession(attrs.evolve(clocked, lease_folder=str(lease)), runtime=stand_in):
        assert governors(tree) == GOVERNORS
        assert "clocks of virtual were put back" in caplog.text

"""What a case comes to when the board, the link or the runner fails under it: each fault over real SSH.

Faults that are the board's or the link's end as ``infra_error`` or cost a second attempt, and never count
against the model; those of the model are its own, and the next case is well again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.session.model_calls import ModelCalls
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.conformance.run_case import run_case
from rknn_harness.records.case import Case, dataset_case, random_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.mlp_spec import MlpSpec
from rknn_harness.records.outcomes import Outcome, Stage
from tests.harness.boards.fault_proxy import FaultProxy
from tests.harness.sysfs_tree import NPU, make_tree
from tests.harness.vendor_stand_in import ROWS, VendorStandIn

TOOLKIT = "2.3.2"
CASE = dataset_case("iris", "float16", TOOLKIT, (ROWS,))


def network(n_features: int, hidden: int) -> Case:
    spec = MlpSpec(n_features, (hidden,), "relu", "regressor", 8, "int", 1.0, 8, 1)
    return random_case(spec, "float16", TOOLKIT, (ROWS,))


LARGE = network(512, 1024)  # a megabyte of weights
MIDDLING = network(256, 320)  # 160 KiB


@pytest.fixture
def vendor(tmp_path: Path) -> VendorStandIn:
    return VendorStandIn(tmp_path / "vendor")


@pytest.fixture
def npu_board(board: Board, vendor: VendorStandIn, tmp_path: Path) -> Board:
    """The board that no test harms, with the stand-in for the vendor's runtime and a lease of its own."""
    return equipped(board, vendor, tmp_path)


def equipped(board: Board, vendor: VendorStandIn, folder: Path) -> Board:
    return attrs.evolve(board, device="npu", python=str(vendor.python), lease_folder=str(folder / "lease"))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for, and that a call on a busy machine keeps."""
    monkeypatch.setitem(ModelCalls.predict.__kwdefaults__ or {}, "deadline", 12.0)
    monkeypatch.setitem(BoardSession.__init__.__kwdefaults__ or {}, "grace", 3.0)


Try = Callable[..., CaseResult]


@pytest.fixture
def attempt(toolkit: sklearn2rknn.Toolkit) -> Try:
    """Tries a case on a link."""

    def run(link: BoardLink, case: Case = CASE) -> CaseResult:
        return run_case(case, toolkit, link)

    return run


@contextlib.contextmanager
def through(proxy: FaultProxy, board: Board, folder: Path) -> Iterator[Board]:
    with proxy:
        known = folder / "known_hosts"
        known.write_text(board.known_hosts.read_text().replace(f":{board.port} ", f":{proxy.port} "))
        yield attrs.evolve(board, port=proxy.port, known_hosts=known)


@contextlib.contextmanager
def while_it_runs(vendor: VendorStandIn, action: Callable[[], object]) -> Iterator[None]:
    """Do `action` in the middle of an inference."""
    vendor.tell("meet")
    thread = threading.Thread(target=vendor.meet, args=(action,))
    thread.start()
    yield
    thread.join()


def test_without_a_fault_it_passes(npu_board: Board, attempt: Try) -> None:
    with BoardLink(npu_board) as link:
        result = attempt(link)
    assert (result.outcome, result.attempts, result.notes) == (Outcome.PASS, 1, ())
    assert set(result.cpu) == {"numpy"}


def test_a_link_cut_in_the_middle_of_a_transfer(npu_board: Board, tmp_path: Path, attempt: Try) -> None:
    with BoardSession(npu_board):
        pass  # the runner is there
    with (
        through(FaultProxy(npu_board.port, cut_after=1 << 17), npu_board, tmp_path) as board,
        BoardLink(board) as link,
    ):
        result = attempt(link, MIDDLING)
    assert (result.outcome, result.attempts) == (Outcome.PASS, 2)
    assert "Attempt 1 ended on the way to the board" in result.notes[0]


def test_a_link_cut_during_inference(
    npu_board: Board, tmp_path: Path, attempt: Try, vendor: VendorStandIn
) -> None:
    proxy = FaultProxy(npu_board.port)
    with through(proxy, npu_board, tmp_path) as board, BoardLink(board) as link:
        with while_it_runs(vendor, proxy.cut):
            result = attempt(link)
    assert (result.outcome, result.attempts) == (Outcome.PASS, 2)


def test_a_link_that_goes_silent(
    npu_board: Board, tmp_path: Path, attempt: Try, vendor: VendorStandIn, hasty: None
) -> None:
    proxy = FaultProxy(npu_board.port)
    with through(proxy, npu_board, tmp_path) as board, BoardLink(board) as link:
        with while_it_runs(vendor, proxy.silence):
            result = attempt(link)
    # The first session's runner waits for requests that never come; the second ends it for the lease.
    assert (result.outcome, result.attempts) == (Outcome.PASS, 2)
    assert "No answer from" in result.notes[0]


def test_a_link_with_200_ms_of_delay(npu_board: Board, tmp_path: Path, attempt: Try) -> None:
    with (
        through(FaultProxy(npu_board.port, delay=0.1), npu_board, tmp_path) as board,
        BoardLink(board) as link,
    ):
        result = attempt(link)
    assert (result.outcome, result.attempts) == (Outcome.PASS, 1)
    assert result.latency is not None
    assert result.latency.p50 is not None
    assert result.latency.p50 < 0.2  # the round trip, which is no part of it


def test_a_server_that_is_killed(tmp_path: Path, vendor: VendorStandIn, attempt: Try) -> None:
    with VirtualBoard(tmp_path / "board") as running:
        with BoardLink(equipped(running.board, vendor, tmp_path)) as link:
            with while_it_runs(vendor, lambda: os.kill(running.pid, signal.SIGKILL)):
                result = attempt(link)
            assert (result.outcome, result.stage) == (Outcome.INFRA_ERROR, Stage.BOARD)
            result = attempt(link)
            assert "given up earlier" in result.reason
            assert "connect" not in result.seconds  # no second wait for a board that is gone


def test_a_runner_that_is_killed(npu_board: Board, vendor: VendorStandIn, attempt: Try) -> None:
    with BoardLink(npu_board) as link:
        pid = link.session().greeting["runner_pid"]
        with while_it_runs(vendor, lambda: os.kill(pid, signal.SIGKILL)):
            result = attempt(link)
    assert (result.outcome, result.attempts) == (Outcome.PASS, 2)


def test_a_native_call_that_hangs(npu_board: Board, vendor: VendorStandIn, attempt: Try, hasty: None) -> None:
    with BoardLink(npu_board) as link:
        vendor.tell("hang")
        result = attempt(link)
        assert (result.outcome, result.stage, result.attempts) == (Outcome.TIMEOUT, Stage.BOARD, 1)
        vendor.tell()
        assert attempt(link).outcome is Outcome.PASS


def test_a_native_call_that_crashes(npu_board: Board, vendor: VendorStandIn, attempt: Try) -> None:
    with BoardLink(npu_board) as link:
        vendor.tell("crash")
        result = attempt(link)
        assert (result.outcome, result.stage, result.attempts) == (Outcome.RUN_ERROR, Stage.BOARD, 1)
        assert "SIGSEGV" in result.reason
        vendor.tell()
        assert attempt(link).outcome is Outcome.PASS


@contextlib.contextmanager
def full_disk(running: VirtualBoard, work_folder: str) -> Iterator[None]:
    """Mount a disk of a megabyte where the board keeps files."""
    folder = running.board.key.parent / "home" / work_folder
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def no_large_files(running: VirtualBoard, work_folder: str) -> Iterator[None]:
    """Have the kernel refuse the server files of more than half a megabyte."""
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
    yield


@pytest.mark.parametrize("limit", [full_disk, no_large_files])
def test_a_disk_that_is_full(
    tmp_path: Path,
    vendor: VendorStandIn,
    attempt: Try,
    limit: Callable[[VirtualBoard, str], contextlib.AbstractContextManager[None]],
) -> None:
    with VirtualBoard(tmp_path / "board") as running:
        with (
            limit(running, running.board.work_folder),
            BoardLink(equipped(running.board, vendor, tmp_path)) as link,
        ):
            link.session()  # there is room for the runner
            result = attempt(link, LARGE)
    assert (result.outcome, result.stage) == (Outcome.INFRA_ERROR, Stage.BOARD)
    assert "cannot write" in result.reason
    assert "the disk has room" in result.reason


def test_a_host_key_that_is_another(npu_board: Board, tmp_path: Path, attempt: Try) -> None:
    known = tmp_path / "known_hosts"
    with VirtualBoard(tmp_path / "other") as other:
        stranger = other.board.known_hosts.read_text().split(None, 1)[1]
    known.write_text(f"[127.0.0.1]:{npu_board.port} {stranger}")
    with BoardLink(attrs.evolve(npu_board, known_hosts=known)) as link:
        result = attempt(link)
    assert result.outcome is Outcome.INFRA_ERROR
    assert "another machine answers" in result.reason


def test_a_key_that_the_board_refuses(npu_board: Board, tmp_path: Path, attempt: Try) -> None:
    with VirtualBoard(tmp_path / "other") as other:
        pass
    with BoardLink(attrs.evolve(npu_board, key=other.board.key)) as link:
        result = attempt(link)
    assert result.outcome is Outcome.INFRA_ERROR
    assert "ssh-copy-id" in result.reason


def test_a_board_without_numpy(npu_board: Board, tmp_path: Path, attempt: Try) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nexec /usr/bin/env -u PYTHONPATH python3 -I -S "$@"\n')
    python.chmod(0o755)
    with BoardLink(attrs.evolve(npu_board, python=str(python))) as link:
        result = attempt(link)
    assert result.outcome is Outcome.INFRA_ERROR
    assert "No module named 'numpy'" in result.reason


def test_a_board_without_rknnlite(npu_board: Board, board: Board, attempt: Try) -> None:
    with BoardLink(attrs.evolve(npu_board, python=board.python)) as link:
        result = attempt(link)
    assert result.outcome is Outcome.INFRA_ERROR
    assert "rknn-toolkit-lite2" in result.reason


def test_a_runtime_too_old_for_the_model(npu_board: Board, vendor: VendorStandIn, attempt: Try) -> None:
    with BoardLink(npu_board) as link:
        vendor.tell("old")
        result = attempt(link)
        assert (result.outcome, result.stage, result.attempts) == (Outcome.LOAD_ERROR, Stage.BOARD, 1)
        assert "init_runtime" in result.reason
        assert link.lost is None


def test_a_stale_lease(npu_board: Board, attempt: Try, caplog: pytest.LogCaptureFixture) -> None:
    with BoardSession(npu_board, claim=Claim("an earlier run", owner="bob@there")) as session:
        os.kill(session.greeting["runner_pid"], signal.SIGKILL)
    with caplog.at_level(logging.WARNING), BoardLink(npu_board) as link:
        result = attempt(link)
    assert (result.outcome, result.attempts) == (Outcome.PASS, 1)
    assert "taken over from bob@there (an earlier run)" in caplog.text


def test_a_live_lease(npu_board: Board, attempt: Try) -> None:
    with BoardSession(npu_board, claim=Claim("an earlier run", owner="bob@there")):
        with BoardLink(npu_board, claim=Claim(wait=0.2)) as link:
            result = attempt(link)
    assert (result.outcome, result.attempts) == (Outcome.INFRA_ERROR, 1)
    assert "in use by bob@there (an earlier run) until" in result.reason


def test_a_clock_moved_while_timing(tmp_path: Path, vendor: VendorStandIn, attempt: Try) -> None:
    tree = make_tree(tmp_path / "root")
    governor, clock = tree / NPU / "governor", tree / NPU / "cur_freq"

    def throttle() -> None:
        while governor.read_text().strip() != "performance":
            time.sleep(0.001)
        # The next model runs when the clocks are held and have been read.
        vendor.tell("meet")
        vendor.meet(lambda: clock.write_text("300000000\n"))

    with VirtualBoard(tmp_path / "board", root=tree) as running:
        with BoardLink(attrs.evolve(equipped(running.board, vendor, tmp_path), clocks="pin")) as link:
            thread = threading.Thread(target=throttle)
            thread.start()
            result = attempt(link)
            thread.join()
    assert result.outcome is Outcome.PASS
    assert result.latency is not None
    assert result.latency.unstable
    assert governor.read_text().strip() == "rknpu_ondemand"


def test_power_that_is_lost_and_comes_back(tmp_path: Path, vendor: VendorStandIn, attempt: Try) -> None:
    first, switch = VirtualBoard(tmp_path / "board"), tmp_path / "switch"
    again: list[VirtualBoard] = []

    def power() -> None:
        while not switch.exists():
            time.sleep(0.01)
        again.append(VirtualBoard(tmp_path / "board"))

    thread = threading.Thread(target=power)
    thread.start()
    board = attrs.evolve(equipped(first.board, vendor, tmp_path), power_command=("touch", str(switch)))
    with BoardLink(board) as link:
        with while_it_runs(vendor, first.kill):
            result = attempt(link)
        thread.join()
        assert (result.outcome, result.attempts) == (Outcome.PASS, 3)
        assert attempt(link).attempts == 1
    again[0].stop()

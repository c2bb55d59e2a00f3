"""Planted faults of the board, the link and the runner, over real SSH: one table.

A fault that strikes in the middle of an inference is seen twice: by a session, which raises, and by a case,
which is tried again or gets an outcome. Those of the board or the link never count against the model; after
those of the model the next case passes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest

import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.session import channel
from rknn_harness.boards.session.model_calls import ModelCalls
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.conformance.run_case import run_case
from rknn_harness.errors import BoardDeadlineError, ConnectionLostError, HarnessError
from rknn_harness.records.case import Case, dataset_case, random_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.specs.mlp_spec import MlpSpec
from tests.harness.boards.fault_proxy import FaultProxy
from tests.harness.boards.small_disk import no_large_files, small_disk
from tests.harness.sysfs_tree import NPU, make_tree
from tests.harness.vendor_stand_in import ROWS, VendorStandIn
from tests.waiting import PATIENCE, once, wait_for_end

MakeBundle = Callable[..., Path]
Try = Callable[..., CaseResult]

TOOLKIT = "2.3.2"
CASE = dataset_case("iris", "float16", TOOLKIT, (ROWS,))
X = np.ones((1, 3))


def network(n_features: int, hidden: int) -> Case:
    spec = MlpSpec(n_features, (hidden,), "relu", "regressor", 8, "int", 1.0, 8, 1)
    return random_case(spec, "float16", TOOLKIT, (ROWS,))


LARGE = network(512, 1024)  # a megabyte of weights
MIDDLING = network(256, 320)  # 160 KiB


@attrs.define
class Rig:
    """A board of a test's own behind a proxy, and the vendor's stand-in."""

    folder: Path
    server: VirtualBoard
    proxy: FaultProxy
    vendor: VendorStandIn
    runner: int = 0  # the process of the session under way

    @property
    def board(self) -> Board:
        """The board, reached through the proxy, with the stand-in for the vendor's runtime."""
        board, known = self.server.board, self.folder / "known_hosts"
        known.write_text(board.known_hosts.read_text().replace(f":{board.port} ", f":{self.proxy.port} "))
        return attrs.evolve(
            board, port=self.proxy.port, known_hosts=known, device="npu", python=str(self.vendor.python)
        )

    def cut(self) -> None:
        self.proxy.cut()

    def silence(self) -> None:
        self.proxy.silence()

    def kill_server(self) -> None:
        self.server.kill()

    def freeze_server(self) -> None:
        os.kill(self.server.pid, signal.SIGSTOP)

    def kill_runner(self) -> None:
        os.kill(self.runner, signal.SIGKILL)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with (
        VirtualBoard(tmp_path / "board") as server,
        FaultProxy(server.board.port) as proxy,
    ):
        yield Rig(tmp_path, server, proxy, VendorStandIn(tmp_path / "vendor"))
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that a test can wait for, and that a call on a busy machine keeps."""
    monkeypatch.setitem(ModelCalls.predict.__kwdefaults__ or {}, "deadline", 12.0)
    monkeypatch.setattr(channel, "GRACE_SECONDS", 3.0)


@pytest.fixture
def attempt(toolkit: sklearn2rknn.Toolkit) -> Try:
    """Tries a case on a link."""

    def run(link: BoardLink, case: Case = CASE) -> CaseResult:
        return run_case(case, toolkit, link)

    return run


@contextlib.contextmanager
def during_inference(rig: Rig, action: Callable[[Rig], None]) -> Iterator[None]:
    """Do `action` in the middle of a case's inference."""
    rig.vendor.tell("meet")
    thread = threading.Thread(target=rig.vendor.meet, args=(lambda: action(rig),))
    thread.start()
    yield
    thread.join()


@attrs.frozen
class Strike:
    """What strikes during an inference, and what a session and a case make of it.

    Attributes
    ----------
    error : type, text : str
        What the session raises.
    outcome : Outcome or None
        The case's; None where only a session is asked.
    """

    action: Callable[[Rig], None]
    error: type[HarnessError]
    text: str
    outcome: Outcome | None
    attempts: int = 2


STRIKES = {
    "the link is cut": Strike(Rig.cut, ConnectionLostError, "during 'predict'", Outcome.PASS),
    "the link is silent": Strike(Rig.silence, BoardDeadlineError, "'predict' within", Outcome.PASS),
    "the server is killed": Strike(
        Rig.kill_server, ConnectionLostError, "during 'predict'", Outcome.INFRA_ERROR
    ),
    "the server is frozen": Strike(Rig.freeze_server, BoardDeadlineError, "'predict' within", None),
    "the runner is killed": Strike(Rig.kill_runner, ConnectionLostError, "during 'predict'", Outcome.PASS),
}


@pytest.mark.parametrize("name", STRIKES)
def test_a_strike_during_inference_ends_the_session(
    rig: Rig, stand_in: Path, bundle: MakeBundle, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike, hanging = STRIKES[name], rig.folder / "hanging"
    late = strike.error is BoardDeadlineError
    board = attrs.evolve(rig.board, python=rig.server.board.python)
    monkeypatch.setattr(channel, "GRACE_SECONDS", 0.2 if late else PATIENCE)
    with BoardSession(board, runtime=stand_in) as session:
        rig.runner, child = session.greeting["runner_pid"], session.greeting["child_pid"]
        session.models.load(bundle("well" if late else f"hang at {hanging}"))
        with contextlib.ExitStack() as stack:
            if late:
                strike.action(rig)
            else:
                stack.enter_context(once(hanging.exists, lambda: strike.action(rig), "the model hangs"))
            stack.enter_context(pytest.raises(strike.error, match=strike.text))
            session.models.predict(X, deadline=0.2 if late else PATIENCE)
        with pytest.raises(ConnectionLostError, match="open another"):
            session.models.predict(X)
    if strike.action in (Rig.kill_server, Rig.kill_runner):
        wait_for_end(rig.runner)
        wait_for_end(child)


@pytest.mark.parametrize("name", [name for name, strike in STRIKES.items() if strike.outcome])
def test_a_strike_during_inference_is_no_fault_of_the_model(
    rig: Rig, attempt: Try, hasty: None, name: str
) -> None:
    strike = STRIKES[name]
    with BoardLink(rig.board) as link:
        rig.runner = link.session().greeting["runner_pid"]
        with during_inference(rig, strike.action):
            result = attempt(link)
        assert (result.outcome, result.attempts) == (strike.outcome, strike.attempts)
        assert strike.text in result.notes[0]
        if strike.outcome is Outcome.INFRA_ERROR:
            assert result.stage is Stage.BOARD
            result = attempt(link)
            assert "given up earlier" in result.reason
            assert "connect" not in result.seconds  # no second wait for a board that is gone


MODEL_FAULTS = {
    "hang": (Outcome.TIMEOUT, "killed"),
    "crash": (Outcome.RUN_ERROR, "SIGSEGV"),
    "old": (Outcome.LOAD_ERROR, "init_runtime"),
}


@pytest.mark.parametrize("word", MODEL_FAULTS)
def test_a_fault_of_the_model_is_its_own(rig: Rig, attempt: Try, hasty: None, word: str) -> None:
    outcome, text = MODEL_FAULTS[word]
    with BoardLink(rig.board) as link:
        rig.vendor.tell(word)
        result = attempt(link)
        assert (result.outcome, result.stage, result.attempts) == (outcome, Stage.BOARD, 1)
        assert text in result.reason
        assert link.lost is None
        rig.vendor.tell()
        assert attempt(link).outcome is Outcome.PASS


Plant = Callable[[Rig], contextlib.AbstractContextManager[Board]]


@contextlib.contextmanager
def nothing(rig: Rig) -> Iterator[Board]:
    yield rig.board


@contextlib.contextmanager
def cut_transfer(rig: Rig) -> Iterator[Board]:
    with BoardSession(rig.board):
        pass  # the runner is there
    with FaultProxy(rig.server.board.port, cut_after=1 << 17) as rig.proxy:
        yield rig.board


@contextlib.contextmanager
def slow_link(rig: Rig) -> Iterator[Board]:
    with FaultProxy(rig.server.board.port, delay=0.1) as rig.proxy:
        yield rig.board


@contextlib.contextmanager
def full_disk(rig: Rig) -> Iterator[Board]:
    with small_disk(rig.server.board.key.parent / "home" / rig.server.board.work_folder):
        yield rig.board


@contextlib.contextmanager
def limited_files(rig: Rig) -> Iterator[Board]:
    no_large_files(rig.server.pid)
    yield rig.board


@contextlib.contextmanager
def other_host_key(rig: Rig) -> Iterator[Board]:
    board = rig.board
    with VirtualBoard(rig.folder / "other") as other:
        stranger = other.board.known_hosts.read_text().split(None, 1)[1]
    board.known_hosts.write_text(f"[127.0.0.1]:{board.port} {stranger}")
    yield board


@contextlib.contextmanager
def other_key(rig: Rig) -> Iterator[Board]:
    with VirtualBoard(rig.folder / "other") as other:
        pass
    yield attrs.evolve(rig.board, key=other.board.key)


@contextlib.contextmanager
def no_numpy(rig: Rig) -> Iterator[Board]:
    python = rig.folder / "python"
    python.write_text('#!/bin/sh\nexec /usr/bin/env -u PYTHONPATH python3 -I -S "$@"\n')
    python.chmod(0o755)
    yield attrs.evolve(rig.board, python=str(python))


@contextlib.contextmanager
def no_runtime(rig: Rig) -> Iterator[Board]:
    yield attrs.evolve(rig.board, python=rig.server.board.python)


@contextlib.contextmanager
def stale_lease(rig: Rig) -> Iterator[Board]:
    with BoardSession(rig.board, claim=Claim("an earlier run", owner="bob@there")) as session:
        os.kill(session.greeting["runner_pid"], signal.SIGKILL)
    yield rig.board


@contextlib.contextmanager
def live_lease(rig: Rig) -> Iterator[Board]:
    with BoardSession(rig.board, claim=Claim("an earlier run", owner="bob@there")):
        yield rig.board


@attrs.frozen
class Fault:
    """What is wrong before a case begins, and what the case comes to; `text` is in a note, reason or log."""

    plant: Plant
    outcome: Outcome
    text: str = ""
    attempts: int = 1
    case: Case = CASE


INFRA = Outcome.INFRA_ERROR
FAULTS = {
    "none": Fault(nothing, Outcome.PASS),
    "a transfer is cut": Fault(cut_transfer, Outcome.PASS, "Attempt 1", 2, MIDDLING),
    "200 ms of delay": Fault(slow_link, Outcome.PASS),
    "a full disk": Fault(full_disk, INFRA, "the disk has room", case=LARGE),
    "no large files": Fault(limited_files, INFRA, "cannot write", case=LARGE),
    "another host key": Fault(other_host_key, INFRA, "another machine answers"),
    "a refused key": Fault(other_key, INFRA, "ssh-copy-id"),
    "no numpy": Fault(no_numpy, INFRA, "No module named 'numpy'"),
    "no runtime": Fault(
        no_runtime, INFRA, "There is no librknnrt.so in /usr/lib. 'python3 -m scirknn doctor'"
    ),
    "a stale lease": Fault(stale_lease, Outcome.PASS, "taken over from bob@there (an earlier run)"),
    "a live lease": Fault(live_lease, INFRA, "in use by bob@there (an earlier run) until"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_board_is_no_fault_of_the_model(
    rig: Rig, attempt: Try, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    fault = FAULTS[name]
    with (
        caplog.at_level(logging.WARNING),
        fault.plant(rig) as board,
        BoardLink(board, claim=Claim(wait=0.2)) as link,
    ):
        if fault.case is LARGE:
            link.session()  # there is room for the runner
        result = attempt(link, fault.case)
    assert result.outcome is fault.outcome
    assert fault.text in "\n".join((result.reason, *result.notes, caplog.text))
    if fault.outcome is INFRA:
        assert result.stage is Stage.BOARD
    else:
        assert result.attempts == fault.attempts
        assert result.latency is not None
        assert result.latency.p50 is not None
        assert result.latency.p50 < 0.2  # a slow link is no part of it
        assert set(result.cpu) == {"numpy"}


def test_a_clock_that_moves_while_timing_makes_times_unstable(tmp_path: Path, rig: Rig, attempt: Try) -> None:
    tree = make_tree(tmp_path / "root")
    governor, clock = tree / NPU / "governor", tree / NPU / "cur_freq"

    def throttle() -> None:
        while governor.read_text().strip() != "performance":
            time.sleep(0.001)
        # The next model runs when the clocks are held and have been read.
        rig.vendor.tell("meet")
        rig.vendor.meet(lambda: clock.write_text("300000000\n"))

    with VirtualBoard(tmp_path / "clocked", root=tree) as running:
        board = attrs.evolve(running.board, device="npu", python=str(rig.vendor.python), clocks="pin")
        with BoardLink(board) as link:
            thread = threading.Thread(target=throttle)
            thread.start()
            result = attempt(link)
            thread.join()
    assert result.outcome is Outcome.PASS
    assert result.latency is not None
    assert result.latency.unstable
    assert governor.read_text().strip() == "rknpu_ondemand"


def test_power_that_is_lost_and_comes_back_costs_attempts(rig: Rig, tmp_path: Path, attempt: Try) -> None:
    switch, board = tmp_path / "switch", rig.board
    second: list[VirtualBoard] = []

    def power() -> None:
        while not switch.exists():
            time.sleep(0.01)
        second.append(VirtualBoard(tmp_path / "board"))

    thread = threading.Thread(target=power)
    thread.start()
    with BoardLink(attrs.evolve(board, power_command=("touch", str(switch)))) as link:
        with during_inference(rig, Rig.kill_server):
            result = attempt(link)
        thread.join()
        assert (result.outcome, result.attempts) == (Outcome.PASS, 3)
        assert attempt(link).attempts == 1
    second[0].stop()

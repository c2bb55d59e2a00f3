"""The NPU's interrupts: which CPU serves them, held on a big core while a model is timed, and put back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest

from rknn_harness.board_runner.interrupts import Interrupts, big_core, serving_cpus
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds
from tests.harness.sysfs_tree import make_tree, shown
from tests.waiting import PATIENCE, wait_until

IRQS = ("proc/irq/40/smp_affinity_list", "proc/irq/41/smp_affinity_list")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "root")


def allowed(tree: Path) -> list[str]:
    return [shown(tree, name) for name in IRQS]


def test_a_big_core_serves_them_for_a_while(tree: Path, tmp_path: Path) -> None:
    record = tmp_path / "interrupts.json"
    interrupts = Interrupts(str(tree), record)
    with interrupts.watch(hold=True):
        assert allowed(tree) == ["4", "4"]
        assert interrupts.summary() == {"irq40": "4", "irq41": "4"}
        assert json.loads(record.read_text()) == {"irq40": "0-7", "irq41": "0-7"}
    assert allowed(tree) == ["0-7", "0-7"]
    assert not record.exists()


def test_the_cpu_that_serves_is_shown_before_those_that_may(tree: Path) -> None:
    (tree / "proc/irq/40/effective_affinity_list").write_text("0\n")
    assert serving_cpus(tree) == {"irq40": "0", "irq41": "0-7"}


def test_nothing_is_moved_where_cores_are_alike_or_it_is_not_wanted(tree: Path, tmp_path: Path) -> None:
    interrupts = Interrupts(str(tree), tmp_path / "interrupts.json")
    with interrupts.watch(hold=False):
        assert allowed(tree) == ["0-7", "0-7"]
    for file in tree.glob("sys/devices/system/cpu/cpu*/cpu_capacity"):
        file.write_text("1024\n")
    assert big_core(tree) is None
    with interrupts.watch(hold=True):
        assert allowed(tree) == ["0-7", "0-7"]


def test_a_machine_without_an_npu_has_none(tmp_path: Path) -> None:
    interrupts = Interrupts(str(tmp_path), tmp_path / "interrupts.json")
    with interrupts.watch(hold=True):
        assert interrupts.summary() == {}
    assert not interrupts.restore()


def test_they_are_put_back_when_the_runner_is_killed(tree: Path, tmp_path: Path) -> None:
    listening, speaking = os.pipe()
    pid = os.fork()
    if pid == 0:
        with Interrupts(str(tree), tmp_path / "interrupts.json").watch(hold=True):
            os.write(speaking, b"held")
            signal.pause()
        os._exit(0)
    assert os.read(listening, 4) == b"held"
    assert allowed(tree) == ["4", "4"]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    wait_until(lambda: allowed(tree) == ["0-7", "0-7"], "the interrupts are put back")
    for descriptor in (listening, speaking):
        os.close(descriptor)


@pytest.mark.parametrize(
    "record", [b"", b"[]", b"{", b'{"irq40": "; rm"}', b'{"irq40": 4}', b'{"../irq/40": "1"}', b"[" * 9999]
)
def test_a_record_that_another_wrote_moves_nothing(tree: Path, tmp_path: Path, record: bytes) -> None:
    (tmp_path / "interrupts.json").write_bytes(record)
    assert not Interrupts(str(tree), tmp_path / "interrupts.json").restore()
    assert allowed(tree) == ["0-7", "0-7"]
    assert not (tmp_path / "interrupts.json").exists()


def test_timing_and_facts_say_which_cpu_serves_them(
    tree: Path, tmp_path: Path, stand_in: Path, bundle: Callable[..., Path]
) -> None:
    with VirtualBoard(tmp_path / "board", root=tree) as running:
        board = attrs.evolve(running.board, clocks="pin")
        with BoardSession(board, runtime=stand_in) as session:
            assert session.facts()["npu_interrupts"] == {"irq40": "0-7", "irq41": "0-7"}
            session.models.load(bundle("well"))
            timed = session.timing.time_model(np.ones((1, 3)), SamplingBounds(0, 3, 0.0, PATIENCE))
    assert timed.clocks["interrupts"] == {"irq40": "4", "irq41": "4"}
    assert allowed(tree) == ["0-7", "0-7"]

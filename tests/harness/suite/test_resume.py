"""A run that a fault broke, resumed once the fault is gone, records what an unbroken run does."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import sklearn2rknn
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.records.case import dataset_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.run_folder import FORMAT, RunFolder, read_run
from rknn_harness.suite.suite import Suite, SuiteOptions
from tests.harness.vendor_stand_in import ROWS, VendorStandIn

TOOLKIT = "2.3.2"
PLAN = tuple(Entry(dataset_case(name, "float16", TOOLKIT, (ROWS,)), "virtual") for name in ("iris", "xor"))
VARYING = ("notes", "latency", "cpu", "clocks", "attempts", "seconds", "estimate")
"""What two runs of the same case may differ in: times, and how often it was tried."""


class WarmSuite(Suite):
    """A suite whose toolkit is open already."""

    warm: sklearn2rknn.Toolkit

    def _open_toolkit(self, version: str) -> sklearn2rknn.Toolkit:
        return self.warm


Conduct = Callable[..., list[CaseResult]]


@pytest.fixture(scope="module")
def conduct(toolkit: sklearn2rknn.Toolkit) -> Conduct:
    """Does what is left of a run on a board."""

    def run(folder: RunFolder, board: Board, between: Callable[[], object] = int) -> list[CaseResult]:
        suite = WarmSuite(folder, {"virtual": board}, {}, SuiteOptions(wait=0.2))
        suite.warm = toolkit
        with folder, suite:
            for entry in PLAN:
                suite.result(entry)
                between()
        return list(read_run(folder.path).results)

    return run


def begun(path: Path) -> RunFolder:
    return RunFolder.begin(path, {"format": FORMAT, "toolkits": [], "boards": {}}, PLAN)


def settled(results: list[CaseResult]) -> dict[str, dict[str, Any]]:
    documents = [result.to_json() for result in results]
    return {
        document["id"]: {key: value for key, value in document.items() if key not in VARYING}
        for document in documents
    }


@pytest.fixture(scope="module")
def equip(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Board], Board]:
    """Gives a board the stand-in for the vendor's runtime, and a lease of its own."""
    folder = tmp_path_factory.mktemp("equipment")
    vendor = VendorStandIn(folder / "vendor")
    return lambda board: attrs.evolve(
        board, device="npu", python=str(vendor.python), lease_folder=str(folder / "lease")
    )


@pytest.fixture(scope="module")
def unbroken(
    board: Board,
    equip: Callable[[Board], Board],
    conduct: Conduct,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:
    """What a run records that nothing befalls."""
    results = conduct(begun(tmp_path_factory.mktemp("unbroken") / "run"), equip(board))
    assert {result.outcome for result in results} == {Outcome.PASS}
    return settled(results)


@contextlib.contextmanager
def with_another_key(board: Board, folder: Path) -> Iterator[Board]:
    with VirtualBoard(folder / "other") as other:
        yield attrs.evolve(board, key=other.board.key)


@contextlib.contextmanager
def with_another_host_key(board: Board, folder: Path) -> Iterator[Board]:
    with VirtualBoard(folder / "other") as other:
        known = folder / "known_hosts"
        known.write_text(
            other.board.known_hosts.read_text().replace(f":{other.board.port}", f":{board.port}")
        )
        yield attrs.evolve(board, known_hosts=known)


@contextlib.contextmanager
def without_numpy(board: Board, folder: Path) -> Iterator[Board]:
    python = folder / "bare-python"
    python.write_text('#!/bin/sh\nexec /usr/bin/env -u PYTHONPATH python3 -I -S "$@"\n')
    python.chmod(0o755)
    yield attrs.evolve(board, python=str(python))


@contextlib.contextmanager
def without_rknnlite(board: Board, folder: Path) -> Iterator[Board]:
    yield attrs.evolve(board, python=sys.executable)


@contextlib.contextmanager
def with_another_there(board: Board, folder: Path) -> Iterator[Board]:
    with BoardSession(board, claim=Claim("another run")):
        yield board


@contextlib.contextmanager
def with_no_room(board: Board, folder: Path) -> Iterator[Board]:
    (folder / "in-the-way").write_text("")
    yield attrs.evolve(board, work_folder=str(folder / "in-the-way"))


@pytest.mark.parametrize(
    "fault",
    [
        with_another_key,
        with_another_host_key,
        without_numpy,
        without_rknnlite,
        with_another_there,
        with_no_room,
    ],
)
def test_a_board_that_was_not_to_be_had(
    fault: Callable[[Board, Path], contextlib.AbstractContextManager[Board]],
    board: Board,
    equip: Callable[[Board], Board],
    conduct: Conduct,
    unbroken: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    good = equip(board)
    with fault(good, tmp_path) as bad:
        broken = conduct(begun(tmp_path / "broken"), bad)
    assert [result.outcome for result in broken] == [Outcome.INFRA_ERROR] * len(PLAN)
    resumed = conduct(RunFolder.resume(tmp_path / "broken"), good)
    assert settled(resumed) == unbroken


def test_a_board_that_died_in_the_middle(
    equip: Callable[[Board], Board],
    conduct: Conduct,
    unbroken: dict[str, dict[str, Any]],
    tmp_path: Path,
) -> None:
    with VirtualBoard(tmp_path / "board") as running:
        broken = conduct(begun(tmp_path / "broken"), equip(running.board), between=running.kill)
        outcomes = [result.outcome for result in broken]
        assert outcomes == [Outcome.PASS, Outcome.INFRA_ERROR]
    with VirtualBoard(tmp_path / "board") as again:
        folder, machine = RunFolder.resume(tmp_path / "broken"), platform.machine()
        folder.amend(lambda manifest: manifest["boards"]["virtual"].update(machine="another"))
        reasons = [result.reason for result in conduct(folder, equip(again.board))]
        assert f"had machine another, now {machine}. Put back" in reasons[1]
        folder = RunFolder.resume(tmp_path / "broken")
        folder.amend(lambda manifest: manifest["boards"]["virtual"].update(machine=machine))
        folder.close()
        resumed = conduct(RunFolder.resume(tmp_path / "broken"), equip(again.board))
        assert resumed[0] == broken[0]  # what was settled was not tried again
    assert settled(resumed) == unbroken

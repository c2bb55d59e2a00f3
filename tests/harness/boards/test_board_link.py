"""What is tried before a board is given up: a session afresh, a model that it ran before, its power."""

from __future__ import annotations

import functools
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import numpy as np
import pytest

import sklearn2rknn
from rknn_harness.boards import board_link, health_check
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.health_check import HealthModel
from rknn_harness.boards.providers.provider import provider_of
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.ssh.connection import wait_until_reachable
from rknn_harness.errors import (
    BoardHealthError,
    BoardRefusedError,
    ConnectionLostError,
    LeaseError,
    PowerError,
)

X = np.ones((2, 3))
TOOLKIT = cast(sklearn2rknn.Toolkit, SimpleNamespace(version="0"))


@pytest.fixture
def manner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundle: Any, stand_in: Path) -> Path:
    """The file that says how the board takes the health model; it is well at first."""
    file = tmp_path / "manner"
    file.write_text("well")
    model = HealthModel(bundle(f"as in {file}", name="health.rknn"), X, np.full((2, 2), 2, np.float32))
    monkeypatch.setattr(board_link, "health_model", lambda toolkit, folder: model)
    monkeypatch.setattr(board_link, "BoardSession", functools.partial(BoardSession, runtime=stand_in))
    return file


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_check, "DEADLINE", 1.0)


@pytest.fixture
def own_board(board: Board, tmp_path: Path) -> Board:
    return attrs.evolve(board, lease_folder=str(tmp_path / "lease"))


@pytest.mark.parametrize("state", ["hang", "crash", "refuse", "wrong"])
def test_a_board_that_is_sick_from_the_first_is_an_error(
    own_board: Board, manner: Path, hasty: None, state: str
) -> None:
    manner.write_text(state)
    with BoardLink(own_board) as link, pytest.raises(BoardHealthError, match="known to be good"):
        link.prove(TOOLKIT)


def test_a_model_that_the_board_cannot_load_says_nothing_of_it(
    own_board: Board, manner: Path, monkeypatch: pytest.MonkeyPatch, bundle: Any
) -> None:
    model = HealthModel(bundle("bad", name="bad.rknn"), X, np.zeros((2, 2), np.float32))
    monkeypatch.setattr(board_link, "health_model", lambda toolkit, folder: model)
    with BoardLink(own_board) as link:
        link.prove(TOOLKIT)
        assert link.examine() == ""
        assert link.lost is None


def test_a_board_that_stays_well_is_kept(own_board: Board, manner: Path) -> None:
    with BoardLink(own_board) as link:
        link.prove(TOOLKIT)
        session = link.session()
        assert link.examine() == ""
        assert link.session() is session


def test_a_connection_that_ended_meanwhile_is_not_the_boards_end(own_board: Board, manner: Path) -> None:
    with BoardLink(own_board) as link:
        link.prove(TOOLKIT)
        link.session().connection.close()
        assert link.examine() == ""


def test_a_sick_board_without_a_switch_is_given_up(
    own_board: Board, manner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BoardLink(own_board) as link:
        link.prove(TOOLKIT)
        monkeypatch.setattr(health_check, "DEADLINE", 1.0)
        manner.write_text("hang")
        assert "given up" in link.examine()
        assert isinstance(link.lost, BoardHealthError)
        with pytest.raises(BoardHealthError):
            link.session()


def test_a_sick_board_is_power_cycled_once(own_board: Board, manner: Path, tmp_path: Path) -> None:
    switch = f"open({str(tmp_path / 'cycles')!r}, 'a').write('x'); open({str(manner)!r}, 'w').write('well')"
    board = attrs.evolve(own_board, power_command=(sys.executable, "-c", switch))
    with BoardLink(board) as link:
        link.prove(TOOLKIT)
        manner.write_text("crash")
        assert "power was cycled" in link.examine()
        assert link.examine() == ""
        manner.write_text("crash")
        assert "given up" in link.examine()
    assert (tmp_path / "cycles").read_text() == "x"


def test_a_power_command_that_fails_is_in_the_sentence_on_the_board(
    own_board: Board, manner: Path, hasty: None
) -> None:
    with BoardLink(attrs.evolve(own_board, power_command=("false",))) as link:
        link.prove(TOOLKIT)
        manner.write_text("crash")
        assert "the board was given up" in (sentence := link.examine())
        assert "The power command of" in sentence


def test_a_board_with_other_versions_is_given_up(own_board: Board, manner: Path) -> None:
    with BoardLink(own_board) as link:
        facts = link.facts()
        link.drop()
        assert link.session().facts()["machine"] == facts["machine"], "the same board may come back"
        link.drop()
        link.expected = {**facts, "librknnrt": "2.3.0", "driver": "0.9.9"}
        had = f"had librknnrt 2.3.0, now {facts['librknnrt']}; driver 0.9.9, now {facts['driver']}. Put back"
        with pytest.raises(BoardRefusedError, match=had):
            link.session()
        assert isinstance(link.lost, BoardRefusedError)


def test_power_does_not_mend_a_lease(own_board: Board) -> None:
    board = attrs.evolve(own_board, power_command=("false",))
    with BoardLink(board) as link:
        assert not link.revive(LeaseError("held", {}))


def test_a_board_that_lost_its_power_comes_back(tmp_path: Path, manner: Path) -> None:
    first, switch = VirtualBoard(tmp_path / "board"), tmp_path / "switch"
    again: list[VirtualBoard] = []

    def power() -> None:
        while not switch.exists():
            time.sleep(0.01)
        again.append(VirtualBoard(tmp_path / "board"))

    thread = threading.Thread(target=power)
    board = attrs.evolve(first.board, power_command=("touch", str(switch)))
    with BoardLink(board) as link:
        link.prove(TOOLKIT)
        first.kill()
        with pytest.raises(ConnectionLostError) as caught:
            link.session().models.predict(X)
        thread.start()
        assert link.revive(caught.value)
        link.session().facts()
        thread.join()
    again[0].stop()


@pytest.mark.parametrize(("command", "expected"), [(("false",), "status 1"), (("/no/such",), "No such file")])
def test_a_power_command_that_fails_is_an_error(
    own_board: Board, command: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(PowerError, match=expected):
        provider_of(attrs.evolve(own_board, power_command=command)).power_cycle()


def test_a_board_that_does_not_come_back_is_an_error(own_board: Board) -> None:
    with pytest.raises(PowerError, match="did not come back within 0 s"):
        wait_until_reachable(attrs.evolve(own_board, port=1, boot_seconds=0.0))


def test_the_power_command_sees_no_shell(own_board: Board, tmp_path: Path) -> None:
    words = ("$(touch pwned)", "; touch pwned", "'\"\n*")
    code = f"import sys; open({str(tmp_path / 'told')!r}, 'w').write(repr(tuple(sys.argv[1:])))"
    command = (sys.executable, "-c", code, *words)
    assert provider_of(attrs.evolve(own_board, power_command=command)).power_cycle()
    assert (tmp_path / "told").read_text() == repr(words)

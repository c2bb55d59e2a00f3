"""Places of a coordinator: reserved, acquired, switched, given back, and freed after a dead run of ours."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rknn_harness.boards.board import Board
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import read_boards
from rknn_harness.boards.claim import Claim
from rknn_harness.errors import (
    BoardBusyError,
    BoardRefusedError,
    ConnectionLostError,
    InfraError,
)
from tests.labgrid.lab import PLACES, TAG, Lab

HOLD = """
import sys, time
from pathlib import Path
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import read_boards
from rknn_harness.boards.claim import Claim
with BoardLink(read_boards(Path(sys.argv[1]))["shelf"], claim=Claim("run dying", 20.0)) as link:
    print(link.facts()["holder"], flush=True)
    time.sleep(600)
"""


def board(lab: Lab, folder: Path, **fields: object) -> Board:
    return read_boards(lab.boards_file(folder / "boards.toml", **(fields or {"tags": [TAG]})))["shelf"]


def link_to(lab: Lab, folder: Path, wait: float = 0.2, **fields: object) -> BoardLink:
    return BoardLink(board(lab, folder, **fields), claim=Claim("run tonight", wait))


def holders(lab: Lab) -> dict[str, str]:
    """Return who has acquired which place, by labgrid's own client."""
    lines = [line.split() for line in lab.client("who").splitlines()[1:]]
    return {place: f"{host}/{user}" for user, host, place, *_ in lines}


def is_all_free(lab: Lab) -> bool:
    return holders(lab) == {} and lab.client("reservations").strip() == ""


def test_a_place_is_acquired_reached_with_our_keys_and_given_back(lab: Lab, tmp_path: Path) -> None:
    with link_to(lab, tmp_path, place="b") as link:
        facts = link.facts()
        assert (facts["place"], facts["place_tags"]) == ("b", {"board": "rk3588"})
        assert facts["device"] == "virtual"
        assert (link.board.port, link.board.user) == (lab.boards["b"].port, "board")
        assert holders(lab) == {"b": facts["holder"]}
        assert ".run-tonight." in facts["holder"]
    assert is_all_free(lab)
    assert not list((tmp_path / "cache").rglob("*.lock"))


def test_places_by_tags_are_handed_out_once_each(lab: Lab, tmp_path: Path) -> None:
    with link_to(lab, tmp_path) as one, link_to(lab, tmp_path) as two:
        assert {one.facts()["place"], two.facts()["place"]} == set(PLACES)
        with pytest.raises(
            BoardBusyError, match=r"No place with board=rk3588 was free within 0\.2 s"
        ) as caught:
            link_to(lab, tmp_path).__enter__()
        assert one.facts()["holder"] in str(caught.value)
        waiting: list[str] = []

        def wait() -> None:
            with link_to(lab, tmp_path, wait=60.0) as three:
                waiting.append(three.facts()["place"])

        thread = threading.Thread(target=wait)
        thread.start()
        freed = one.facts()["place"]
        time.sleep(1.0)
        assert not waiting
        one.__exit__(None, None, None)
        thread.join(30)
        assert waiting == [freed]
    assert is_all_free(lab)


def test_power_is_cycled_by_the_place_s_own_driver(lab: Lab, tmp_path: Path) -> None:
    with link_to(lab, tmp_path, place="a") as link:
        assert link.revive(ConnectionLostError("It is silent."))
        link.session()
    assert lab.switched == ["/relay/1/0", "/relay/1/1"]


def test_a_place_without_a_power_port_is_cycled_by_the_entry_s_command(lab: Lab, tmp_path: Path) -> None:
    done = tmp_path / "done"
    with link_to(lab, tmp_path, place="b", power_command=["touch", str(done)]) as link:
        assert link.revive(ConnectionLostError("It is silent."))
    assert done.exists()
    with link_to(lab, tmp_path, place="b") as link:
        assert not link.revive(ConnectionLostError("It is silent."))
    assert lab.switched == []


@contextlib.contextmanager
def dead_holder(lab: Lab, folder: Path) -> Iterator[str]:
    """Yield the identity of a process that was killed while it held a place."""
    boards = lab.boards_file(folder / "dying.toml", place="a")
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(boards)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        identity = process.stdout.readline().strip()
        process.kill()
        process.wait()
    assert holders(lab) == {"a": identity}
    yield identity


def test_what_a_dead_run_of_ours_holds_is_freed_by_name(
    lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with dead_holder(lab, tmp_path) as identity:
        # Nobody would free it otherwise, and its reservation would last for another minute.
        with link_to(lab, tmp_path, wait=5.0, place="a") as link:
            assert link.facts()["holder"] != identity
        assert f"The place a was freed: {identity} is dead." in caplog.text
    assert is_all_free(lab)


def test_what_others_hold_is_left_to_them(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dead_holder(lab, tmp_path) as identity:
        with monkeypatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(tmp_path / "another user's"))
            with pytest.raises(BoardBusyError, match="a by "):
                link_to(lab, tmp_path, place="a").__enter__()
        assert holders(lab) == {"a": identity}
        with link_to(lab, tmp_path, place="a", wait=5.0):
            pass
    with link_to(lab, tmp_path, place="a") as living:
        with pytest.raises(BoardBusyError):
            link_to(lab, tmp_path, place="a").__enter__()
        living.session()


def test_a_place_without_its_exporter_is_handed_back_and_reported(lab: Lab, tmp_path: Path) -> None:
    lab.kill("exporter")
    try:
        with pytest.raises(BoardRefusedError, match="The place b has no NetworkService: its exporter is not"):
            link_to(lab, tmp_path, place="b").__enter__()
        assert is_all_free(lab)
    finally:
        lab.start_exporter()


def use_for_a_while(link: BoardLink, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        link.session()
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("exporter", "has no NetworkService: its exporter is not connected"),
        ("coordinator", "is gone, and nobody"),
    ],
)
def test_a_lost_exporter_or_coordinator_is_an_infrastructure_error(
    program: str, expected: str, lab: Lab, tmp_path: Path
) -> None:
    with link_to(lab, tmp_path, place="a") as link:
        link.session()
        lab.kill(program)
        try:
            with pytest.raises(InfraError, match=expected):
                use_for_a_while(link)
            assert link.lost is not None
        finally:
            if program == "coordinator":
                lab.kill("exporter")
                lab.start_coordinator()
            lab.start_exporter()
    with link_to(lab, tmp_path, wait=20.0, place="a") as again:
        again.session()
    assert is_all_free(lab)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"place": "c"}, r"has no place with name=c; there are a, b\."),
        ({"tags": ["board=rv1106"]}, r"has no place with board=rv1106; there are a, b\."),
        ({"place": "a", "coordinator": "127.0.0.1:1"}, r"The coordinator 127\.0\.0\.1:1 cannot be reached"),
    ],
)
def test_what_is_not_there_is_refused_at_once(
    fields: dict[str, object], expected: str, lab: Lab, tmp_path: Path
) -> None:
    with pytest.raises(InfraError, match=expected):
        link_to(lab, tmp_path, wait=600.0, **fields).__enter__()
    assert is_all_free(lab)
    assert not list((tmp_path / "cache").rglob("*.lock"))

"""Entries of places that labgrid hands out; what needs a coordinator is in tests/labgrid."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.board_state import State, board_states
from rknn_harness.boards.boards_file import Board, read_boards
from rknn_harness.errors import BoardRefusedError, BoardsFileError


def entry(folder: Path, *lines: str) -> Board:
    path = folder / "boards.toml"
    path.write_text("\n".join(["[board.shelf]", 'kind = "labgrid"', *lines, ""]))
    return read_boards(path)["shelf"]


COORDINATOR = 'coordinator = "lab.example:20408"'


def test_an_entry_names_a_place_or_the_tags_that_one_must_have(tmp_path: Path) -> None:
    board = entry(tmp_path, COORDINATOR, 'place = "rock5b-1"', 'tags = ["rk3588"]', 'key = "key"')
    assert board.options == {"coordinator": "lab.example:20408", "place": "rock5b-1"}
    assert (board.tags, board.key) == (("rk3588",), tmp_path / "key")
    board = entry(tmp_path, COORDINATOR, 'tags = ["board=rk3588", "site=desk"]')
    assert (board.options["place"], board.tags) == ("", ("board=rk3588", "site=desk"))
    assert (board.kind, board.port, board.made_for_each_use) == ("labgrid", 0, False)
    assert board_states({"shelf": board}, 5.0)["shelf"].state is State.ON_REQUEST


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "coordinator is missing"),
        (['coordinator = "lab.example"'], "coordinator is 'lab.example', not HOST:PORT"),
        ([COORDINATOR], "place is missing, and so are tags"),
        ([COORDINATOR, 'tags = ["rk3588"]'], "tags has 'rk3588'; without a place each is NAME=VALUE"),
        ([COORDINATOR, 'tags = ["board=a b"]'], "tags has 'board=a b'"),
        ([COORDINATOR, 'place = "a"', 'host = "a.example"'], "host is no field of a board"),
    ],
)
def test_an_entry_that_names_no_place_is_refused(lines: list[str], expected: str, tmp_path: Path) -> None:
    with pytest.raises(BoardsFileError, match=expected):
        entry(tmp_path, *lines)


def test_without_labgrid_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "labgrid.driver", None)
    monkeypatch.delitem(sys.modules, "rknn_harness.boards.labgrid_place", raising=False)
    hook = sys.excepthook
    with pytest.raises(BoardRefusedError, match=r"python3 -m pip install 'rknn-harness\[labgrid\]'"):
        BoardLink(entry(tmp_path, COORDINATOR, 'place = "a"')).__enter__()
    assert sys.excepthook is hook

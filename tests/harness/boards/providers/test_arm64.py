"""What of the arm64 board needs no root; tests/arm64 has the rest."""

from __future__ import annotations

import fcntl
from pathlib import Path

import attrs
import pytest

from rknn_harness.boards.boards_file import Board, read_boards
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers import arm64
from rknn_harness.boards.providers.arm64 import arm64_boards, boards_file
from rknn_harness.boards.providers.provider import provider_of
from rknn_harness.errors import BoardBusyError, BoardsFileError, VirtualBoardError


def test_a_boards_file_reads_back(tmp_path: Path) -> None:
    board = Board(
        name="arm64-2.3.2",
        host="127.0.0.1",
        port=40022,
        user="board",
        key=tmp_path / 'a "key"',
        known_hosts=tmp_path / "known_hosts",
        python="/opt/rknnlite/2.3.2/bin/python3",
        tags=("rk3588", "arm64"),
    )
    other = attrs.evolve(board, name="arm64-2.5.0")
    file = tmp_path / "boards.toml"
    file.write_text(boards_file({board.name: board, other.name: other}))
    found = read_boards(file)
    assert (found["arm64-2.3.2"], found["arm64-2.5.0"]) == (board, other)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda name: None if "qemu" in name else name)
    with (
        pytest.raises(VirtualBoardError, match="needs Debian's qemu-user-static"),
        arm64_boards(tmp_path, tmp_path),
    ):
        pass
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert arm64.missing() == "the arm64 board needs root"


def test_a_folder_that_is_no_tree_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm64, "missing", lambda: "")
    with pytest.raises(VirtualBoardError, match="make one with containers/arm64/make-tree"):
        with arm64_boards(tmp_path, tmp_path):
            pass


def test_an_entry_names_a_tree_and_a_version(tmp_path: Path) -> None:
    file = tmp_path / "boards.toml"
    file.write_text('[board.arm]\nkind = "arm64"\ntree = "build/arm64"\nversion = "2.3.2"\n')
    board = read_boards(file)["arm"]
    assert board.options == {"tree": str(tmp_path / "build/arm64"), "version": "2.3.2"}
    assert (board.virtual, board.device, board.made_for_each_use) == (True, "npu", False)
    file.write_text('[board.arm]\nkind = "arm64"\ntree = "build/arm64"\n')
    with pytest.raises(BoardsFileError, match=r"\[board.arm\] version is missing"):
        read_boards(file)


def test_a_tree_that_runs_a_board_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm64, "missing", lambda: "")
    (tmp_path / "opt/rknnlite/2.3.2").mkdir(parents=True)
    options = {"tree": str(tmp_path), "version": "2.3.2"}
    provider = provider_of(Board(name="arm", kind="arm64", options=options, port=0))
    with (tmp_path / ".board.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BoardBusyError, match="runs an arm64 board"):
            provider.acquire(tmp_path / "keys", Claim())
    provider.release()

"""Files on a board: sent once, read back, never half."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.channel import RunnerChannel
from rknn_harness.boards.session.file_calls import FileCalls
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import ConnectionLostError, ProvisioningError
from tests.harness.boards.fault_proxy import FaultProxy
from tests.harness.boards.small_disk import small_disk


@pytest.fixture
def files(board: Board, stand_in: Path) -> Iterator[FileCalls]:
    with BoardSession(board, runtime=stand_in) as session:
        yield session.files


@pytest.fixture
def home(board: Board) -> Path:
    return board.key.parent / "home" / ".cache/rknn-harness"


def through(proxy: FaultProxy, board: Board, folder: Path) -> Board:
    known = folder / "known_hosts"
    known.write_text(board.known_hosts.read_text().replace(f":{board.port} ", f":{proxy.port} "))
    return attrs.evolve(board, port=proxy.port, known_hosts=known)


@pytest.mark.parametrize("size", [0, 1000, 300_000, 9 << 20])
def test_files_arrive_and_a_damaged_one_is_mended(
    files: FileCalls, home: Path, tmp_path: Path, size: int
) -> None:
    (tmp_path / "file").write_bytes(b"in a file")
    contents = {"b c": os.urandom(size), "empty": b"", "file": b"in a file"}
    given: dict[str, Path | bytes] = {**contents, "file": tmp_path / "file"}
    for _ in range(2):
        folder = files.put(given)
        assert {path.name: path.read_bytes() for path in (home / folder).iterdir()} == contents
        (home / folder / "file").write_bytes(b"damaged")
    (home / folder / "file").unlink()
    assert files.put(contents) == folder
    assert (home / folder / "file").read_bytes() == b"in a file"
    assert not list((home / folder).parent.glob(".*"))


def test_large_files_are_not_sent_again(files: FileCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ask = RunnerChannel.ask

    def watched(self: RunnerChannel, op: str, deadline: float, arrays: Any = None, **fields: Any) -> Any:
        asked.append(op)
        return ask(self, op, deadline, arrays, **fields)

    monkeypatch.setattr(RunnerChannel, "ask", watched)
    content = os.urandom(9 << 20)
    folder = files.put({"content": content})
    assert files.put({"content": content}) == folder
    assert asked == ["digests", "store", "store", "store", "digests"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\nb", "a\0b", "\x1b[0m", "/etc/passwd"])
def test_a_name_that_leaves_its_folder_is_refused(files: FileCalls, name: str) -> None:
    with pytest.raises(ValueError, match="bare file name"):
        files.put({name: b""})


@pytest.mark.parametrize(
    "name",
    [
        *("a b", "'", '"', "$(touch pwned)", "`touch pwned`", "-rf", "--", "-", "*"),
        *("a;b", "~", "\\", "%s", "é", "|x"),
    ],
)
def test_any_other_name_is_just_a_name(files: FileCalls, home: Path, name: str) -> None:
    folder = files.put({name: name.encode()})
    assert os.listdir(home / folder) == [name]
    assert (home / folder / name).read_bytes() == name.encode()
    assert files.put({name: name.encode()}) == folder
    assert not list(home.parent.parent.rglob("pwned"))


def test_a_full_disk_is_an_error_and_nothing_is_left(board: Board, stand_in: Path) -> None:
    small = board.key.parent / "home" / "small"
    with small_disk(small):
        own = attrs.evolve(board, work_folder="small")
        with (
            BoardSession(own, runtime=stand_in) as session,
            pytest.raises(ProvisioningError, match=r"No space left.*the disk has room"),
        ):
            session.files.put({"large": os.urandom(2 << 20)})
        assert not list(small.rglob("large"))
        with BoardSession(own, runtime=stand_in) as session:
            session.files.put({"small": b"fits"})


def test_a_folder_that_may_not_be_written_is_an_error(board: Board) -> None:
    with (
        pytest.raises(ProvisioningError, match=r"into /proc/none \(.*No such file.*may write there"),
        BoardSession(attrs.evolve(board, work_folder="/proc/none")),
    ):
        pass


def test_a_start_that_is_cut_is_begun_anew(
    board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        FaultProxy(board.port, cut_after=1 << 16) as proxy,
        BoardSession(
            attrs.evolve(through(proxy, board, tmp_path), work_folder=str(tmp_path / "work"))
        ) as session,
    ):
        assert proxy.connections == 2
        assert session.greeting["protocol"]
    assert "The connection to virtual" in caplog.text


def test_a_start_that_is_always_cut_is_given_up_and_leaves_no_runner(board: Board, tmp_path: Path) -> None:
    with FaultProxy(board.port, cut_after=1 << 16, cuts=99) as proxy:
        own = attrs.evolve(through(proxy, board, tmp_path), work_folder=str(tmp_path / "work"))
        with pytest.raises(ConnectionLostError, match="while the runner was started"), BoardSession(own):
            pass
        assert proxy.connections == 3
    assert not list(tmp_path.rglob("runner.pyz*"))


def test_a_transfer_that_is_cut_ends_the_session_and_leaves_nothing_that_counts(
    board: Board, stand_in: Path, tmp_path: Path
) -> None:
    with FaultProxy(board.port, cut_after=3 << 20) as proxy:
        own = through(proxy, board, tmp_path)
        with (
            BoardSession(own, runtime=stand_in) as session,
            pytest.raises(ConnectionLostError, match="'store'"),
        ):
            session.files.put({"other": os.urandom(6 << 20)})
    assert not list(board.key.parent.glob("home/.cache/*/artifacts/*/[!.]*/other"))

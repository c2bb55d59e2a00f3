"""Files on a board: sent once, read back, never half."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.boards.ssh.file_transfer import FileTransfer
from rknn_harness.errors import ConnectionLostError, ProvisioningError
from tests.harness.boards.fault_proxy import FaultProxy
from tests.harness.boards.small_disk import small_disk


@pytest.fixture
def files(board: Board) -> Iterator[FileTransfer]:
    with Connection(board) as opened:
        yield FileTransfer(opened)


@pytest.fixture
def home(board: Board) -> Path:
    return board.key.parent / "home" / ".cache/rknn-harness"


def through(proxy: FaultProxy, board: Board, folder: Path) -> Board:
    known = folder / "known_hosts"
    known.write_text(board.known_hosts.read_text().replace(f":{board.port} ", f":{proxy.port} "))
    return attrs.evolve(board, port=proxy.port, known_hosts=known)


def test_files_arrive_and_are_not_sent_again(
    files: FileTransfer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"in a file")
    content = os.urandom(100_000)
    folder = files.put({"one": content, "two": tmp_path / "file"})
    assert (home / folder / "one").read_bytes() == content
    assert (home / folder / "two").read_bytes() == b"in a file"

    def sent(*_: object) -> None:
        raise AssertionError("sent again")

    with monkeypatch.context() as patch:
        patch.setattr(FileTransfer, "_send", sent)
        assert files.put({"two": b"in a file", "one": content}) == folder
    (home / folder / "one").write_bytes(b"damaged")
    files.put({"one": content, "two": b"in a file"})
    assert (home / folder / "one").read_bytes() == content
    assert not list((home / folder).parent.glob(".*"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "a\nb", "a\0b", "\x1b[0m", "/etc/passwd"])
def test_a_name_that_leaves_its_folder_is_refused(files: FileTransfer, name: str) -> None:
    with pytest.raises(ValueError, match="bare file name"):
        files.put({name: b""})


@pytest.mark.parametrize(
    "name",
    [
        *("a b", "'", '"', "$(touch pwned)", "`touch pwned`", "-rf", "--", "-", "*"),
        *("a;b", "~", "\\", "%s", "é", "|x"),
    ],
)
def test_any_other_name_is_just_a_name(files: FileTransfer, home: Path, name: str) -> None:
    folder = files.put({name: name.encode()})
    assert os.listdir(home / folder) == [name]
    assert (home / folder / name).read_bytes() == name.encode()
    assert files.put({name: name.encode()}) == folder
    assert not list(home.parent.parent.rglob("pwned"))


def test_a_full_disk_is_an_error_and_nothing_is_left(board: Board) -> None:
    small = board.key.parent / "home" / "small"
    with small_disk(small), Connection(attrs.evolve(board, work_folder="small")) as connection:
        with pytest.raises(ProvisioningError, match="has room: Filesystem"):
            FileTransfer(connection).put({"large": os.urandom(2 << 20)})
        assert not [path for path in small.rglob("*") if path.is_file()]
        FileTransfer(connection).put({"small": b"fits"})


def test_a_folder_that_may_not_be_written_is_an_error(board: Board) -> None:
    with (
        Connection(attrs.evolve(board, work_folder="/proc/none")) as connection,
        pytest.raises(ProvisioningError, match="may write there"),
    ):
        FileTransfer(connection).put({"a": b""})


def test_a_transfer_that_is_cut_is_begun_anew(
    board: Board, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = os.urandom(2 << 20)
    with (
        FaultProxy(board.port, cut_after=1 << 20) as proxy,
        Connection(through(proxy, board, tmp_path)) as connection,
    ):
        folder = FileTransfer(connection).put({"content": content})
        assert proxy.connections == 2
    (written,) = board.key.parent.glob(f"home/.cache/*/{folder}/*")
    assert written.read_bytes() == content
    assert "The connection to virtual failed" in caplog.text


def test_a_transfer_that_is_always_cut_is_given_up_and_leaves_nothing_that_counts(
    board: Board, tmp_path: Path
) -> None:
    with (
        FaultProxy(board.port, cut_after=1 << 20, cuts=99) as proxy,
        Connection(through(proxy, board, tmp_path), attempts=2) as connection,
    ):
        with pytest.raises(ConnectionLostError, match="sending files"):
            FileTransfer(connection).put({"other": os.urandom(2 << 20)})
        assert proxy.connections == 2
    assert not list(board.key.parent.glob("home/.cache/*/artifacts/*/[!.]*/other"))

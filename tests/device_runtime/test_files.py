from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scirknn import files
from scirknn.files import open_atomically, open_new, sha256_of_bytes, sha256_of_file, write_atomically


@pytest.fixture
def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("content", "expected"), [(b"\0\r\n", b"\0\r\n"), ("é\r\n", b"\xc3\xa9\r\n")])
def test_bytes_and_text_are_written_as_they_are(
    tmp_path: Path, content: bytes | str, expected: bytes
) -> None:
    write_atomically(str(tmp_path / "file"), content)
    assert (tmp_path / "file").read_bytes() == expected
    assert names(tmp_path) == ["file"]


def test_the_new_content_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a longer content of before")
    with open_atomically(path) as file:
        file.write(b"new")
        assert path.read_text() == "a longer content of before"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["file"]


def test_a_relative_path_without_folder_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomically("file", "new")
    assert names(tmp_path) == ["file"]


def test_content_and_folder_are_synchronized_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(descriptor: int) -> None:
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file"
        steps.append(f"fsync {kind} of {os.fstat(descriptor).st_size if kind == 'file' else 'names'}")
        fsync(descriptor)

    def record_replace(source: str, target: str) -> None:
        steps.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    write_atomically(tmp_path / "file", "12345")
    assert steps == ["fsync file of 5", "rename", "fsync folder of names"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_no_temporary_one(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with open_atomically(path) as file:
            file.write(b"ne")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_failed_rename_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", "new")
    assert names(tmp_path) == []


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "none" / "file", "new")
    assert caught.value.filename == str(tmp_path / "none" / "file")


def test_a_new_file_replaces_nothing_and_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("link", "file"):
        (tmp_path / "file").write_bytes(b"old")
        with pytest.raises(FileExistsError), open_new(tmp_path / name):
            pytest.fail("it was opened")
    assert names(tmp_path) == ["file", "link"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_folder_of_that_name_is_an_error_and_stays(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path / "file", "new")
    assert names(tmp_path) == ["file"]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to("elsewhere/target")
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert names(tmp_path / "elsewhere") == ["target"]


def test_the_missing_target_of_a_link_is_created(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


@pytest.mark.parametrize("kind", ["link", "fifo", "file"])
def test_without_following_links_whatever_has_the_name_is_replaced(tmp_path: Path, kind: str) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    other.write_text("another's")
    if kind == "link":
        path.symlink_to(other)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("old")
    write_atomically(path, "new", follow_links=False)
    assert path.is_file()
    assert not path.is_symlink()
    assert path.read_text() == "new"
    assert other.read_text() == "another's"


def test_a_fifo_is_written_into_and_stays(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    write_atomically(fifo, "new")
    reader.join(60)
    assert read == [b"new"]
    assert fifo.is_fifo()
    assert names(tmp_path) == ["fifo"]


def test_a_device_is_written_into_and_stays(tmp_path: Path) -> None:
    (tmp_path / "null").symlink_to("/dev/null")
    write_atomically(tmp_path / "null", "new")
    assert Path("/dev/null").is_char_device()
    assert names(tmp_path) == ["null"]


def test_a_pipe_behind_dev_stdout_is_written_into() -> None:
    code = "from scirknn.files import write_atomically as w; w('/dev/stdout', 'new')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=120, check=True)
    assert done.stdout == b"new"


def test_an_unnamed_file_behind_a_link_is_written_into() -> None:
    descriptor = os.memfd_create("unnamed")
    try:
        write_atomically(f"/proc/self/fd/{descriptor}", "new")
        assert os.pread(descriptor, 10, 0) == b"new"
    finally:
        os.close(descriptor)


def test_a_new_file_has_the_permissions_that_the_umask_leaves(tmp_path: Path, umask: int) -> None:
    write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o666 & ~umask


def test_the_permissions_of_an_existing_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o604)
    write_atomically(path, "new")
    assert path.stat().st_mode & 0o7777 == 0o604


def test_given_permissions_hold_before_the_content_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    with open_atomically(path, mode=0o600):
        (temporary,) = tmp_path.glob(".file.*.part")
        assert temporary.stat().st_mode & 0o7777 == 0o600
    assert path.stat().st_mode & 0o7777 == 0o600


def test_a_name_of_255_bytes_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("é" * 127 + "x")
    write_atomically(path, "new")
    assert path.read_text() == "new"


def test_one_of_several_writers_content_stays_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [str(number) * 100_000 for number in range(8)]
    threads = [threading.Thread(target=write_atomically, args=(path, text)) for text in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert path.read_text() in contents
    assert names(tmp_path) == ["file"]


def test_digests_of_bytes_and_of_a_file_agree(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(content)
    expected = hashlib.sha256(content).hexdigest()
    assert sha256_of_bytes(content) == expected
    assert sha256_of_file(tmp_path / "file") == expected


def test_the_module_needs_no_numpy() -> None:
    code = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('files', {files.__file__!r})\n"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        "assert 'numpy' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-S", "-c", code], timeout=120, check=True)

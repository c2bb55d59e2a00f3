"""Temporary folders: removed by their owner, or once it is dead, and never while it lives."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from scirknn.temporary import TemporaryFolder, remove_folders_of_the_dead

OWNER = """
import os, signal, sys
from scirknn.temporary import TemporaryFolder
folder = TemporaryFolder(sys.argv[1])
(folder.path / "file").write_text("left")
print(folder.path, flush=True)
if sys.argv[2] == "dies":
    os.kill(os.getpid(), signal.SIGKILL)
elif sys.argv[2] == "waits":
    sys.stdin.read()
"""


def owner(place: Path, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OWNER, str(place), what]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_folder_is_private_and_gone_at_the_end(tmp_path: Path) -> None:
    with TemporaryFolder(tmp_path) as folder:
        (folder / "a").mkdir()
        (folder / "a" / "file").write_text("text")
        (root,) = tmp_path.iterdir()
        assert root.stat().st_mode & 0o777 == 0o700
        assert root in folder.parents
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_killed_process_is_removed_at_the_next_start(tmp_path: Path) -> None:
    with owner(tmp_path, "dies") as process:
        process.wait()
    assert len(list(tmp_path.iterdir())) == 1
    with TemporaryFolder(tmp_path):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_a_living_process_stays(tmp_path: Path) -> None:
    with owner(tmp_path, "waits") as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        with TemporaryFolder(tmp_path):
            assert (folder / "file").read_text() == "left"
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    assert list(tmp_path.iterdir()) == []  # who ends as programs do removes it without being asked to


INTERRUPTED = """
import os, signal, sys
from scirknn.temporary import TemporaryFolder
signal.signal(signal.SIGINT, signal.default_int_handler)  # some who start tests have it ignored
left = int(sys.argv[2])
def interrupt(event, arguments):
    global left
    if event in ("os.mkdir", "open", "fcntl.flock"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(interrupt)
try:
    TemporaryFolder(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("change", [1, 2, 3, 4])
def test_a_folder_whose_making_is_interrupted_is_removed_at_the_end(tmp_path: Path, change: int) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path), str(change)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
    assert list(tmp_path.iterdir()) == []


def test_a_fork_removes_nothing_of_its_parent(tmp_path: Path) -> None:
    owned = TemporaryFolder(tmp_path)
    if not (child := os.fork()):
        try:
            owned.remove()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert owned.path.exists()
    owned.remove()
    owned.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["scirknn-temporary-", "scirknn-temporary-notes-of-mine", "scirknn-temporary-ABCDEFGH", "tmpabcdefgh"],
)
def test_a_folder_of_another_name_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    remove_folders_of_the_dead(tmp_path)
    assert (tmp_path / name).exists()


def test_a_link_and_a_file_of_such_a_name_stay_and_are_not_followed(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    (others / "file").write_text("text")
    place = tmp_path / "place"
    place.mkdir()
    (place / "scirknn-temporary-abcdefgh").symlink_to(others)
    (place / "scirknn-temporary-abcdefg_").write_text("text")
    remove_folders_of_the_dead(place)
    assert len(list(place.iterdir())) == 2
    assert (others / "file").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a folder of somebody else")
def test_a_folder_of_another_user_stays(tmp_path: Path) -> None:
    folder = tmp_path / "scirknn-temporary-abcdefgh"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    remove_folders_of_the_dead(tmp_path)
    assert folder.exists()


def test_links_in_a_folder_are_not_followed_when_it_is_removed(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    (others / "file").write_text("text")
    others.chmod(0o500)
    with TemporaryFolder(tmp_path) as folder:
        (folder / "link").symlink_to(others)
    assert (others / "file").read_text() == "text"
    assert others.stat().st_mode & 0o777 == 0o500


def test_a_folder_can_be_locked_by_its_owner(tmp_path: Path) -> None:
    # As the writer of a bundle locks the bundle's folder.
    with TemporaryFolder(tmp_path) as folder:
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


def test_threads_that_make_folders_at_once_keep_theirs(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def use() -> None:
        try:
            for _ in range(50):
                with TemporaryFolder(tmp_path) as folder:
                    (folder / "file").write_text("mine")
                    assert (folder / "file").read_text() == "mine"
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list(tmp_path.iterdir()) == []

"""Temporary folders that nobody has to remove: the next start removes those of dead processes; no numpy."""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Union

_PREFIX = "scirknn-temporary-"
_NAME = re.compile(_PREFIX + r"[a-z0-9_]{8}")

_PathLike = Union[str, "os.PathLike[str]"]


class TemporaryFolder:
    """A private temporary folder; a context manager that yields its path and removes it.

    Its owner holds a lock on it, which the kernel gives up with the owner's last process: a folder without
    one is removed when the next is made in the same place. Where the file system has no locks, such folders
    stay.

    Parameters
    ----------
    parent : path-like, optional
        Where to make it; by default the system's temporary folder.

    Attributes
    ----------
    path : pathlib.Path

    Raises
    ------
    OSError
        It cannot be made.
    """

    def __init__(self, parent: _PathLike | None = None) -> None:
        place = os.path.realpath(tempfile.gettempdir() if parent is None else parent)
        remove_folders_of_the_dead(place)
        self._process, self._descriptor, self._owned = os.getpid(), -1, ""
        # First, for an owner that is interrupted while it makes the folder or cleans up; and a name is chosen
        # before there is such a folder.
        atexit.register(self.remove)
        while self._descriptor < 0:
            self._owned = os.path.join(place, _PREFIX + secrets.token_hex(4))
            with contextlib.suppress(FileExistsError):
                os.mkdir(self._owned, 0o700)
                self._descriptor = _locked(self._owned)
        # Another folder than the locked one: who writes a bundle locks its folder too.
        self.path = Path(self._owned, "files")
        self.path.mkdir(0o700)

    def remove(self) -> None:
        """Remove it with all that it holds; more than once, or in a fork, does nothing."""
        if self._owned and self._process == os.getpid():
            if self._descriptor >= 0:
                remove_folder(self._owned)
                descriptor, self._descriptor = self._descriptor, -1
                os.close(descriptor)
            else:  # its making was interrupted
                with contextlib.suppress(OSError):
                    _remove_if_dead(self._owned)
            self._owned = ""
            atexit.unregister(self.remove)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()


def _locked(path: str) -> int:
    """Return a descriptor that holds the folder's lock; -1 where it was removed as one of a dead process."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return -1
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.path.exists(path):
        return descriptor
    os.close(descriptor)
    return -1


def remove_folders_of_the_dead(place: _PathLike) -> None:
    """Remove this user's temporary folders in `place` whose owners have ended."""
    with contextlib.suppress(OSError):
        for name in filter(_NAME.fullmatch, os.listdir(place)):
            with contextlib.suppress(OSError):
                _remove_if_dead(os.path.join(place, name))


def _remove_if_dead(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(descriptor).st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its owner lives
            remove_folder(path)
    finally:
        os.close(descriptor)


def remove_folder(path: _PathLike) -> None:
    """Remove a folder with all that it holds; links are not followed. What cannot be removed stays."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    except RecursionError:  # folders in folders, deeper than Python's stack
        subprocess.run(["rm", "-rf", "--", os.fspath(path)], stderr=subprocess.DEVNULL, check=False)

"""What guards a run's folder: one run at a time writes to it, and to it alone."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rknn_harness.errors import RunFolderError
from scirknn.files import write_atomically
from scirknn.text import cause_of, printable

_NAME = "run.lock"


class RunLock:
    """Hold a run's folder until `release`, or until this process ends.

    Parameters
    ----------
    path : pathlib.Path
        The run's folder.

    Raises
    ------
    RunFolderError
        Another run holds it; the text names its process. Or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = path / _NAME
        try:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise RunFolderError(f"{path} is not a run's folder: {cause_of(error)}.") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = printable(os.pread(self._descriptor, 200, 0).decode("utf-8", "replace"))
            os.close(self._descriptor)
            raise RunFolderError(
                f"{path} is being written by {holder or 'another run'}. Wait until that run ends, or end it."
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)

    def release(self) -> None:
        """Let others write; more than once does no harm."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            os.unlink(self._file)
        os.close(self._descriptor)
        self._descriptor = -1


def refuse_link(folder: Path) -> None:
    """Refuse a link in place of a folder of a run that is written to.

    Raises
    ------
    RunFolderError
    """
    if folder.is_symlink():
        raise RunFolderError(f"{folder} is a link, and a run is written to its own folder alone. Remove it.")


def write_inside(path: Path, text: str) -> None:
    """Write a file of a run's folder, completely or not at all; a link that has its name is replaced.

    Raises
    ------
    OSError
    """
    write_atomically(path, text, follow_links=False)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON object with `write_inside`, in lines that people can read."""
    write_inside(path, json.dumps(document, indent=1) + "\n")

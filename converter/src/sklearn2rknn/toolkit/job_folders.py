"""The folders that jobs pass through: input for the worker to read, and output, which is not trusted.

A worker may leave anything under the name of a result: a link to a file of this machine, a FIFO that nobody
writes to, a device, a file of any length. So a result is opened without opening anything else first, through
the descriptor of a folder that the worker cannot replace, and read only once it is known to be a regular file
of a size that can be right.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from scirknn.temporary import TemporaryFolder, remove_folder
from sklearn2rknn.errors import WorkerOutputError

_KINDS = {
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFLNK: "a link",
    stat.S_IFSOCK: "a socket",
}


class WorkerFolders:
    """A worker's folders, below a private one: it may read `input` and write to `output` and `scratch`.

    Parameters
    ----------
    parent : path-like, optional
        Where they are made; by default the system's temporary folder.

    Attributes
    ----------
    input, output, scratch : pathlib.Path
        A worker in a container has a scratch folder of its own.
    """

    def __init__(self, parent: str | os.PathLike[str] | None = None) -> None:
        self._owned = TemporaryFolder(parent)
        self.input, self.output, self.scratch = (
            self._owned.path / name for name in ("input", "output", "scratch")
        )
        self._count = 0
        try:
            # In a container the worker is user nobody. Sticky: it cannot replace a job's folder.
            for folder, mode in ((self.input, 0o755), (self.output, 0o1777), (self.scratch, 0o700)):
                _make_folder(folder, mode)
        except BaseException:
            self.remove()
            raise

    @contextlib.contextmanager
    def job(self) -> Iterator[JobFolders]:
        """Make a job's folders; they are removed at the end."""
        self._count += 1
        source, result = (each / f"job-{self._count}" for each in (self.input, self.output))
        with contextlib.ExitStack() as stack:
            for folder, mode in ((source, 0o755), (result, 0o777)):
                stack.callback(remove_folder, folder)
                _make_folder(folder, mode)
            descriptor = os.open(result, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            stack.callback(os.close, descriptor)
            yield JobFolders(source, result, descriptor)

    def remove(self) -> None:
        """Remove them; the worker has ended."""
        self._owned.remove()


@attrs.frozen
class JobFolders:
    """One job's folders.

    Attributes
    ----------
    input, output : pathlib.Path
    descriptor : int
        Of the output folder.
    """

    input: Path
    output: Path
    descriptor: int

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Open a new file of the input, which the worker may read whatever the umask."""
        with open(self.input / name, "xb") as file:
            os.fchmod(file.fileno(), 0o644)
            yield file

    def exists(self, name: str) -> bool:
        """Whether the worker left anything under this name."""
        return name in os.listdir(self.descriptor)

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file that the worker wrote.

        Parameters
        ----------
        name : str
        limit : int
            Bytes that it may have.

        Raises
        ------
        WorkerOutputError
            It is missing, is no regular file, or is larger. Nothing of it was read.
        """
        try:
            place = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=self.descriptor)
        except FileNotFoundError:
            raise WorkerOutputError(f"{name} is missing.") from None
        try:
            mode, size = os.fstat(place).st_mode, os.fstat(place).st_size
            if not stat.S_ISREG(mode):
                kind = _KINDS[stat.S_IFMT(mode)]
                raise WorkerOutputError(f"{name} is {kind}, not a regular file. It was not read.")
            if size > limit:
                raise WorkerOutputError(f"{name} has {size} bytes, more than {limit}. It was not read.")
            # A descriptor's own name leads to its file, whatever has the file's name now.
            with open(f"/proc/self/fd/{place}", "rb", buffering=0) as file:
                return _read(file, name, size)
        except OSError as error:
            raise WorkerOutputError(f"{name} cannot be read: {error.strerror}.") from error
        finally:
            os.close(place)


def _make_folder(folder: Path, mode: int) -> None:
    """Make a folder with these permissions, whatever the umask."""
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _read(file: BinaryIO, name: str, size: int) -> bytes:
    """Return a file's bytes; it must not change meanwhile."""
    blocks, left = [], size + 1
    while block := file.read(min(left, 1 << 24)):
        blocks.append(block)
        left -= len(block)
    if left != 1:
        raise WorkerOutputError(f"{name} changed while it was read.")
    return b"".join(blocks)

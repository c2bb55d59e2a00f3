"""Write files that appear complete or not at all, read those of others, compute digests; no numpy."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
from typing import BinaryIO, Iterator, Union

_PathLike = Union[str, "os.PathLike[str]"]
_NAME_CHARACTERS = 40  # of the target's name in the temporary one: a name has at most 255 bytes
_BLOCK_BYTES = 1 << 20


def write_atomically(
    path: _PathLike, content: bytes | str, *, mode: int | None = None, follow_links: bool = True
) -> None:
    """Write bytes or text to a file, completely or not at all.

    Parameters
    ----------
    path, mode, follow_links
        As for `open_atomically`.
    content : bytes or str
        Text is written as UTF-8, its line ends as they are.
    """
    with open_atomically(path, mode=mode, follow_links=follow_links) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextlib.contextmanager
def open_atomically(
    path: _PathLike, *, mode: int | None = None, follow_links: bool = True
) -> Iterator[BinaryIO]:
    """Open a binary file that replaces `path` when the block ends without an error.

    The content goes to a temporary file beside the target, is synchronized with the disk and renamed. After
    an error, or an interrupt, the target is as it was and the temporary file is removed. Of several writers
    at once, the last one's content stays, complete.

    Parameters
    ----------
    path : str or path-like
        The target of a link is replaced, and the link stays. What exists and is no regular file (a FIFO,
        ``/dev/null``) is written into and not replaced.
    mode : int, optional
        Permissions of the file. Default: those of the file that is replaced, else what the umask leaves.
    follow_links : bool
        False where others may write to the folder: whatever has the name `path`, a link too, is replaced.

    Yields
    ------
    binary file
        Not to be closed by the caller. A FIFO cannot seek.

    Raises
    ------
    OSError
        The folder is missing or not writable, or the disk is full.
    """
    target = os.path.abspath(path) if not follow_links else _file_to_replace(path)
    if target is None:
        with open(path, "wb") as file:
            yield file
        return
    if mode is None:
        mode = permissions_of(target)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:_NAME_CHARACTERS]}.{secrets.token_hex(8)}.part")
    try:
        with open_new(temporary, mode) as file:
            yield file
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.filename == temporary:
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        raise
    synchronize_folder(folder)


@contextlib.contextmanager
def open_new(path: _PathLike, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a new binary file that is on the disk when the block ends.

    Parameters
    ----------
    path : str or path-like
    mode : int, optional
        Permissions. Default: what the umask leaves.

    Raises
    ------
    OSError
        The file exists, or cannot be written.
    """
    with open(path, "xb") as file:
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        yield file
        file.flush()
        os.fsync(file.fileno())


def permissions_of(path: _PathLike) -> int | None:
    """Return the permissions of an existing regular file, without following a link; else None."""
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return None
    return stat.S_IMODE(state.st_mode) if stat.S_ISREG(state.st_mode) else None


def _file_to_replace(path: _PathLike) -> str | None:
    """Return the file behind the links of `path`; None where it is to be written into."""
    target = os.path.realpath(path)
    try:
        state = os.stat(path)
    except FileNotFoundError:
        return target
    # Links below /proc/self/fd, such as /dev/stdout, need not lead to a name of their file.
    named = os.path.exists(target) and os.path.samestat(os.stat(target), state)
    return target if stat.S_ISREG(state.st_mode) and named else None


def synchronize_folder(folder: _PathLike) -> None:
    """Make a folder's renames durable where the file system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_no_link(path: str, flags: int) -> int:
    """Open a file for `open`, as its opener: no link is followed, and no reader of a FIFO is waited for.

    Raises
    ------
    OSError
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def read_file(path: _PathLike, most: int, *, follow_links: bool = True) -> bytes:
    """Return the content of a regular file that anyone may have put there.

    Parameters
    ----------
    path : str or path-like
    most : int
        Bytes that it may have.
    follow_links : bool

    Raises
    ------
    OSError
        It cannot be read, is larger, or is no regular file: no writer of a FIFO is waited for.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    descriptor = os.open(path, flags)
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "No regular file", os.fspath(path))
        if state.st_size > most:
            raise OSError(errno.EFBIG, f"Larger than {most} bytes", os.fspath(path))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(state.st_size)
    finally:
        os.close(descriptor)


def sha256_of_bytes(content: bytes) -> str:
    """Compute the sha256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: _PathLike) -> str:
    """Compute the sha256 of a file's content, in hexadecimal."""
    return digest_of_file(path, hashlib.sha256())


def digest_of_file(path: _PathLike, digest: hashlib._Hash) -> str:
    """Return a digest, in hexadecimal, once it was fed with a file's content."""
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(_BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()

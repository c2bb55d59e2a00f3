"""Replace several files at once: after a kill at any moment all are the old ones, or all are the new.

New files are written beside those that they replace, then a journal that lists the renames; with the journal
the new files count, and whoever comes next makes the renames that are left. Writers and readers of a folder
take turns by a lock on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import BinaryIO, Callable, Iterator, Mapping

from scirknn.errors import BundleFormatError
from scirknn.files import (
    open_new,
    permissions_of,
    read_file,
    sha256_of_bytes,
    sha256_of_file,
    synchronize_folder,
    write_atomically,
)
from scirknn.text import parse_json

_JOURNAL_LIMIT = 1 << 20  # bytes


@contextlib.contextmanager
def folder_lock(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a folder's lock, alone or with other readers; without one where the file system has none."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def replacement(path: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Replace files of one folder, all or none, when the block ends; the caller holds the folder's lock.

    Parameters
    ----------
    path : pathlib.Path
        The bundle's first file, whose folder it is.

    Yields
    ------
    callable
        Takes a file's name and content, which is written beside it. Links are followed; what is no regular
        file, such as a FIFO, is written into at the end.

    Raises
    ------
    OSError
        A folder cannot be written. All files are the old ones, as after an error in the block.
    """
    finish_replacement(path)
    journal = _journal(path)
    special: dict[str, bytes] = {}
    renames: dict[str, tuple[str, str]] = {}
    new_files: list[Path] = []
    try:
        with contextlib.ExitStack() as files:  # all are written before the first is synchronized

            def write(target: Path, content: bytes) -> str:
                temporary_name = f"{_prefix(path)}{secrets.token_hex(8)}"
                new_files.append(_new_file(path, target.name, temporary_name))
                files.enter_context(_open_new(new_files[-1], target)).write(content)
                return temporary_name

            def add(name: str, content: bytes) -> None:
                if _is_special(path.with_name(name)):
                    special[name] = content
                else:
                    renames[name] = write(path.with_name(name), content), sha256_of_bytes(content)

            yield add
            write(path, json.dumps(renames).encode("ascii"))
        os.replace(new_files[-1], journal)
        synchronize_folder(path.parent)
    except BaseException:
        if not journal.exists():
            for new in new_files:
                with contextlib.suppress(OSError):
                    new.unlink()
        raise
    _make_renames(path, renames)
    for name, content in special.items():
        write_atomically(path.with_name(name), content)


@contextlib.contextmanager
def _open_new(new: Path, target: Path) -> Iterator[BinaryIO]:
    try:
        with open_new(new, permissions_of(os.path.realpath(target))) as file:
            yield file
    except OSError as error:
        if error.filename in (None, str(new)):  # name the file that the user knows
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise


def finish_replacement(path: Path) -> None:
    """Make the renames that a killed writer left, and remove what it had not listed yet.

    Raises
    ------
    BundleFormatError
        The journal is none, or a file that it lists is another one.
    OSError
        The folder cannot be written.
    """
    journal = _journal(path)
    if journal.exists():
        renames = _read_journal(journal, path)
        for name, (temporary_name, digest) in renames.items():
            new = _new_file(path, name, temporary_name)
            if _is_left(new) and sha256_of_file(new) != digest:
                raise BundleFormatError(f"{new} is not the file that {journal} lists. Remove both.")
        _make_renames(path, renames)
    for name in os.listdir(path.parent):
        if name.startswith(_prefix(path)):
            with contextlib.suppress(OSError):
                path.with_name(name).unlink()


def _make_renames(path: Path, renames: Mapping[str, tuple[str, str]]) -> None:
    """Make the renames of the journal that are left, and remove it."""
    for name, (temporary_name, _) in renames.items():
        new = _new_file(path, name, temporary_name)
        if _is_left(new):
            os.replace(new, os.path.realpath(path.with_name(name)))
    _journal(path).unlink(missing_ok=True)  # without locks another may have made them


def _is_left(new: Path) -> bool:
    """Whether a file was not renamed yet."""
    return new.is_file() and not new.is_symlink()


def is_unfinished(path: Path) -> bool:
    """Whether a writer was killed before its last rename."""
    return _journal(path).exists()


def _is_special(target: Path) -> bool:
    return target.exists() and not target.is_file()


def _new_file(path: Path, name: str, temporary_name: str) -> Path:
    return Path(os.path.realpath(path.with_name(name))).with_name(temporary_name)


def _journal(path: Path) -> Path:
    return path.with_name(f"{_prefix(path)[:-1]}-journal")


def _prefix(path: Path) -> str:
    """Return how the names of this bundle's temporary files begin."""
    return f".scirknn-{sha256_of_bytes(os.fsencode(path.name))[:16]}."


def _read_journal(journal: Path, path: Path) -> Mapping[str, tuple[str, str]]:
    """Return by name the new file's name and digest; names are checked, since anyone may have written it."""
    try:
        renames = {}
        for name, (temporary_name, digest) in parse_json(read_file(journal, _JOURNAL_LIMIT)).items():
            own = name.startswith(path.stem) and temporary_name.startswith(_prefix(path))
            if not own or "/" in name + temporary_name or not isinstance(digest, str):
                raise ValueError(f"it lists {name!r:.80}")
            renames[name] = (temporary_name, digest)
    except (AttributeError, OSError, TypeError, ValueError) as error:
        raise BundleFormatError(f"{journal} is no journal of a bundle ({error!s:.200}). Remove it.") from None
    return renames

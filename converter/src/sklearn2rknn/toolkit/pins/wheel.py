"""The vendor's own wheel, where no package index has it.

A wheel of the vendor's repository is recorded in the table by its file name and by what identifies its bytes
there: the git blob id (``git hash-object FILE``) and the md5 of the vendor's list, as far as each is known.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from scirknn.files import digest_of_file, open_atomically, sha256_of_file
from sklearn2rknn.errors import WheelError
from sklearn2rknn.toolkit.pins.cache import cache_folder
from sklearn2rknn.toolkit.pins.versions import ToolkitVersion, WheelFile


def git_blob_id(path: Path) -> str:
    """Return what ``git hash-object`` prints: the sha1 of header and content."""
    header = b"blob %d\0" % path.stat().st_size
    return digest_of_file(path, hashlib.sha1(header, usedforsecurity=False))


def recorded_wheel(entry: ToolkitVersion, name: str) -> WheelFile | None:
    """Return the table's record of the wheel file `name`, or None where it has none."""
    return next((file for file in entry.wheel.files if file.name == name), None)


def check_wheel(entry: ToolkitVersion, path: Path) -> WheelFile:
    """Return the record that the wheel at `path` matches.

    Raises
    ------
    WheelError
        It is not there, has another name, or is another file than the vendor's.
    """
    if not path.is_file():
        raise WheelError(f"There is no file {path}. {whereabouts(entry)}")
    record = recorded_wheel(entry, path.name)
    if record is None:
        raise WheelError(f"{path.name} is no wheel of toolkit {entry.version}. {whereabouts(entry)}")
    for kind, expected, digest in (
        ("git blob id", record.git_blob, git_blob_id),
        ("md5", record.md5, lambda path: digest_of_file(path, hashlib.md5(usedforsecurity=False))),
        ("sha256", record.sha256, sha256_of_file),
    ):
        actual = digest(path) if expected else None
        if actual != expected:
            raise WheelError(
                f"{path} is not the vendor's file: its {kind} is {actual}, expected {expected}. It was "
                f"truncated, changed or is a web page in its stead; fetch the raw file again. "
                f"{whereabouts(entry)}"
            )
    return record


def whereabouts(entry: ToolkitVersion) -> str:
    """Say which files the toolkit's wheels are, where they lie, and how to know them."""
    wheel = entry.wheel
    branch = f"branch {wheel.branch}, " if wheel.branch else ""
    lines = [
        f"Toolkit {entry.version} is on no package index. Fetch this file of {wheel.repository}, {branch}"
        f"commit {wheel.commit}, and pass it with --wheel:"
    ]
    for file in wheel.files:
        if file.python in entry.pythons:
            blob = f"git blob {file.git_blob}" if file.git_blob else "git blob unknown"
            lines.append(f"  {wheel.folder}/{file.name} ({blob}, md5 {file.md5 or 'unknown'})")
    return "\n".join(lines)


def keep_wheel(entry: ToolkitVersion, path: Path) -> Path:
    """Verify a wheel and keep a copy in the cache folder."""
    check_wheel(entry, path)
    folder = cache_folder() / "wheels"
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / path.name
    if path.resolve() != kept.resolve():
        with path.open("rb") as wheel, open_atomically(kept) as copy:
            shutil.copyfileobj(wheel, copy)
    return kept


def is_supplied(entry: ToolkitVersion) -> bool:
    """Whether a toolkit's wheel is to be had: from a package index, or because the user gave it."""
    names = [file.name for file in entry.wheel.files if file.python in entry.pythons]
    return entry.wheel.source == "index" or any(
        (cache_folder() / "wheels" / name).is_file() for name in names
    )


def kept_wheel(entry: ToolkitVersion, python: str) -> Path:
    """Return the kept wheel for a Python, verified once more.

    Raises
    ------
    WheelError
        None was given yet, or it has changed since.
    """
    for file in entry.wheel.files:
        path = cache_folder() / "wheels" / file.name
        if file.python == python and path.is_file():
            check_wheel(entry, path)
            return path
    raise WheelError(whereabouts(entry))

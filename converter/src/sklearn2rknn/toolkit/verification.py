"""Whether locks, kept wheels and images are still what they were made as."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from scirknn.files import sha256_of_file
from sklearn2rknn.errors import EngineError, EngineMissingError, ImageMissingError, WheelError
from sklearn2rknn.toolkit.containers.image import find_image
from sklearn2rknn.toolkit.pins.cache import cache_folder
from sklearn2rknn.toolkit.pins.lock import canonical_name, read_lock, recorded_digests
from sklearn2rknn.toolkit.pins.versions import ToolkitVersion, toolkit_version
from sklearn2rknn.toolkit.pins.wheel import check_wheel, recorded_wheel


@attrs.frozen
class Finding:
    """What was found of one thing.

    Attributes
    ----------
    subject : str
    ok : bool or None
        None where there was nothing to look at.
    text : str
    """

    subject: str
    ok: bool | None
    text: str


def verify(version: str) -> list[Finding]:
    """Check the lock of toolkit `version`, its kept wheels and its image.

    Raises
    ------
    OptionError
        There is no such version.
    """
    entry = toolkit_version(version)
    return [_lock(entry), *_wheels(entry), _image(entry)]


def _lock(entry: ToolkitVersion) -> Finding:
    path = entry.folder / "requirements.lock"
    subject = f"lock {entry.version}"
    cure = f"Restore it, or make it anew: rknn-harness toolkits lock {entry.version}."
    if not path.is_file():
        return Finding(subject, False, f"there is no {path}. {cure}")
    expected, actual = recorded_digests().get(entry.version), sha256_of_file(path)
    if actual != expected:
        return Finding(subject, False, f"sha256 is {actual}, recorded is {expected}: it was changed. {cure}")
    locked, required = read_lock(path), read_lock(entry.folder / "requirements.in")
    if {(name, pin[0]) for name, pin in locked.items()} != {(name, pin[0]) for name, pin in required.items()}:
        return Finding(subject, False, f"it does not pin what requirements.in asks for. {cure}")
    bare = [name for name, (_, hashes) in locked.items() if not hashes]
    if bare:
        return Finding(subject, False, f"{', '.join(bare)} has no hash. {cure}")
    return Finding(subject, True, f"{len(locked)} pins, sha256 {actual[:12]}")


def _wheels(entry: ToolkitVersion) -> Iterator[Finding]:
    """Check the kept wheels that this version's lock or record names."""
    locked: Mapping[str, tuple[str, frozenset[str]]] = {}
    if (entry.folder / "requirements.lock").is_file():
        locked = read_lock(entry.folder / "requirements.lock")
    count = 0
    for path in sorted((cache_folder() / "wheels").glob("*.whl")):
        distribution, version = path.name.split("-")[:2]
        pinned, hashes = locked.get(canonical_name(distribution), ("", frozenset[str]()))
        if recorded_wheel(entry, path.name) is None and pinned != version:
            continue
        count += 1
        wrong = _wrong_wheel(entry, path, hashes if pinned == version else None)
        if wrong:
            yield Finding(f"wheel {path.name}", False, wrong)
    if not count:
        yield Finding(f"wheels {entry.version}", None, "none are kept")
    else:
        yield Finding(f"wheels {entry.version}", True, f"{count} kept and checked")


def _wrong_wheel(entry: ToolkitVersion, path: Path, hashes: frozenset[str] | None) -> str:
    if recorded_wheel(entry, path.name) is not None:
        try:
            check_wheel(entry, path)
        except WheelError as error:
            return f"{error} Delete it."
    if hashes is not None and sha256_of_file(path) not in hashes:
        return f"{path} is not one of the files that the lock names: its sha256 differs. Delete it."
    return ""


def _image(entry: ToolkitVersion) -> Finding:
    subject = f"image {entry.version}"
    try:
        image = find_image(entry.version)
    except (EngineMissingError, ImageMissingError) as error:
        return Finding(subject, None, re.split(r"(?<=\.) ", str(error))[0])
    except EngineError as error:
        return Finding(subject, False, str(error))
    return Finding(subject, True, f"{image.id[:19]}, {image.size / 1e6:.0f} MB, from this lock")

"""A toolkit's lock: every wheel by name, version and sha256, for each Python.

``rknn-harness toolkits lock 2.3.2`` reads ``toolkits/2.3.2/requirements.in`` and writes ``requirements.lock``
beside it. Where the toolkit's own wheel is a file that the user supplies, the lock is without it. pip finds
the wheels wherever it is set up to; the lock names no place.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scirknn.files import sha256_of_file, write_atomically
from scirknn.temporary import TemporaryFolder
from sklearn2rknn.errors import ToolkitError
from sklearn2rknn.toolkit.pins.pip import pip_failure
from sklearn2rknn.toolkit.pins.versions import TOOLKITS, toolkit_version, toolkit_versions

DIGESTS = TOOLKITS / "locks.sha256"
"""The digest of every lock, as sha256sum writes and checks them."""

PLATFORMS = (
    "manylinux2014_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_28_x86_64",
)
"""Wheel tags of x86-64 Linux with a glibc of the last years (2.28 is of 2018)."""


def canonical_name(name: str) -> str:
    """Return a distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: Path) -> dict[str, tuple[str, frozenset[str]]]:
    """Return what a lock, or a file that it is made from, names: version and hashes by name."""
    pinned: dict[str, tuple[str, frozenset[str]]] = {}
    for paragraph in path.read_text("utf-8").replace("\\\n", " ").splitlines():
        name, equal, rest = paragraph.partition("==")
        if equal and not paragraph.startswith("#"):
            hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", rest))
            pinned[canonical_name(name.strip())] = rest.split()[0], hashes
    return pinned


def recorded_digests() -> dict[str, str]:
    """Return the recorded sha256 of each version's lock."""
    lines = DIGESTS.read_text("utf-8").splitlines() if DIGESTS.is_file() else []
    return {line.split()[1].split("/")[0]: line.split()[0] for line in lines}


def download_wheels(requirements: Path, python: str, folder: Path, *, only: Path | None = None) -> list[Path]:
    """Download pinned wheels for CPython `python` on x86-64 Linux.

    Where `only` names a folder, they are taken from there and nothing is fetched.

    Raises
    ------
    ToolkitNotInstallableError
        pip failed; the message carries its last lines, and a subclass tells what was wrong.
    """
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    if only is not None:
        command += ["--no-index", f"--find-links={only}"]
    done = subprocess.run(
        [*command, "-d", str(folder), "-r", str(requirements)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise pip_failure(
            done.stdout + done.stderr,
            f"The wheels of {requirements} for Python {python} cannot be downloaded.",
        )
    return sorted(folder.glob("*.whl"))


def make_lock(wheels: Sequence[Path], heading: str = "") -> str:
    """Return the lock's text, each requirement with the hashes of its wheels.

    Parameters
    ----------
    wheels : sequence of path
        Several wheels of one project must be of one version.
    heading : str
        A comment for the first line.
    """
    hashes: dict[tuple[str, str], set[str]] = {}
    versions: dict[str, str] = {}
    for wheel in wheels:
        distribution, version = wheel.name.split("-")[:2]
        name = canonical_name(distribution)
        if versions.setdefault(name, version) != version:
            raise ToolkitError(f"{name} has two versions, {versions[name]} and {version}; pin one.")
        hashes.setdefault((name, version), set()).add(sha256_of_file(wheel))
    lines = [f"# {heading}"] if heading else []
    for (name, version), digests in sorted(hashes.items()):
        lines.append(
            " \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{each}" for each in sorted(digests))])
        )
    return "\n".join(lines) + "\n"


def write_lock(version: str) -> Path:
    """Write the lock of a version from its ``requirements.in``; return its path."""
    entry = toolkit_version(version)
    wheels: Mapping[str, Path]
    with TemporaryFolder() as place:
        for python in entry.pythons:
            folder = place / python
            folder.mkdir()
            download_wheels(entry.folder / "requirements.in", python, folder)
        wheels = {wheel.name: wheel for wheel in place.glob("*/*.whl")}
        heading = f"x86-64 Linux, CPython {', '.join(entry.pythons)}; made by rknn-harness toolkits lock."
        text = make_lock(list(wheels.values()), heading)
    path = entry.folder / "requirements.lock"
    write_atomically(path, text)
    record_digests()
    return path


def record_digests() -> None:
    """Write down the digest of every lock."""
    locks = {name: TOOLKITS / name / "requirements.lock" for name in toolkit_versions()}
    write_atomically(
        DIGESTS,
        "".join(
            f"{sha256_of_file(lock)}  {name}/requirements.lock\n"
            for name, lock in locks.items()
            if lock.is_file()
        ),
    )

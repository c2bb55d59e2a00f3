"""Make a toolkit's lock: every wheel by name, version and sha256, for every Python that it serves.

``python -m sklearn2rknn.toolkit_lock 2.3.2`` reads ``toolkits/2.3.2/requirements.in`` and writes
``requirements.lock`` beside it. pip finds the wheels wherever it is set up to; the lock names no place.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from sklearn2rknn.errors import ToolkitError
from sklearn2rknn.toolkit_versions import toolkit_version

__all__ = ["download_wheels", "make_lock", "write_lock"]

PLATFORMS = (
    "manylinux2014_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux_2_27_x86_64",
    "manylinux_2_28_x86_64",
)
"""Wheel tags of x86-64 Linux with a glibc of the last years (2.28 is of 2018)."""


def download_wheels(requirements: Path, python: str, folder: Path) -> list[Path]:
    """Download the wheels that `requirements` pins, for CPython `python` on x86-64 Linux.

    Raises
    ------
    ToolkitError
        pip failed; the message carries its last lines.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}"]
    command += [f"--platform={platform}" for platform in PLATFORMS]
    done = subprocess.run(
        [*command, "-d", str(folder), "-r", str(requirements)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-4:])
        raise ToolkitError(f"pip cannot download the wheels of {requirements} for Python {python}:\n{tail}")
    return sorted(folder.glob("*.whl"))


def make_lock(wheels: Sequence[Path], heading: str = "") -> str:
    """Return the lock's text: one requirement a paragraph, each with the hash of every wheel given for it.

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
        name = re.sub(r"[-_.]+", "-", distribution).lower()
        if versions.setdefault(name, version) != version:
            raise ToolkitError(f"{name} has two versions, {versions[name]} and {version}; pin one.")
        hashes.setdefault((name, version), set()).add(hashlib.sha256(wheel.read_bytes()).hexdigest())
    lines = [f"# {heading}"] if heading else []
    for (name, version), digests in sorted(hashes.items()):
        lines.append(
            " \\\n".join([f"{name}=={version}", *(f"    --hash=sha256:{each}" for each in sorted(digests))])
        )
    return "\n".join(lines) + "\n"


def write_lock(version: str) -> Path:
    """Write the lock of toolkit `version` from its ``requirements.in`` and return its path."""
    entry = toolkit_version(version)
    wheels: Mapping[str, Path]
    with tempfile.TemporaryDirectory() as name:
        for python in entry.pythons:
            folder = Path(name) / python
            folder.mkdir()
            download_wheels(entry.folder / "requirements.in", python, folder)
        wheels = {wheel.name: wheel for wheel in Path(name).glob("*/*.whl")}
        heading = (
            f"x86-64 Linux, CPython {', '.join(entry.pythons)}; made by python -m sklearn2rknn.toolkit_lock."
        )
        text = make_lock(list(wheels.values()), heading)
    path = entry.folder / "requirements.lock"
    path.write_text(text, "utf-8")
    return path


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(write_lock(argument))

"""The toolkit's virtual environment, made on first use from a pinned lock.

It lies in the user's cache folder, or in the one that the environment variable ``SKLEARN2RKNN_CACHE`` names.
Its name carries the digest of what it is made from, so a new lock gives a new environment. A marker file is
written last; a folder without it was interrupted and is made anew.
"""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import attrs
import filelock

from scirknn.files import sha256_of_file
from sklearn2rknn.errors import DiskFullError, PythonMissingError, ToolkitError, ToolkitNotInstallableError
from sklearn2rknn.progress import progress
from sklearn2rknn.toolkit.job_folders import WorkerFolders
from sklearn2rknn.toolkit.pins.cache import CACHE_VARIABLE, cache_folder
from sklearn2rknn.toolkit.pins.pip import pip_failure
from sklearn2rknn.toolkit.pins.versions import TOOLKITS, ToolkitVersion, toolkit_version
from sklearn2rknn.toolkit.pins.wheel import kept_wheel
from sklearn2rknn.toolkit.worker_path import WORKER

MARKER = "complete"
DISK_BYTES = 1 << 30  # the environment takes 0.6 GB, and pip unpacks beside it


@attrs.frozen
class ToolkitEnvironment:
    """A place where the toolkit's worker can be started.

    Attributes
    ----------
    version : str
        The toolkit's version.
    command : tuple of str
        Starts the worker, which then speaks on stdin and stdout.
    kind : str
        ``"venv"``, or what else the worker runs in.
    lock_sha256 : str
        Digest of the lock that it is made from.
    path : pathlib.Path
        The environment's folder.
    """

    version: str
    command: tuple[str, ...] = attrs.field(converter=tuple[str, ...])
    kind: str
    lock_sha256: str
    path: Path

    def to_json(self) -> dict[str, str]:
        """Return what a bundle records of it."""
        return {"environment": self.kind, "lock_sha256": self.lock_sha256}

    @property
    def cure(self) -> str:
        """What to do when the worker does not start."""
        return f"Delete {self.path} so that it is made again."

    def start(
        self, variables: Mapping[str, str], output: IO[bytes], folders: WorkerFolders
    ) -> subprocess.Popen[bytes]:
        """Start the worker with more environment variables, its stderr to `output`.

        Raises
        ------
        ToolkitError
            Its program is gone.
        """
        scratch = str(folders.scratch)
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        try:
            return subprocess.Popen(
                [*self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env={**own, **variables, "TMPDIR": scratch, "TOOLKIT_SCRATCH": scratch},
                start_new_session=True,  # Ctrl-C is for the client, which then closes the worker
            )
        except OSError as error:
            raise ToolkitError(
                f"The process of toolkit {self.version} cannot be started: {error}. {self.cure}"
            ) from error


def ensure_environment(version: str) -> ToolkitEnvironment:
    """Return the environment of toolkit `version`; make it where it is not there yet.

    Making it downloads about 170 MB and takes some tens of seconds. Of two processes that ask at once, one
    makes it and the other waits.

    Raises
    ------
    OptionError
        There is no such version.
    ToolkitNotInstallableError
        It cannot be made: no wheel for this machine or this Python, no network, no space. Its subclasses
        say which.
    """
    entry = toolkit_version(version)
    lock = entry.folder / "requirements.lock"
    _check_machine(version)
    python, python_version = _find_python(entry)
    folder = cache_folder() / f"toolkit-{version}-py{python_version}-{_recipe_digest(lock)[:12]}"
    environment = ToolkitEnvironment(
        version=version,
        command=(str(folder / "bin" / "python"), str(WORKER)),
        kind="venv",
        lock_sha256=sha256_of_file(lock),
        path=folder,
    )
    if not (folder / MARKER).is_file():
        wheel = kept_wheel(entry, python_version) if entry.wheel.source == "repository" else None
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(str(folder) + ".lock"):
                if not (folder / MARKER).is_file():
                    _make(folder, python, lock, version, wheel)
        except OSError as error:
            raise (DiskFullError if error.errno == errno.ENOSPC else ToolkitNotInstallableError)(
                f"The environment of toolkit {version} cannot be made in {folder.parent}: {error}. "
                f"Make room or give a folder that can be written in the variable {CACHE_VARIABLE}."
            ) from error
    return environment


def _recipe_digest(lock: Path) -> str:
    """Return the digest of the lock and the stand-in for torch."""
    digest = hashlib.sha256(lock.read_bytes())
    for file in sorted((TOOLKITS / "torch_stand_in").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _check_machine(version: str) -> None:
    system, machine = platform.system(), platform.machine()
    if system != "Linux" or machine not in ("x86_64", "AMD64") or platform.libc_ver()[0] != "glibc":
        raise ToolkitNotInstallableError(
            f"Toolkit {version} runs on x86-64 Linux with glibc; this is {system} on {machine}. Convert on "
            "such a machine, or in a container of one; the .rknn file it gives runs on the board all the "
            "same."
        )


def _find_python(entry: ToolkitVersion) -> tuple[str, str]:
    """Return path and version of a Python that the toolkit has wheels for."""
    here = "{}.{}".format(*sys.version_info[:2])
    if here in entry.pythons:
        return sys.executable, here
    for version in reversed(entry.pythons):
        path = shutil.which(f"python{version}")
        if not path:
            continue
        # A shim may be there and lead nowhere; Debian's python3 may be there without venv.
        probe = subprocess.run(
            [path, "-c", "import ensurepip, sys, venv; print('{}.{}'.format(*sys.version_info[:2]))"],
            capture_output=True,
            text=True,
            check=False,
        )
        if probe.returncode == 0 and probe.stdout.strip() == version:
            return path, version
    raise PythonMissingError(
        f"Toolkit {entry.version} has wheels for Python {', '.join(entry.pythons)}; this is {here}, and none "
        f"of those is on the PATH. Install Python {entry.pythons[-1]} beside it, or take the toolkit's "
        f'container, which brings its own ("{entry.version}@container").'
    )


def _make(folder: Path, python: str, lock: Path, version: str, wheel: Path | None) -> None:
    """Make the environment at its final place; it cannot be moved."""
    if folder.exists():
        shutil.rmtree(folder)
    free = shutil.disk_usage(folder.parent).free
    if free < DISK_BYTES:
        raise DiskFullError(
            f"{folder.parent} has {free >> 20} MiB free; the environment of toolkit {version} needs "
            f"{DISK_BYTES >> 20} MiB while it is made. Make room or give another folder in {CACHE_VARIABLE}."
        )
    try:
        with progress(f"Making the environment of toolkit {version} (once; about 170 MB to download)"):
            _run([python, "-m", "venv", str(folder)], version)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-input"]
            pip += ["--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
            _run([*pip, "--require-hashes", "-r", str(lock)], version)
            if wheel is not None:  # verified when it was taken from the cache
                _run([*pip, "--no-index", str(wheel)], version)
            (site,) = folder.glob("lib/python3.*/site-packages")
            # A real torch, should a lock ever pin one, stays.
            if not (site / "torch").exists():
                shutil.copytree(TOOLKITS / "torch_stand_in" / "torch", site / "torch")
        (folder / MARKER).write_text(f"rknn-toolkit2 {version}\n", "utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def environment_folders(version: str) -> list[Path]:
    """Return the complete environments of `version`, those of earlier locks too."""
    return [
        folder
        for folder in sorted(cache_folder().glob(f"toolkit-{version}-py*"))
        if (folder / MARKER).is_file()
    ]


def remove_environments(version: str) -> list[Path]:
    """Remove every environment of `version` and return their folders."""
    toolkit_version(version)
    removed = []
    for folder in sorted(cache_folder().glob(f"toolkit-{version}-py*")):
        if folder.is_dir():
            with filelock.FileLock(str(folder) + ".lock"):
                (folder / MARKER).unlink(missing_ok=True)  # first: what is left must not look finished
                shutil.rmtree(folder)
            removed.append(folder)
    return removed


def _run(command: list[str], version: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise pip_failure(
            done.stdout + done.stderr,
            f"The environment of toolkit {version} cannot be made; nothing of it was kept.",
        )

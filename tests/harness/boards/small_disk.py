"""Disks of a board that have little room."""

from __future__ import annotations

import contextlib
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of a megabyte at a folder, which only root may; the test is skipped otherwise."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs to mount a tmpfs: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def no_large_files(pid: int) -> None:
    """Have the kernel refuse a process files of more than three quarters of a megabyte."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (3 << 18, 3 << 18))

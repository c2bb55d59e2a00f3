"""The four distributions as wheels, for tests of what is installed."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = ("virtual_npu", "device_runtime", "converter", "harness")


def build_wheels(folder: Path, distributions: tuple[str, ...] = DISTRIBUTIONS) -> list[Path]:
    """Build wheels from a copy of the tree; skip the test where pip or its build backend cannot be had."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("needs pip, to build wheels with")
    for name in distributions:
        shutil.copytree(
            ROOT / name, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
        )
    if "converter" in distributions:  # it links to its locks
        shutil.copytree(ROOT / "containers", folder / "containers")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", "wheels"]
    done = subprocess.run(
        [*command, *(f"./{name}" for name in distributions)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip(f"needs hatchling, or an index to fetch it from: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return sorted((folder / "wheels").glob("*.whl"))

"""The wheel carries what the package needs beside its code."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sklearn2rknn.toolkit_versions import TOOLKITS, toolkit_versions

ROOT = Path(__file__).parents[2]


def test_locks_are_reached_from_the_package() -> None:
    assert (TOOLKITS / "versions.toml").is_file()
    for version in toolkit_versions():
        assert (TOOLKITS / version / "requirements.lock").is_file()


def test_wheel_carries_locks_table_and_stand_in(tmp_path: Path) -> None:
    # A copy, with the link resolved against its own containers folder: building may write beside the sources.
    shutil.copytree(ROOT / "converter", tmp_path / "converter", symlinks=True)
    shutil.copytree(ROOT / "containers", tmp_path / "containers")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        str(tmp_path),
        "./converter",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip(f"needs hatchling, or an index to fetch it from: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    package = "sklearn2rknn/"
    for name in (
        "worker.py",
        "py.typed",
        "toolkits/versions.toml",
        "toolkits/torch_stand_in/torch/__init__.py",
    ):
        assert package + name in names
    for version in toolkit_versions():
        assert f"{package}toolkits/{version}/requirements.lock" in names

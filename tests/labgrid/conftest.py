"""One lab for the tests of this folder; each of them leaves it as it was."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.labgrid.lab import PROGRAMS, Lab


@pytest.fixture(scope="session")
def running_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    missing = [name for name in ("labgrid-coordinator", "labgrid-exporter") if not (PROGRAMS / name).exists()]
    if importlib.util.find_spec("labgrid") is None or missing:
        pytest.skip("needs labgrid >= 26, < 27: python -m pip install 'labgrid>=26,<27'")
    for program in ("flock", "ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def lab(running_lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The lab, and an empty folder for the locks of those who hold its places."""
    running_lab.switched.clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return running_lab

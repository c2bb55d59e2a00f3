"""The wheel carries what the package needs beside its code."""

from __future__ import annotations

import zipfile
from pathlib import Path

from sklearn2rknn.toolkit.pins.versions import TOOLKITS, toolkit_versions
from tests.wheels import build_wheels


def test_locks_are_reached_from_the_package() -> None:
    assert (TOOLKITS / "versions.toml").is_file()
    for version in toolkit_versions():
        assert (TOOLKITS / version / "requirements.lock").is_file()


def test_wheel_carries_locks_table_and_stand_in(tmp_path: Path) -> None:
    (path,) = build_wheels(tmp_path, ("converter",))
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    package = "sklearn2rknn/"
    for name in (
        "toolkit/worker.py",
        "py.typed",
        "toolkit/pins/toolkits/versions.toml",
        "toolkit/pins/toolkits/torch_stand_in/torch/__init__.py",
    ):
        assert package + name in names
    for version in toolkit_versions():
        assert f"{package}toolkit/pins/toolkits/{version}/requirements.lock" in names

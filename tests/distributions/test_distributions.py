"""What is published: wheels and source archives, checked, installed where nothing else is, and used."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier

import sklearn2rknn
from tests.docs.pages import ROOT, blocks_to_run, read_page
from tests.docs.place import Place, copy_source
from tests.test_layout import PACKAGES
from tests.wheels import DISTRIBUTIONS

HOST = ("3.10", "3.11", "3.12", "3.13")
BOARD = ("3.8", "3.9", *HOST)
SECONDS = 1200


def run(*command: str | Path, folder: Path | None = None) -> str:
    """Run a command and return what it prints; fails with it."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command} fails:\n{done.stdout[-6000:]}"
    return done.stdout


def fresh_environment(version: str, folder: Path) -> Path:
    """Make a virtual environment of Python `version` that holds pip alone; skip where there is none."""
    for folder_of_path in os.get_exec_path():
        program = Path(folder_of_path, f"python{version}")
        probe = [str(program), "-c", "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"]
        # A shim may be there and lead nowhere; Debian's python3 may be there without venv.
        if (
            program.exists()
            and subprocess.run(probe, capture_output=True, text=True, check=False).stdout.strip() == version
        ):
            run(program, "-m", "venv", folder)
            return folder
    pytest.skip(f"needs python{version} with its module venv on the PATH")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of wheels and source archives: each archive of a clean copy, each wheel of its archive."""
    folder = tmp_path_factory.mktemp("built")
    copy_source(folder / "source")
    for name in DISTRIBUTIONS:
        run(sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "source" / name)
    return folder / "dist"


def test_every_archive_passes_the_index_checks(built: Path) -> None:
    archives = sorted(built.iterdir())
    assert len(archives) == 2 * len(DISTRIBUTIONS)
    printed = run(sys.executable, "-m", "twine", "--no-color", "check", "--strict", *archives)
    assert printed.count("PASSED") == len(archives)


@pytest.mark.parametrize(("package", "source"), PACKAGES.items())
def test_an_archive_holds_each_file_of_its_package(built: Path, package: str, source: str) -> None:
    expected = {
        Path(folder, name).relative_to(ROOT / source).as_posix()
        for folder, _, names in os.walk(ROOT / source / package, followlinks=True)
        for name in names
        if "__pycache__" not in folder
    }
    (wheel,) = [
        path for path in built.glob("*.whl") if f"{package}/__init__.py" in zipfile.ZipFile(path).namelist()
    ]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        headers = email.message_from_bytes(archive.read(metadata))
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert any(name.endswith("LICENSE") for name in names)
    top = f"{headers['Name'].replace('-', '_')}-{headers['Version']}"
    with tarfile.open(built / f"{top}.tar.gz") as source_archive:
        members = set(source_archive.getnames())
    assert {f"{top}/src/{name}" for name in expected} <= members
    assert {f"{top}/LICENSE", f"{top}/README.md", f"{top}/pyproject.toml"} <= members


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("version", HOST)
def test_the_readme_runs_with_the_wheels(built: Path, tmp_path: Path, version: str) -> None:
    """Where nothing of the project's folder is installed; what the wheels need comes from an index."""
    for program in ("ssh", "scp", "ssh-agent", "ssh-copy-id"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    environment = fresh_environment(version, tmp_path / "environment")
    constraints = ROOT / "tests" / "constraints.txt"
    run(environment / "bin/python", "-m", "pip", "install", "-q", "-c", constraints, *built.glob("*.whl"))
    run(environment / "bin/python", "-m", "pip", "check")
    with Place(tmp_path / "place", environment) as place:
        place.answer_as_board()
        for block in blocks_to_run(read_page("README.md")):
            if "not run" not in block.markers:
                place.run(block)


@pytest.fixture(scope="session")
def forest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RandomForestClassifier]:
    """A bundle that takes no NPU, so that it predicts on every Python that a board may have."""
    X, y = load_wine(return_X_y=True)
    model = RandomForestClassifier(20, random_state=0).fit(X[::2], y[::2])
    path = tmp_path_factory.mktemp("forest") / "forest.rknn"
    sklearn2rknn.convert(model, path, example_input=X[::2])
    np.save(path.with_name("X.npy"), X)
    return path, model


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("version", BOARD)
def test_the_runtime_predicts_on_the_pythons_of_boards(
    built: Path, forest: tuple[Path, RandomForestClassifier], tmp_path: Path, version: str
) -> None:
    path, model = forest
    python = fresh_environment(version, tmp_path / "environment") / "bin/python"
    (wheel,) = built.glob("scirknn-*.whl")
    run(python, "-m", "pip", "install", "-q", "--only-binary=:all:", wheel)
    X = path.with_name("X.npy")
    run(python, "-m", "scirknn", "predict", path, X, tmp_path / "y.npy", folder=tmp_path)
    assert (np.load(tmp_path / "y.npy") == model.predict(np.load(X))).all()

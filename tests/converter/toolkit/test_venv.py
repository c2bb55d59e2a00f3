"""Making the toolkit's environment, from a wheelhouse on disk with a fake toolkit in it, and its failures."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from sklearn2rknn import Toolkit, ToolkitNotInstallableError
from sklearn2rknn.errors import DiskFullError, DownloadError, NetworkError
from sklearn2rknn.toolkit import venv
from sklearn2rknn.toolkit.pins import versions
from sklearn2rknn.toolkit.pins.cache import CACHE_VARIABLE
from sklearn2rknn.toolkit.pins.lock import make_lock
from sklearn2rknn.toolkit.venv import MARKER, ensure_environment

VERSION = "2.3.2"
ROOT = Path(__file__).parents[3]
FAKE = Path(__file__).with_name("fake_toolkit")


def make_wheel(folder: Path, name: str, version: str, files: dict[str, str]) -> Path:
    """Write the least that pip takes for a wheel."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{each},,\n" for each in files) + f"{information}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in {**files, f"{information}/RECORD": record}.items():
            archive.writestr(each, text)
    return path


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A toolkit of one small wheel, its lock, an empty cache, and a pip that looks nowhere else."""
    house, toolkits = tmp_path / "wheels", tmp_path / "toolkits"
    house.mkdir()
    shutil.copytree(versions.TOOLKITS / "torch_stand_in", toolkits / "torch_stand_in")
    shutil.copy(versions.TOOLKITS / "versions.toml", toolkits)
    (toolkits / VERSION).mkdir()
    wheel = make_wheel(
        house,
        "rknn_toolkit2",
        VERSION,
        {"rknn/__init__.py": "", "rknn/api.py": "import torch\nassert torch.no_grad\nclass RKNN: pass\n"},
    )
    (toolkits / VERSION / "requirements.lock").write_text(make_lock([wheel]))
    for module in (versions, venv):
        monkeypatch.setattr(module, "TOOLKITS", toolkits)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache with space"))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))
    return house


@pytest.fixture
def quick(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment's folders and no more, for tests of what surrounds the making."""
    monkeypatch.setattr(venv, "_run", hollow)


def hollow(command: list[str], version: str) -> None:
    """Do what `_run` does, as far as the caller can see."""
    if "venv" in command:
        folder = Path(command[-1])
        (folder / "bin").mkdir(parents=True)
        (folder / "bin" / "python").symlink_to(sys.executable)
        (folder / "lib" / "python3.0" / "site-packages").mkdir(parents=True)


def leftovers(tmp_path: Path) -> list[str]:
    """What lies in the cache besides lock files."""
    cache = tmp_path / "cache with space"
    return [each.name for each in cache.iterdir() if each.suffix != ".lock"] if cache.exists() else []


def test_environment_is_made_once_and_starts(wheelhouse: Path) -> None:
    environment = ensure_environment(VERSION)
    marker = environment.path / MARKER
    made = marker.stat().st_mtime_ns
    assert environment.kind == "venv"
    assert (
        environment.lock_sha256
        == hashlib.sha256((versions.TOOLKITS / VERSION / "requirements.lock").read_bytes()).hexdigest()
    )
    done = subprocess.run(
        [environment.command[0], "-c", "import rknn.api, torch; print(torch.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0.0.0\n"
    assert ensure_environment(VERSION) == environment
    assert marker.stat().st_mtime_ns == made


def test_worker_starts_in_it(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = wheelhouse
    (house / f"rknn_toolkit2-{VERSION}-py3-none-any.whl").unlink()
    api = (FAKE / "rknn" / "api.py").read_text().replace("import numpy\n", "").replace("numpy.load", "open")
    wheel = make_wheel(house, "rknn_toolkit2", VERSION, {"rknn/__init__.py": "", "rknn/api.py": api})
    # The worker needs numpy for simulation; this environment has a module that imports, and that is all.
    numpy = make_wheel(house, "numpy", "0.1", {"numpy.py": ""})
    (versions.TOOLKITS / VERSION / "requirements.lock").write_text(make_lock([wheel, numpy]))
    # Nothing of this process's own Python may reach the toolkit's.
    monkeypatch.setenv("PYTHONPATH", str(Path(np.__file__).parents[1]))
    with Toolkit(ensure_environment(VERSION)) as toolkit:
        assert toolkit.build(b"onnx", config={}).rknn == b"RKNNonnx0.0"


def test_lock_and_stand_in_are_part_of_its_name(quick: None) -> None:
    first = ensure_environment(VERSION)
    lock = versions.TOOLKITS / VERSION / "requirements.lock"
    lock.write_text(lock.read_text() + "# changed\n")
    second = ensure_environment(VERSION)
    assert first.path != second.path
    assert "py{}.{}".format(*sys.version_info[:2]) in second.path.name


def test_remains_without_a_marker_are_made_anew(quick: None) -> None:
    environment = ensure_environment(VERSION)
    (environment.path / MARKER).unlink()
    (environment.path / "bin" / "python").unlink()
    assert ensure_environment(VERSION) == environment
    assert Path(environment.command[0]).exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_interrupted_making_leaves_nothing(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def run(command: list[str], version: str) -> None:
        hollow(command, version)
        if "install" in command:
            raise error

    monkeypatch.setattr(venv, "_run", run)
    with pytest.raises(DiskFullError if isinstance(error, OSError) else KeyboardInterrupt):
        ensure_environment(VERSION)
    assert leftovers(tmp_path) == []


SCRIPT = """
import time
from pathlib import Path
from sklearn2rknn.toolkit import venv
from sklearn2rknn.toolkit.pins import versions
from tests.converter.toolkit.test_venv import hollow
for module in (versions, venv):
    module.TOOLKITS = Path("toolkits").absolute()
def run(command, version):
    hollow(command, version)
    time.sleep({seconds})
venv._run = run
environment = venv.ensure_environment("2.3.2")
print(environment.path, (environment.path / "complete").stat().st_mtime_ns)
"""


def in_a_process(folder: Path, seconds: float) -> subprocess.Popen[str]:
    """Make the environment of `folder` in another process, which waits at each step."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = SCRIPT.format(seconds=seconds)
    return subprocess.Popen(
        [sys.executable, "-c", script], cwd=folder, env=variables, stdout=subprocess.PIPE, text=True
    )


def test_killed_making_is_no_finished_one(quick: None, tmp_path: Path) -> None:
    process = in_a_process(tmp_path, 60.0)
    cache = tmp_path / "cache with space"
    while not list(cache.glob("toolkit-*/bin/python")):
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    (folder,) = (each for each in cache.iterdir() if each.is_dir())
    assert not (folder / MARKER).exists()
    assert ensure_environment(VERSION).path == folder
    assert (folder / MARKER).exists()


def test_two_processes_at_once_make_one(quick: None, tmp_path: Path) -> None:
    processes = [in_a_process(tmp_path, 0.5) for _ in range(2)]
    answers = [process.communicate()[0] for process in processes]
    assert answers[0]
    assert answers[0] == answers[1]


def test_a_missing_network_is_named_with_its_cure(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as bound:  # not listening: whoever connects is refused
        bound.bind(("127.0.0.1", 0))
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.delenv("PIP_FIND_LINKS")
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{bound.getsockname()[1]}/simple")
        monkeypatch.setenv("PIP_RETRIES", "1")  # pip tells of a failure when it tries again
        with pytest.raises(NetworkError, match="nothing of it was kept"):
            ensure_environment(VERSION)
    assert leftovers(tmp_path) == []


def test_changed_wheel_is_refused(wheelhouse: Path, tmp_path: Path) -> None:
    make_wheel(wheelhouse, "rknn_toolkit2", VERSION, {"rknn/__init__.py": "changed = True"})
    with pytest.raises(DownloadError, match="corrupted or replaced"):
        ensure_environment(VERSION)
    assert leftovers(tmp_path) == []


def test_a_missing_wheel_leaves_no_environment(wheelhouse: Path, tmp_path: Path) -> None:
    next(wheelhouse.glob("*.whl")).unlink()
    with pytest.raises(ToolkitNotInstallableError, match="No matching distribution"):
        ensure_environment(VERSION)
    assert leftovers(tmp_path) == []


def test_full_disk_is_seen_before(wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DiskFullError, match="0 MiB free"):
        ensure_environment(VERSION)
    assert leftovers(tmp_path) == []


def test_a_cache_that_is_no_folder_is_refused(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(ToolkitNotInstallableError, match=CACHE_VARIABLE):
        ensure_environment(VERSION)


@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [
        ("Linux", "aarch64", "glibc"),
        ("Darwin", "arm64", ""),
        ("Windows", "AMD64", ""),
        ("Linux", "x86_64", ""),
    ],
)
def test_other_machines_are_refused(
    wheelhouse: Path, monkeypatch: pytest.MonkeyPatch, system: str, machine: str, libc: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    with pytest.raises(ToolkitNotInstallableError, match=f"this is {system} on {machine}"):
        ensure_environment(VERSION)


@pytest.mark.parametrize("shim", [None, "exit 127", "echo 3.9"])
def test_a_python_without_wheels_is_refused(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shim: str | None
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    if shim is not None:
        (programs / "python3.12").write_text(f"#!/bin/sh\n{shim}\n")
        (programs / "python3.12").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    with pytest.raises(ToolkitNotInstallableError, match=r"this is 3\.13.*Install Python 3\.12.*@container"):
        ensure_environment(VERSION)


def test_other_python_on_the_path_serves(
    wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = "{}.{}".format(*sys.version_info[:2])
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / f"python{here}").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / f"python{here}").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    entry = versions.toolkit_version(VERSION)
    if here not in entry.pythons:
        pytest.skip(f"needs to run on Python {', '.join(entry.pythons)}")
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    assert venv._find_python(entry)[1] == here or shutil.which("python3.12")


def test_lock_gives_each_wheel_by_hash_and_no_place(wheelhouse: Path) -> None:
    wheel = next(wheelhouse.glob("*.whl"))
    other = make_wheel(wheelhouse, "a_b", "1", {"a_b.py": ""})
    text = make_lock([wheel, other], "two wheels")
    assert text.splitlines()[0] == "# two wheels"
    assert text.splitlines()[1].startswith("a-b==1 ")
    assert f"--hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" in text
    assert "://" not in text
    assert make_lock([other, wheel], "two wheels") == text

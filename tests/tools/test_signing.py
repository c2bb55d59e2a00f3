"""A folder that model-signing signed verifies on a board's Python, and nothing that was changed does."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import read_page

if importlib.util.find_spec("model_signing") is None:
    pytest.skip("needs the package model_signing: see `tox -e tools`", allow_module_level=True)
if shutil.which("openssl") is None:
    pytest.skip("needs the program openssl", allow_module_level=True)

(PROGRAM,) = [
    block.text
    for block in read_page("docs/sign-and-verify.md").blocks
    if block.markers.get("file") == "verify.py"
]


def run(*command: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def make_key(folder: Path, name: str) -> None:
    curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
    assert run("openssl", "genpkey", *curve, "-out", f"{name}.pem", folder=folder).returncode == 0
    assert (
        run(
            "openssl", "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub", folder=folder
        ).returncode
        == 0
    )


def model_signing(action: str, *words: str, folder: Path) -> int:
    return run(sys.executable, "-m", "model_signing", action, "key", *words, folder=folder).returncode


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``iris/``, its signature ``iris.sig``, two keys and the page's program."""
    folder = tmp_path_factory.mktemp("signed")
    (folder / "iris" / "more").mkdir(parents=True)
    (folder / "iris" / "iris.rknn").write_bytes(bytes(range(256)) * 64)
    (folder / "iris" / "iris.rknn.json").write_text('{"format": 1}')
    (folder / "iris" / "more" / "iris.npz").write_bytes(b"arrays")
    (folder / "verify.py").write_text(PROGRAM)
    for name in ("key", "other"):
        make_key(folder, name)
    assert (
        model_signing("sign", "--private_key", "key.pem", "--signature", "iris.sig", "iris", folder=folder)
        == 0
    )
    return folder


@pytest.fixture(params=["this", "oldest"])
def python(request: pytest.FixtureRequest) -> str:
    """This Python, and the oldest that a board may have, both without packages."""
    if request.param == "this":
        return sys.executable
    oldest = shutil.which(os.environ.get("SCIRKNN_PYTHON38", "python3.8"))
    if oldest is None or run(oldest, "-c", "", folder=Path.cwd()).returncode:
        pytest.skip("needs python3.8 on the path")
    return oldest


def change_a_byte(folder: Path) -> None:
    path = folder / "iris" / "iris.rknn"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_a_link(folder: Path) -> None:
    path = folder / "iris" / "iris.rknn.json"
    path.rename(folder / "elsewhere.json")
    path.symlink_to(folder / "elsewhere.json")


def sign_by_another(folder: Path) -> None:
    shutil.copy(folder / "other.pub", folder / "key.pub")


def change_the_signature(folder: Path) -> None:
    signature = json.loads((folder / "iris.sig").read_text())
    envelope = signature["dsseEnvelope"]
    envelope["payload"] = base64.b64encode(base64.b64decode(envelope["payload"]) + b" ").decode()
    (folder / "iris.sig").write_text(json.dumps(signature))


CHANGES: dict[str, Callable[[Path], object]] = {
    "one changed byte": change_a_byte,
    "an extra file": lambda folder: (folder / "iris" / "x").write_text("x"),
    "an extra file below": lambda folder: (folder / "iris" / "more" / "x").write_text("x"),
    "a missing file": lambda folder: (folder / "iris" / "more" / "iris.npz").unlink(),
    "a link to a file that is right": replace_by_a_link,
    "a link to a folder": lambda folder: (folder / "iris" / "x").symlink_to(folder),
    "another key": sign_by_another,
    "a changed signature": change_the_signature,
}


def verify_on_a_board(python: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run(python, "-I", "-S", "verify.py", "key.pub", "iris.sig", "iris", folder=folder)


def test_what_was_signed_verifies(signed: Path, python: str) -> None:
    done = verify_on_a_board(python, signed)
    assert (done.returncode, done.stdout) == (0, "3 files are as they were signed.\n"), done.stderr


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_does_not_verify(signed: Path, tmp_path: Path, python: str, change: str) -> None:
    folder = tmp_path / "signed"
    shutil.copytree(signed, folder)
    CHANGES[change](folder)
    done = verify_on_a_board(python, folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    words = ("--public_key", "key.pub", "--signature", "iris.sig", "iris")
    assert model_signing("verify", *words, folder=folder) != 0

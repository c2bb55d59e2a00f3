"""A virtual board and a toolkit for the tests of this folder, and a scirknn that misbehaves as it is told."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import scirknn
import sklearn2rknn
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.virtual import virtual_board
from rknn_harness.boards.session.session import BoardSession
from scirknn.bundle import Variant, write_bundle
from tests.device_runtime.bundles import regressor_bundle

TOOLKIT = "2.3.2"

STAND_IN = '''
"""Stands for scirknn on a board: the text of the model file says how it behaves."""
import ctypes
import os
import time
from types import SimpleNamespace

import numpy as np

__version__ = "stand-in"


class NativeError(Exception):
    code = -6


class InputError(ValueError):
    pass


class Model:
    def __init__(self, manner, core="auto"):
        self.manner = manner
        self.core = core

    def raw_output(self, X):
        if self.manner.startswith("as in "):  # a file that the test changes
            with open(self.manner[6:]) as file:
                return Model(file.read()).raw_output(X)
        if self.manner.startswith("hang at "):  # a file that appears once it hangs
            open(self.manner[8:], "w").close()
            self.manner = "hang"
        if self.manner == "hang":
            ctypes.PyDLL(None).pause()  # in native code, with Python's lock held
        if self.manner.startswith("slow, counts in "):  # a file that grows by a byte a call
            with open(self.manner[16:], "a") as file:
                file.write(".")
            time.sleep(0.1)
        if self.manner == "crash":
            ctypes.string_at(0)
        if self.manner == "exit":
            os._exit(7)
        if self.manner == "chatter":
            os.write(1, b"vendor says hello\\n" * 200_000)
        if self.manner == "wrong":
            return np.zeros((len(X), 2))
        if self.manner == "refuse":
            raise NativeError("the vendor says no")
        if self.manner == "picky":
            raise InputError("X is wrong")
        if self.manner == "cores" and self.core == "2":
            return np.zeros((len(X), 2))
        return np.asarray(X, dtype=np.float64)[:, :2] * 2

    bundle = SimpleNamespace(takes_rows=False)
    main_method = "predict"

    def decide(self, output, inputs=None):
        return np.array(["yes", "no"])[output.argmax(axis=1)]

    def predict(self, X):
        return self.decide(self.raw_output(X))

    def probabilities(self, output, inputs=None):
        return output / 4

    def close(self):
        pass


def load(path, device, core="auto"):
    with open(path) as file:
        manner = file.read()
    if manner == "hang-in-load":
        time.sleep(3600)
    if manner == "bad":
        raise NativeError("not a model")
    if manner == "one-core" and core == "2":
        raise NativeError("no such core")
    return Model(manner, core)
'''


@pytest.fixture(autouse=True, scope="session")
def no_boards_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hides the boards that the developer has set up on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        patch.delenv("RKNN_HARNESS_BOARD", raising=False)
        yield


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A virtual board that no test harms."""
    with virtual_board(tmp_path_factory.mktemp("board")) as running:
        yield running


@pytest.fixture(scope="module")
def toolkit() -> Iterator[sklearn2rknn.Toolkit]:
    """The toolkit that cases are converted with."""
    try:
        opened = sklearn2rknn.open_toolkit(TOOLKIT)
    except sklearn2rknn.ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 {TOOLKIT}: {error}")
    with opened:
        yield opened


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a package that stands for scirknn on the board."""
    folder = tmp_path_factory.mktemp("runtime") / "scirknn"
    folder.mkdir()
    (folder / "__init__.py").write_text(STAND_IN)
    (folder / "devices").mkdir()
    # What the runner itself uses.
    modules = ("arrays.py", "errors.py", "files.py", "text.py")
    devices = ("devices/__init__.py", "devices/compatibility.py", "devices/protocol.py")
    for name in (*modules, *devices):
        shutil.copy(Path(scirknn.__file__).parent / name, folder / name)
    return folder


@pytest.fixture
def session(board: Board, stand_in: Path) -> Iterator[BoardSession]:
    """A session whose runner has the stand-in."""
    with BoardSession(board, runtime=stand_in) as opened:
        yield opened


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Path]:
    """Makes a bundle whose model file says how the stand-in shall behave."""

    def make(manner: str, name: str = "model.rknn") -> Path:
        content = manner.encode()
        digest = hashlib.sha256(content).hexdigest()
        found = regressor_bundle(tmp_path / name, 3, 2, (Variant(name, 1, digest),), channels=8)
        write_bundle(found, {name: content})
        return found.path

    return make

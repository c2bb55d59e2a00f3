"""The arm64 boards and models for them. `tox -e arm64` runs these tests; elsewhere they are skipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import sklearn2rknn
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.arm64 import arm64_boards

MAKE_TREE = Path(__file__).parents[2] / "containers" / "arm64" / "make-tree"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if not os.environ.get("RKNN_HARNESS_ARM64"):
        pytest.skip("needs root and the arm64 board: run `tox -e arm64`")


class Boards(dict[str, Board]):
    """Boards by name; a test that asks for one that cannot be had is skipped."""

    def __missing__(self, name: str) -> Board:
        pytest.skip(f"there is no {name}: the Debian mirror has Debian 11 no longer")


@pytest.fixture(scope="session")
def boards(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Board]]:
    """Two machines made from nothing: Debian 12 with every version of rknnlite, and 11 with one."""

    def tell(text: str) -> None:
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(text, flush=True)

    tell("\nmaking the boards: Debian 12 and 11 for arm64, three versions of rknnlite")
    folder = tmp_path_factory.mktemp("arm64")
    twelve, eleven = (
        (folder / release, _start_making(folder / release, release)) for release in ("bookworm", "bullseye")
    )
    found = Boards()
    with contextlib.ExitStack() as running:
        errors = _end_of(twelve[1])
        assert twelve[0].exists(), errors
        found |= running.enter_context(_machine(twelve[0], "arm64"))
        errors = _end_of(eleven[1])
        if "does not have a Release file" not in errors:  # apt's words
            assert eleven[0].exists(), errors
            older = running.enter_context(_machine(eleven[0], "debian11"))
            found["debian11-2.3.2"] = older["debian11-2.3.2"]
        tell(f"up: {' '.join(found)}")
        yield found


def _start_making(tree: Path, release: str) -> subprocess.Popen[str]:
    command = [str(MAKE_TREE), str(tree), sys.executable, release]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def _end_of(making: subprocess.Popen[str]) -> str:
    """Wait, and return what was said."""
    with making:
        assert making.stderr is not None
        return making.stderr.read()


@contextlib.contextmanager
def _machine(tree: Path, name: str) -> Iterator[Mapping[str, Board]]:
    with arm64_boards(tree, tree.with_suffix(".board"), name) as running:
        assert _processes_in(tree)
        yield running
    end = time.monotonic() + 10
    while _processes_in(tree) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _processes_in(tree)
    shutil.rmtree(tree)  # 200 MB


def _processes_in(tree: Path) -> list[str]:
    """Processes whose root is the tree."""
    found = []
    for entry in os.scandir("/proc"):
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and os.path.samefile(f"{entry.path}/root", tree):
                found.append(entry.name)
    return found


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, bytes]:
    """Files of the toolkit: digits, by precision, rows a run and head."""
    X, y = load_digits(return_X_y=True)
    estimator = MLPClassifier((48,), max_iter=5, random_state=0).fit(X / 16, y)
    path = tmp_path_factory.mktemp("models") / "model.rknn"
    files = {}
    with sklearn2rknn.open_toolkit() as toolkit:
        for name, precision, samples, head in (
            ("float16", "float16", 1, "host"),
            ("float16 of 8", "float16", 8, "host"),
            ("int8", "int8", 1, "host"),
            ("int8 of 8", "int8", 8, "host"),
            ("softmax of 8", "float16", 8, "npu"),
        ):
            sklearn2rknn.convert(
                estimator,
                path,
                precision=precision,
                batch_size=samples,
                example_input=X / 16,
                toolkit=toolkit,
                options=sklearn2rknn.ConversionOptions(head=head),
            )
            files[name] = path.read_bytes()
        for name, platform in (("softmax", "rk3588"), ("for an rk3576", "rk3576")):
            graph = _with_softmax(sklearn2rknn.network_from_estimator(estimator))
            files[name] = toolkit.build(graph.SerializeToString(), config={"target_platform": platform}).rknn
    return files


def _with_softmax(network: sklearn2rknn.Network) -> onnx.ModelProto:
    """The network for one row with its head in the graph."""
    model = sklearn2rknn.onnx_from_network(network, 1)
    model.graph.node[-1].output[0] = "logits"
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["y"], axis=1))
    return model


@pytest.fixture(scope="session")
def rows() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Eight rows beyond what the models were made for."""
    return np.random.default_rng(5).normal(size=(8, 64)).astype(np.float32)

"""The arm64 board and models for it. `tox -e arm64` runs these tests; elsewhere they are skipped."""

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
from rknn_harness.arm64_board import arm64_boards
from rknn_harness.boards import Board

MAKE_TREE = Path(__file__).parents[2] / "containers" / "arm64" / "make-tree"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if not os.environ.get("RKNN_HARNESS_ARM64"):
        pytest.skip("needs root and the arm64 board: run `tox -e arm64`")


@pytest.fixture(scope="session")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Board]]:
    """A board made from nothing: one machine, an environment for each version of rknnlite."""
    folder = tmp_path_factory.mktemp("arm64")
    subprocess.run([MAKE_TREE, folder / "tree", sys.executable], check=True)
    with arm64_boards(folder / "tree", folder / "board") as running:
        assert _processes_in(folder / "tree")
        yield running
    end = time.monotonic() + 10
    while _processes_in(folder / "tree") and time.monotonic() < end:
        time.sleep(0.05)
    assert not _processes_in(folder / "tree")
    shutil.rmtree(folder / "tree")  # 300 MB


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
                head=head,
                example_input=X / 16,
                toolkit=toolkit,
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

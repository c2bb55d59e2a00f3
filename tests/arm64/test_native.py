"""librknnrt.so called by ctypes on the board, strict of memory: rknnlite's bits, and without rknnlite."""

from __future__ import annotations

import io
import json
import zipapp
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import scirknn
import sklearn2rknn
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.ssh.connection import Connection
from scirknn.bundle import metadata_path
from tests.counts import counted
from tests.harness.boards.shell import run

BOARD = "arm64-2.3.2"
PRECISIONS, BATCHES = ("float16", "int8", "int16"), (1, 8, 64)
SCRIPT = Path(__file__).with_name("ask_native.py")
SOURCES = Path(scirknn.__file__).parents[1]
ROWS = 70

pytestmark = pytest.mark.timeout(1800)  # qemu on a busy machine

Answers = Mapping[str, Mapping[str, tuple[str, str]]]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Of 20 models in three precisions a share, for 1, 8 and 64 rows a run in turn."""
    folder, X = tmp_path_factory.mktemp("bundles"), load_digits().data / 16
    y, paths = load_digits().target, []
    for number in range(counted(60)):
        precision, batch_size = PRECISIONS[number % 3], BATCHES[(number + number // 3) % 3]
        hidden = ((16,), (40, 24), (64,), (33, 17, 9))[number // 3 % 4]
        activation = ("relu", "tanh", "logistic")[number // 3 % 3]
        estimator = MLPClassifier(hidden, activation=activation, max_iter=3, random_state=number // 3)
        paths.append(folder / f"{number}-{precision}-{batch_size}.rknn")
        sklearn2rknn.convert(
            estimator.fit(X, y), paths[-1], precision=precision, batch_size=batch_size, example_input=X
        )
    return paths


@pytest.fixture(scope="module")
def ask(boards: Mapping[str, Board], bundles: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    archive, X = tmp_path_factory.mktemp("zipapp") / "scirknn.pyz", io.BytesIO()
    zipapp.create_archive(SOURCES, archive, main="scirknn.__main__:run")
    np.save(X, _rows())
    files: dict[str, bytes | Path] = {"scirknn.pyz": archive, "X.npy": X.getvalue(), SCRIPT.name: SCRIPT}
    for bundle in bundles:
        variants = [file for _, file in scirknn.read_bundle(bundle).files()]
        files |= {file.name: file for file in (*variants, metadata_path(bundle))}
    board = boards[BOARD]
    with BoardSession(board) as session:
        folder = f"{board.work_folder}/{session.files.put(files)}"

    def answers(python: str, *runtimes: str) -> Answers:
        environment = [f"PYTHONPATH={folder}/scirknn.pyz", "VIRTUAL_NPU_STRICT_SYNC=1"]
        with Connection(board) as connection:
            command = ["env", *environment, python, f"{folder}/{SCRIPT.name}", folder, *runtimes]
            done = run(connection, command, seconds=1500)
        assert done.status == 0, done.stdout + done.stderr
        found: Answers = json.loads(done.stdout.splitlines()[-1])
        return found

    return answers


def _rows() -> Any:
    return load_digits().data[:ROWS] / 16


@pytest.fixture(scope="module")
def answers(ask: Any, boards: Mapping[str, Board]) -> Answers:
    found: Answers = ask(boards[BOARD].python, "auto", "native", "rknnlite")
    return found


def test_bound_memory_gives_rknnlites_bits(answers: Answers, bundles: list[Path]) -> None:
    assert sorted(answers) == sorted(bundle.stem for bundle in bundles)
    for name, found in answers.items():
        assert [found[runtime][0] for runtime in found] == ["native", "native", "rknnlite"], name
        assert found["auto"][1] == found["native"][1] == found["rknnlite"][1], name


def test_they_are_the_virtual_npus(answers: Answers, bundles: list[Path]) -> None:
    for bundle in bundles:
        with scirknn.load(bundle, device="virtual") as model:
            expected = model.raw_output(_rows()).astype("<f8").tobytes().hex()
        assert answers[bundle.stem]["native"][1] == expected, bundle.stem


def test_a_board_without_rknnlite_needs_none(ask: Any, answers: Answers) -> None:
    without = ask("/usr/bin/python3", "auto")
    assert {name: found["auto"] for name, found in without.items()} == {
        name: found["native"] for name, found in answers.items()
    }

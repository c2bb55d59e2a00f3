"""The device suite on the arm64 boards as on any other, and its bits against the x86 virtual board's."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor

import sklearn2rknn
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.arm64 import boards_file
from rknn_harness.boards.providers.virtual import virtual_board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.run_folder import read_run

NUMPY = {
    "arm64-2.3.0": "1.26.4",
    "arm64-2.3.2": "1.26.4",
    "arm64-2.5.0": "1.26.4",
    "debian11-2.3.2": "1.19.5",
}
"""Boards, and the numpy that each has."""


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Float16 and int8, classifier and regressor, all three activations, one and two sizes of run."""
    folder = tmp_path_factory.mktemp("bundles")
    X, y = load_digits(return_X_y=True)
    X = X[:300] / 16
    paths = []
    with sklearn2rknn.open_toolkit() as toolkit:
        for kind, target in ((MLPClassifier, y[:300]), (MLPRegressor, X[:, 20:23] * 4)):
            for activation in ("relu", "tanh", "logistic"):
                model = kind(
                    hidden_layer_sizes=(40, 24), activation=activation, max_iter=5, random_state=1
                ).fit(X, target)
                for precision, samples in (("float16", (1, 64)), ("int8", (16,))):
                    path = folder / f"{kind.__name__}-{activation}-{precision}.rknn"
                    sklearn2rknn.convert(
                        model,
                        path,
                        precision=precision,
                        example_input=X,
                        batch_size=samples,
                        toolkit=toolkit,
                        # Hardly trained: it is the bits that are compared.
                        options=sklearn2rknn.ConversionOptions(min_labels=0, min_r2=0),
                    )
                    paths.append(path)
    return paths


@pytest.fixture
def x86(tmp_path: Path) -> Iterator[Board]:
    """The x86 virtual board, whose Python is told of BLAS what the arm64 board's executor is told.

    The order of float32 sums is BLAS's, and depends on the processor that it takes itself to be on.
    """
    told = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("OPENBLAS_")]
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec env {shlex.join([*told, sys.executable])} "$@"\n')
    python.chmod(0o755)
    with virtual_board(tmp_path / "x86") as board:
        yield attrs.evolve(board, python=str(python))


@pytest.mark.parametrize("name", NUMPY)
def test_bits_are_those_of_the_x86_virtual_board(
    boards: Mapping[str, Board], x86: Board, bundles: list[Path], name: str
) -> None:
    X = np.random.default_rng(3).uniform(0, 1, (70, 64))
    with BoardSession(x86) as here, BoardSession(boards[name]) as there:
        facts = there.facts()
        assert (facts["machine"], facts["rknnlite"]) == ("aarch64", name.partition("-")[2])
        assert facts["numpy"] == NUMPY[name]
        assert facts["librknnrt"].startswith("2.5.0")
        assert "rockchip,rk3588" in facts["compatible"]
        for path in bundles:
            here.models.load(path)
            there.models.load(path)
            mine, theirs = here.models.predict(X), there.models.predict(X)
            np.testing.assert_array_equal(theirs.output, mine.output, err_msg=path.name)
            np.testing.assert_array_equal(theirs.predictions, mine.predictions, err_msg=path.name)


@pytest.mark.timeout(900)
def test_the_device_suite_passes(
    boards: Mapping[str, Board], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whole with one version of rknnlite, in part with the others and on Debian 11."""
    file = tmp_path / "boards.toml"
    file.write_text(boards_file(boards))
    run = tmp_path / "run"
    chosen = [word for name in boards for word in ("--board", name)]
    keyword = "arm64-2.3.2 or iris-float16 or xor-int8 or n16"  # n16: the random networks
    command = [
        *(sys.executable, "-m", "rknn_harness", "run", "--boards", str(file), *chosen),
        *("--max-cases", "2", "--seed", "1", "-k", keyword, "--run-dir", str(run)),
    ]
    with capfd.disabled():  # it shows how far it is
        assert subprocess.run(command, cwd=tmp_path).returncode == 0
    results = read_run(run).results
    assert {each.outcome for each in results} <= {Outcome.PASS, Outcome.UNSUPPORTED}
    count = Counter(each.board for each in results if each.outcome is Outcome.PASS)
    assert count["arm64-2.3.2"] > 20
    assert min(count[name] for name in boards) > 5
    # The host's CPU alone walks a tree.
    programs = [each for each in results if each.outcome is Outcome.PASS and each.placement]
    assert len(programs) > 40
    for each in programs:
        assert each.properties["board_equals_virtual_npu"] == ""

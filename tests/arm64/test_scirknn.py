"""scirknn over the vendor's own rknnlite: answers to the bit, errors by the vendor's names, commands."""

from __future__ import annotations

import hashlib
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
from scirknn.bundle.sidecar import with_digest
from tests.harness.boards.shell import Completed, run

NAMES = ("arm64-2.3.0", "arm64-2.3.2", "arm64-2.5.0", "debian11-2.3.2")
SCRIPT = Path(__file__).with_name("ask_scirknn.py")
SOURCES = Path(scirknn.__file__).parents[1]
ROWS = 40

pytestmark = pytest.mark.timeout(900)  # qemu on a busy machine


class OnBoard:
    """The files of these tests on a board, and commands there."""

    def __init__(self, connection: Connection, board: Board, files: Mapping[str, bytes | Path]) -> None:
        self._connection, self._python = connection, board.python
        with BoardSession(board) as session:
            self.folder = f"{board.work_folder}/{session.files.put(files)}"

    def python(self, *arguments: str) -> Completed:
        pythonpath = f"PYTHONPATH={self.folder}/scirknn.pyz"
        return run(self._connection, ["env", pythonpath, self._python, *arguments], seconds=200)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    X, y = load_digits(return_X_y=True)
    estimator = MLPClassifier((48,), max_iter=5, random_state=0).fit(X / 16, y)
    path = tmp_path_factory.mktemp("bundle") / "good.rknn"
    sklearn2rknn.convert(estimator, path, batch_size=(1, 8), example_input=X / 16)
    return path


@pytest.fixture(scope="module")
def files(bundle: Path, models: Mapping[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Any:
    archive = tmp_path_factory.mktemp("zipapp") / "scirknn.pyz"
    zipapp.create_archive(SOURCES, archive, main="scirknn.__main__:run")
    X = _rows()
    buffer, text = io.BytesIO(), io.StringIO()
    np.save(buffer, X)
    np.savetxt(text, X, delimiter=",", fmt="%.9g")
    read = scirknn.read_bundle(bundle)
    found: dict[str, bytes | Path] = {file.name: file for _, file in read.files()}
    found |= {
        "scirknn.pyz": archive,
        "ask_scirknn.py": SCRIPT,
        "X.npy": buffer.getvalue(),
        "X.csv": text.getvalue().encode(),
        metadata_path(bundle).name: metadata_path(bundle),
    }
    # As the first scirknn would have described them: without a digest by which they could be refused earlier.
    described = {"input_shape": [1, 64], "output_shape": [1, 10], "mode": "regressor"}
    for name, model in (
        ("junk", b"no model at all"),
        ("truncated", models["float16"][:-100]),
        ("rk3576", models["for an rk3576"]),
    ):
        found[f"{name}.rknn"] = model
        found[f"{name}.rknn.json"] = json.dumps(described).encode()
    narrow = json.loads(metadata_path(bundle).read_text())
    digest = hashlib.sha256(models["float16"]).hexdigest()
    narrow |= {"variants": [{"file": "narrow.rknn", "samples": 1, "sha256": digest}], "input": None}
    narrow |= {"n_features_in": 40, "channels": 40, "parts": 1}
    del narrow["probe_rows"], narrow["cpu"]  # which are 64 wide
    found["narrow.rknn"], found["narrow.rknn.json"] = (
        models["float16"],
        json.dumps(with_digest(narrow)).encode(),
    )
    return found


def _rows() -> Any:
    return load_digits().data[:ROWS].astype(np.float32) / 16


@pytest.fixture(scope="module", params=NAMES)
def on_board(request: pytest.FixtureRequest, boards: Mapping[str, Board], files: Any) -> Any:
    board = boards[request.param]
    with Connection(board) as connection:
        yield OnBoard(connection, board, files)


@pytest.fixture(scope="module")
def asked(on_board: OnBoard) -> dict[str, Any]:
    done = on_board.python(f"{on_board.folder}/ask_scirknn.py", on_board.folder)
    assert done.status == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_every_core_and_the_pool_give_the_virtual_npus_bits(asked: dict[str, Any], bundle: Path) -> None:
    with scirknn.load(bundle, device="virtual") as model:
        expected = model.raw_output(_rows()).astype("<f4").tobytes().hex()
    assert asked["cores"] == dict.fromkeys(asked["cores"], expected)
    assert len(asked["cores"]) == 6


def test_errors_carry_the_vendors_names(asked: dict[str, Any]) -> None:
    assert asked["refused"] == {
        "junk": ["init_runtime", -1, "RKNN_ERR_MODEL_INVALID"],
        "truncated": ["init_runtime", -1, "RKNN_ERR_MODEL_INVALID"],
        "rk3576": ["platform"],  # before the vendor's runtime is asked
        "narrow": ["rknn_inputs_set", -8, "RKNN_ERR_INPUT_INVALID"],
    }


def test_threads_are_answered_right_and_keep_nothing(asked: dict[str, Any]) -> None:
    assert asked["threads"]
    # github.com/airockchip/rknn-toolkit2 issue 42 saw 42 kB kept of each call: 8 MB of these.
    assert asked["grown"] < 1 << 20
    assert asked["logging kept"]


def test_predict_works_without_python_code(on_board: OnBoard, bundle: Path) -> None:
    with scirknn.load(bundle, device="virtual") as model:
        expected = model.predict(_rows())
    for given in ("X.csv", "X.npy"):
        done = on_board.python(
            "-m", "scirknn", "predict", f"{on_board.folder}/good.rknn", f"{on_board.folder}/{given}",
            "--device", "npu", "--core", "pool",
        )  # fmt: skip
        assert done.status == 0, done.stderr
        header, *rows = [line for line in done.stdout.splitlines() if line]
        assert rows == list(map(str, expected)), done.stdout
        assert header == "prediction"


def test_the_doctor_finds_the_vendors_runtime(on_board: OnBoard) -> None:
    done = on_board.python("-m", "scirknn", "doctor", f"{on_board.folder}/good.rknn", "--json")
    start = done.stdout.index("[\n")
    found = json.loads(done.stdout[start:])
    good = {each["rule"] for each in found if each["level"] == "ok"}
    assert good >= {"python", "numpy", "chip", "librknnrt", "rknnlite", "model", "runtime"}, found
    assert [each["rule"] for each in found if each["level"] == "error"] == ["nodes"]  # there is no NPU
    assert done.status == 1

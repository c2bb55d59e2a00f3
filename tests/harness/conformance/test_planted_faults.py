"""What the way from estimator to board makes of planted faults: a changed file, a torn one, a dead board."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import sklearn2rknn
import virtual_npu
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.virtual import VirtualBoard
from rknn_harness.boards.session.model_calls import ModelCalls, Prediction
from rknn_harness.conformance.run_case import run_case
from rknn_harness.models.datasets import DATASETS
from rknn_harness.records.case import Case, dataset_case, random_case
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import ExitCode, Outcome, Stage, exit_code
from rknn_harness.records.run_folder import RunFolder, manifest, read_run
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.report.views import write_views
from rknn_harness.suite.suite import Suite
from scirknn.bundle.sidecar import with_digest

TOOLKIT = "2.3.2"


def case_of(precision: str = "float16", name: str = "iris") -> Case:
    return dataset_case(name, precision, TOOLKIT, (64,))


@pytest.fixture(scope="module")
def link(board: Board) -> Iterator[BoardLink]:
    with BoardLink(board) as opened:
        yield opened


def change(path: Path, edit: Callable[[bytearray], None], *, fix_digest: bool) -> None:
    """Edit a bundle's model file, and its metadata's sha256 if asked."""
    content = bytearray(path.read_bytes())
    edit(content)
    path.write_bytes(content)
    if fix_digest:
        sidecar = path.with_name(path.name + ".json")
        document = json.loads(sidecar.read_text())
        document["variants"][0]["sha256"] = hashlib.sha256(content).hexdigest()
        sidecar.write_text(json.dumps(with_digest(document)))


def flip_a_weight(path: Path) -> None:
    """Turn the largest weight of the last layer into its opposite."""
    file = virtual_npu.read(path)
    (tensor,) = (tensor for tensor in file.tensors if tensor.name == "weights_1")
    stored = bytes(file.buffers[tensor.buffer])
    dtype = np.dtype(tensor.dtype)
    weights = np.frombuffer(stored[: len(stored) // dtype.itemsize * dtype.itemsize], dtype)
    place = int(np.abs(weights.astype(np.float64)).argmax()) * dtype.itemsize
    largest = float(weights[place // dtype.itemsize])
    # -128 has no opposite in int8.
    opposite = np.array(-largest if dtype.kind == "f" else min(-largest, 127.0)).astype(dtype).tobytes()

    def edit(content: bytearray) -> None:
        assert content.count(stored) == 1
        start = content.find(stored) + place
        content[start : start + dtype.itemsize] = opposite

    change(path, edit, fix_digest=True)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_flipped_weight_is_a_mismatch(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink, precision: str
) -> None:
    assert run_case(case_of(precision), toolkit, link).outcome is Outcome.PASS
    result = run_case(case_of(precision), toolkit, link, tamper=flip_a_weight)
    assert (result.outcome, result.stage) == (Outcome.MISMATCH, Stage.VIRTUAL_NPU)
    shares = {stage: metrics.output_share or 0 for stage, metrics in result.metrics.items()}
    assert shares[Stage.SIMULATOR] < 1 < shares[Stage.BOARD]


@pytest.mark.parametrize(
    ("name", "precision", "outcome"),
    [("iris", "float16", Outcome.MISMATCH), ("diabetes", "int8", Outcome.UNSUPPORTED)],
)
def test_a_fixed_model_may_be_refused_only_where_that_is_known(
    toolkit: sklearn2rknn.Toolkit,
    link: BoardLink,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    precision: str,
    outcome: Outcome,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sklearn2rknn.UnsupportedModelError("no such model, please")

    monkeypatch.setattr(sklearn2rknn, "convert", refuse)
    result = run_case(case_of(precision, name=name), toolkit, link)
    assert (result.outcome, result.stage, result.attempts) == (outcome, Stage.ONNX, 1)
    assert "no such model" in result.reason


def test_a_file_that_its_digest_does_not_fit_is_a_load_error(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink
) -> None:
    def tear(path: Path) -> None:
        change(path, lambda content: content.extend(b"\0"), fix_digest=False)

    result = run_case(case_of(), toolkit, link, tamper=tear)
    assert result.outcome is Outcome.LOAD_ERROR
    assert "sha256" in result.reason


def test_a_file_that_is_no_model_is_a_load_error(toolkit: sklearn2rknn.Toolkit, link: BoardLink) -> None:
    def ruin(path: Path) -> None:
        change(path, lambda content: content.__setitem__(slice(0, 8), b"NOTRKNN!"), fix_digest=True)

    result = run_case(case_of(), toolkit, link, tamper=ruin)
    assert (result.outcome, result.stage) == (Outcome.LOAD_ERROR, Stage.BOARD)
    assert any("virtual NPU cannot compute this file" in note for note in result.notes)


class LateRows(ModelCalls):
    """Answers each row with the one before it."""

    def predict(self, X: Any, *, deadline: float = 60.0) -> Prediction:
        found = super().predict(X, deadline=deadline)
        assert found.probabilities is not None
        parts = (found.output, found.predictions, found.probabilities)
        return Prediction(*(np.roll(part, 1, axis=0) for part in parts))


def test_a_board_that_mixes_up_rows_is_a_mismatch_at_the_board(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    link.prove(toolkit)
    session = link.session()
    monkeypatch.setattr(session, "models", LateRows(session.runner, session.files))
    result = run_case(case_of(), toolkit, link)
    assert (result.outcome, result.stage) == (Outcome.MISMATCH, Stage.BOARD)


def test_a_file_that_the_converter_keeps_back_is_no_pass_however_wide_its_bound(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink
) -> None:
    """A matrix of toolkits had such networks pass, though the predictions' R2 is 0.94."""
    spec = MlpSpec(8, (4096, 8), "tanh", "regressor", 127, "int", 1.0, 1, 2182, 3)
    result = run_case(random_case(spec, "int8", TOOLKIT, (64,)), toolkit, link)
    assert (result.outcome, result.stage) == (Outcome.UNSUPPORTED, Stage.VIRTUAL_NPU)
    assert "The converter hands over no such file" in result.reason
    share = result.metrics[Stage.VIRTUAL_NPU].output_share
    assert share is not None
    assert share < 1  # the bound does not tell


def test_a_toolkit_that_fails_is_told_in_a_sentence(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = 'ValueError: Traceback (most recent call last):\n  File "x.py", line 1\nValueError: no outputs!'

    def fail(*arguments: object, **options: object) -> None:
        raise sklearn2rknn.ConversionError("build", reason, "E a long log")

    monkeypatch.setattr(sklearn2rknn, "convert", fail)
    result = run_case(case_of(), toolkit, link)
    assert (result.outcome, result.stage) == (Outcome.CONVERT_ERROR, Stage.SIMULATOR)
    assert result.reason == "The toolkit failed in build: ValueError: no outputs!"


def test_an_error_of_the_harness_is_recorded_and_no_models_fault(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rknn_harness.conformance.convert_stage.limits_for", lambda *arguments, **_: 1 / 0)
    result = run_case(case_of(), toolkit, link)
    assert (result.outcome, result.stage) == (Outcome.INFRA_ERROR, None)
    assert result.reason.startswith("The harness itself failed: ZeroDivisionError")


def test_a_board_that_dies_in_the_middle_of_a_run(toolkit: sklearn2rknn.Toolkit, tmp_path: Path) -> None:
    names = ("iris", "wine", "xor", "sine", "linnerud")
    said = manifest(
        toolkits=[{"version": TOOLKIT}],
        boards={"virtual": {"virtual": True, "device": "virtual"}},
        precisions=["float16"],
        seed=0,
    )
    with (
        VirtualBoard(tmp_path / "board") as running,
        RunFolder.begin(tmp_path / "run", said) as folder,
        Suite(folder, {"virtual": running.board}, {TOOLKIT: TOOLKIT}) as suite,
    ):
        for name in names[:2]:
            suite.result(Entry(case_of(name=name), "virtual"))
        running.kill()
        for name in names[2:]:
            suite.result(Entry(case_of(name=name), "virtual"))
    run = read_run(folder.path)
    assert [result.case.group for result in run.results] == list(names)
    assert [result.outcome for result in run.results] == [Outcome.PASS] * 2 + [Outcome.INFRA_ERROR] * 3
    assert [result.attempts for result in run.results] == [1, 1, 2, 1, 1]
    assert run.results[2].notes
    # A board that is gone is waited for once, not for each case.
    assert ["connect" in result.seconds for result in run.results] == [True, True, True, False, False]
    assert "given up" in run.results[3].reason
    assert exit_code(result.outcome for result in run.results) is ExitCode.INFRASTRUCTURE
    page = write_views(folder.path).read_text(encoding="utf-8")
    assert "3 could not be tried" in page


def test_a_connection_that_dies_once_costs_a_second_attempt(
    toolkit: sklearn2rknn.Toolkit, board: Board, tmp_path: Path
) -> None:
    # The module's own link has the board's lease.
    with BoardLink(attrs.evolve(board, lease_folder=str(tmp_path / "lease"))) as link:
        run_case(case_of(), toolkit, link)
        link.session().connection.close()
        result = run_case(case_of(), toolkit, link)
    assert (result.outcome, result.attempts) == (Outcome.PASS, 2)
    assert len(result.notes) == 1


def test_the_command_ends_with_3_when_the_board_dies(toolkit: sklearn2rknn.Toolkit, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with VirtualBoard(tmp_path / "board") as running:
        board = running.board
        boards = tmp_path / "boards.toml"
        boards.write_text(
            f'[board.frail]\nhost = "{board.host}"\nport = {board.port}\nuser = "{board.user}"\n'
            f'key = "{board.key}"\nknown_hosts = "{board.known_hosts}"\ndevice = "virtual"\n'
            f'python = "{sys.executable}"\n'
        )
        command = (
            f"-m rknn_harness run --board frail --boards {boards} --max-cases 0 --family none "
            f"--precision float16 --run-dir {run_dir}"
        )
        root = Path(__file__).parents[3]
        process = subprocess.Popen(
            [sys.executable, *command.split()],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            record, end = run_dir / "cases.jsonl", time.monotonic() + 120
            while not (record.exists() and record.read_bytes().count(b"\n")):
                assert time.monotonic() < end
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.02)
            running.kill()
            said = process.communicate(timeout=200)[0]
        finally:
            process.kill()
    assert process.returncode == ExitCode.INFRASTRUCTURE, said
    run = read_run(run_dir)
    assert len(run.results) == len(DATASETS) + 4
    assert run.results[0].outcome is Outcome.PASS
    assert run.results[-1].outcome is Outcome.INFRA_ERROR
    assert f"report   {run_dir / 'report.html'}" in said
    assert (run_dir / "report.html").is_file()
    assert (run_dir / "junit.xml").is_file()

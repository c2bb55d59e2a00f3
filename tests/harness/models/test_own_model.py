"""A user's own model is judged like a case, whatever its file and its kind."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scirknn
import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.conformance.run_case import CaseFiles, run_case
from rknn_harness.errors import OwnModelError
from rknn_harness.models.own_model import OwnFiles, is_estimator, keep_files, kept_model, own_cases
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import ExitCode, Outcome, Stage
from rknn_harness.records.run_folder import read_run
from rknn_harness.report.numbers import summarize
from rknn_harness.report.views import write_views
from tests.harness.own_files import FAMILIES, KINDS, WRITERS, fitted, fitted_family, write_csv
from tests.harness.report.page_audit import audit
from tests.harness.samples import write_run

PRECISIONS = ("float16", "int8", "int16")
UNLABELLED = ("components", "density", "hidden units")
HARNESS = Path(sys.executable).with_name("rknn-harness")


@pytest.fixture(scope="module")
def link(board: Board) -> Iterator[BoardLink]:
    with BoardLink(board) as opened:
        yield opened


def judged(
    files: OwnFiles,
    folder: Path,
    toolkit: sklearn2rknn.Toolkit,
    link: BoardLink,
    precisions: tuple[str, ...] = ("float16",),
) -> list[CaseResult]:
    """Do what a run does: keep the files, make cases, try them."""
    own = folder / "own"
    keep_files(files, own)
    cases = own_cases(own, precisions)
    opened = toolkit if is_estimator(own / files.name) else None
    return [run_case(case, opened, link, files=CaseFiles(models=own)) for case in cases]


def given(folder: Path, kind: str, suffix: str = "joblib", rows: str = "npy") -> OwnFiles:
    """Write a model, its rows and what is true of them."""
    estimator, X, y = fitted(kind)
    model = folder / f"mine.{suffix}"
    WRITERS[suffix](estimator, model)
    if rows == "npy":
        np.save(folder / "rows.npy", X)
        np.save(folder / "y.npy", y)
    else:
        write_csv(folder / "rows.csv", X)
        write_csv(folder / "y.csv", y, "target")
    return OwnFiles(model, folder / f"rows.{rows}", folder / f"y.{rows}")


@pytest.mark.parametrize(
    ("kind", "suffix", "rows"),
    [
        ("perceptron", "skops", "npy"),
        ("scaled", "joblib", "csv"),
        ("reduced", "pkl", "npy"),
        ("searched", "joblib", "npy"),
        ("scaled target", "skops", "csv"),
        ("mixed table", "joblib", "csv"),
    ],
)
def test_a_model_of_any_kind_is_right(
    kind: str, suffix: str, rows: str, toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path
) -> None:
    files = given(tmp_path, kind, suffix, rows)
    results = judged(files, tmp_path, toolkit, link, ("float16", "int16"))
    assert [result.case.id for result in results] == ["mine-float16-n64", "mine-int16-n64"]
    estimator, X, y = fitted(kind)
    for result in results:
        assert result.outcome is Outcome.PASS, result.reason
        assert result.case.group == "mine"
        assert result.metrics[Stage.BOARD].rows == len(X)
        assert result.score is not None
        assert result.score.rows == len(X) // 2
        assert result.score.measure == ("R2" if kind == "scaled target" else "accuracy")
        assert result.score.sklearn is not None
        assert result.score.board == pytest.approx(result.score.sklearn, abs=0.03)
        assert abs(result.score.sklearn - estimator.score(X, y)) < 0.1
        for name in ("bound", "onnx_equals_sklearn", "simulator_equals_virtual_npu", "rows_independent"):
            assert result.properties[name] == ""
        assert CaseResult.from_json(json.loads(result.line())).line() == result.line()


def test_every_kind_is_tried() -> None:
    tried = test_a_model_of_any_kind_is_right.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert [kind for kind, _, _ in tried] == list(KINDS)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_model_of_another_family_is_right(
    kind: str, toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path
) -> None:
    estimator, X, y = fitted_family(kind)
    WRITERS["joblib"](estimator, tmp_path / "mine.joblib")
    np.save(tmp_path / "rows.npy", X)
    if y is not None:
        np.save(tmp_path / "y.npy", y)
    files = OwnFiles(
        tmp_path / "mine.joblib", tmp_path / "rows.npy", None if y is None else tmp_path / "y.npy"
    )
    (result,) = judged(files, tmp_path, toolkit, link)
    assert result.outcome is Outcome.PASS, result.reason
    assert result.metrics[Stage.BOARD].rows == len(X)
    for name in ("bound", "onnx_equals_sklearn", "simulator_equals_virtual_npu", "rows_independent"):
        assert result.properties[name] == ""
    assert (result.properties.get("labels") == "") == (kind not in ("least squares", "poisson", *UNLABELLED))
    assert (result.score is None) == (y is None)
    if result.score is not None:
        assert result.score.board == pytest.approx(result.score.sklearn, abs=0.01)


def test_few_rows_give_no_percentage(toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path) -> None:
    files = given(tmp_path, "perceptron")
    for name in ("rows", "y"):
        path = tmp_path / f"{name}.npy"
        np.save(path, np.load(path)[:40])
    (result,) = judged(files, tmp_path, toolkit, link)
    assert any(note.startswith("Not checked on rows of its own: 20 rows") for note in result.notes)
    assert result.metrics[Stage.BOARD].agreement is None
    assert result.score is not None
    assert (result.score.rows, result.score.board, result.score.sklearn) == (20, None, None)


@pytest.fixture(scope="module")
def converted(toolkit: sklearn2rknn.Toolkit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bundle, its estimator, rows, labels, and another estimator of the same shape."""
    folder = tmp_path_factory.mktemp("converted")
    estimator, X, y = fitted("scaled")
    sklearn2rknn.convert(
        estimator, folder / "wine.rknn", precision="int16", example_input=X[::2], toolkit=toolkit
    )
    WRITERS["skops"](estimator, folder / "wine.skops")
    np.save(folder / "rows.npy", X)
    np.save(folder / "y.npy", y)
    np.save(folder / "predicted.npy", estimator.predict(X).astype(str))
    estimator[-1].coefs_[0] = -estimator[-1].coefs_[0]
    WRITERS["skops"](estimator, folder / "turned.skops")
    np.save(folder / "turned.npy", estimator.predict(X).astype(str))
    return folder


def bundle_files(folder: Path, **others: str) -> OwnFiles:
    paths: dict[str, Any] = {name: folder / value for name, value in others.items()}
    return OwnFiles(folder / "wine.rknn", folder / "rows.npy", **paths)


def test_a_bundle_is_compared_with_its_estimator(
    converted: Path, toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path
) -> None:
    files = bundle_files(converted, reference="wine.skops", y="y.npy")
    (result,) = judged(files, tmp_path, toolkit, link)
    assert result.outcome is Outcome.PASS, result.reason
    assert (result.case.id, result.case.precision, result.case.toolkit) == (
        "wine-int16-n64",
        "int16",
        "2.3.2",
    )
    assert result.metrics[Stage.BOARD].basis == "promised, int16"
    assert result.properties["labels"] == ""
    assert result.properties["board_equals_virtual_npu"] == ""
    assert result.score is not None
    assert result.score.rows == 178
    assert result.score.board == result.score.sklearn


def test_a_bundle_of_another_model_fails(
    converted: Path, toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path
) -> None:
    (result,) = judged(bundle_files(converted, reference="turned.skops"), tmp_path, toolkit, link)
    assert (result.outcome, result.stage) == (Outcome.MISMATCH, Stage.VIRTUAL_NPU)
    assert "0.00% of 178 rows have scikit-learn's label" in result.reason


def test_a_bundle_is_compared_with_recorded_predictions(
    converted: Path, toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path
) -> None:
    (good,) = judged(bundle_files(converted, expect="predicted.npy"), tmp_path / "a", toolkit, link)
    (bad,) = judged(bundle_files(converted, expect="turned.npy"), tmp_path / "b", toolkit, link)
    assert good.outcome is Outcome.PASS, good.reason
    assert (bad.outcome, bad.stage) == (Outcome.MISMATCH, Stage.VIRTUAL_NPU)
    assert "are not the recorded ones" in bad.reason
    assert not good.metrics  # there are no outputs to measure against
    assert "bound" not in good.properties
    assert "labels" not in good.properties


def test_a_regressors_bundle_is_compared_with_recorded_values(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path
) -> None:
    estimator, X, _ = fitted("scaled target")
    sklearn2rknn.convert(estimator, tmp_path / "wine.rknn", example_input=X[::2], toolkit=toolkit)
    np.save(tmp_path / "rows.npy", X)
    values = estimator.predict(X)
    outcomes = []
    for name, expected in (("right", values), ("wrong", values[::-1])):
        np.save(tmp_path / f"{name}.npy", expected)
        files = bundle_files(tmp_path, expect=f"{name}.npy")
        (result,) = judged(files, tmp_path / name, toolkit, link)
        outcomes.append(result.outcome)
    assert outcomes == [Outcome.PASS, Outcome.MISMATCH]
    assert "R2 against the recorded predictions" in result.reason


def test_with_y_alone_only_accuracy_is_said(
    converted: Path, toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path
) -> None:
    (result,) = judged(bundle_files(converted, y="y.npy"), tmp_path, toolkit, link)
    assert result.outcome is Outcome.PASS, result.reason
    assert any(note.startswith("Not compared with scikit-learn") for note in result.notes)
    assert not result.metrics
    assert result.score is not None
    assert result.score.sklearn is None
    X, y = np.load(converted / "rows.npy"), np.load(converted / "y.npy")
    with scirknn.load(converted / "wine.rknn", device="virtual") as model:
        assert result.score.board == (model.predict(X) == y).mean()


def test_a_changed_file_of_a_run_is_noticed(converted: Path, tmp_path: Path) -> None:
    keep_files(bundle_files(converted, reference="wine.skops"), tmp_path)
    place = tmp_path / "wine"
    assert kept_model(place).estimator is not None
    kept_model.cache_clear()
    np.save(place / "rows.npy", np.load(place / "rows.npy")[:100])
    with pytest.raises(OwnModelError, match=r"rows\.npy is not the file that the run kept"):
        kept_model(place)


def harness(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([HARNESS, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.timeout(1800)
def test_a_run_of_ones_own_model_is_a_run_like_any_other(
    toolkit: sklearn2rknn.Toolkit, tmp_path: Path
) -> None:
    given(tmp_path, "scaled", rows="csv")
    options = ["--model=mine.joblib", "--rows=rows.csv", "--y=y.csv", "--precision=int8", "--jobs=1"]
    done = harness(tmp_path, "run", *options, "--run-dir=run")
    assert done.returncode == ExitCode.CLEAN, done.stdout + done.stderr
    run = read_run(tmp_path / "run")
    assert [result.case.id for result in run.results] == ["mine-int8-n64"]
    assert len(run.manifest["own"]["mine"]["sha256"]) == 3
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Your own models" in page
    assert audit(tmp_path / "run") == []
    assert "| mine-int8-n64, 2.3.2 | 89 | accuracy |" in (tmp_path / "run" / "report.md").read_text()
    assert "mine-int8-n64" in (tmp_path / "run" / "junit.xml").read_text()
    # The originals may go: the run has its own.
    for path in tmp_path.glob("*.[jc]*"):
        path.unlink()
    again = harness(tmp_path, "replay", "run", "mine-int8")
    assert again.returncode == ExitCode.CLEAN, again.stdout + again.stderr
    assert "the same as recorded" in again.stderr
    assert "Warning" not in again.stderr
    (tmp_path / "run" / "cases.jsonl").write_text("")
    resumed = harness(tmp_path, "run", "--resume", "run", "--jobs=1")
    assert resumed.returncode == ExitCode.CLEAN, resumed.stdout + resumed.stderr
    assert [result.outcome for result in read_run(tmp_path / "run").results] == [Outcome.PASS]


def test_a_verdict_does_not_claim_a_comparison_that_was_not_made(
    converted: Path, toolkit: sklearn2rknn.Toolkit, link: BoardLink, tmp_path: Path
) -> None:
    (result,) = judged(bundle_files(converted, y="y.npy"), tmp_path, toolkit, link)
    run = write_run(tmp_path / "run", [result])
    assert "0 of 1 cases agree with scikit-learn and none fails; 1 not compared" in summarize(run).verdict
    write_views(run.path)
    assert audit(run.path) == []


@pytest.mark.timeout(1800)
def test_a_wrong_bundle_fails_the_run(converted: Path, tmp_path: Path) -> None:
    options = ["--model", converted / "wine.rknn", "--rows", converted / "rows.npy", "--jobs=1"]
    options += ["--reference", converted / "turned.skops", "--run-dir=run"]
    done = harness(tmp_path, "run", *map(str, options))
    assert done.returncode == ExitCode.CONFORMANCE, done.stdout + done.stderr
    (result,) = read_run(tmp_path / "run").results
    assert result.stage is Stage.VIRTUAL_NPU
    assert "labels" in result.properties
    assert (tmp_path / "run" / "own" / "wine" / "wine.rknn.json").exists()

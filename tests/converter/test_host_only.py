"""What the host computes is compared with every method of the estimator before a bundle is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import AdaBoostRegressor, VotingRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from scirknn.bundle import read_bundle
from sklearn2rknn import CheckError, ExampleInputError, convert
from sklearn2rknn.errors import UnsupportedModelError

X, y = load_wine(return_X_y=True)


@pytest.mark.parametrize(
    ("kind", "method", "error"),
    [
        (DecisionTreeClassifier, "predict_proba", 1e-9),
        (DecisionTreeClassifier, "predict_proba", np.nan),
        (DecisionTreeRegressor, "predict", 1e-9),
        (DecisionTreeRegressor, "predict", 1e-14),
    ],
)
def test_a_method_that_answers_otherwise_is_refused(
    kind: Any, method: str, error: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = kind(random_state=0).fit(X, y), tmp_path / "model.rknn"
    right = getattr(kind, method)

    def wrong(self: Any, rows: Any) -> Any:
        answers = right(self, rows)
        answers[-1] += error
        return answers

    monkeypatch.setattr(kind, method, wrong)
    if error == 1e-14:  # the last bits of another library
        report = convert(model, path, example_input=X)
        assert report.check.held_out == len(X)
        assert 0 < report.check["host"]["max_error"] < 1e-12
        return
    with pytest.raises(CheckError, match=rf"{method} differs from {kind.__name__}'s by (1e-09|5e-10|nan)\."):
        convert(model, path, example_input=X)
    assert list(tmp_path.iterdir()) == []


def test_means_of_float32_targets_are_compared_within_their_rounding(tmp_path: Path) -> None:
    targets = X[:, :1].sum(axis=1).astype(np.float32)
    members = [("neighbours", KNeighborsRegressor()), ("tree", DecisionTreeRegressor(random_state=0))]
    report = convert(VotingRegressor(members).fit(X, targets), tmp_path / "model.rknn", example_input=X)
    assert 1e-12 < report.check["host"]["max_error"] < 5 * 2.0**-24 * targets.max()


def test_rows_of_other_neighbours_at_the_same_distance_are_not_compared(tmp_path: Path) -> None:
    rows, targets = np.arange(60.0)[:, None], np.random.default_rng(0).normal(size=60)
    model = AdaBoostRegressor(KNeighborsRegressor(4), n_estimators=4, random_state=0).fit(rows, targets)
    report = convert(model, tmp_path / "model.rknn", example_input=rows)
    assert 0 < report.check.held_out < len(rows)


def test_another_label_and_rows_that_do_not_fit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = DecisionTreeClassifier(random_state=0).fit(X, y), tmp_path / "model.rknn"
    with pytest.raises(ExampleInputError, match="Give rows of X as predict takes them"):
        convert(model, path, example_input=X[:, :5])
    right = DecisionTreeClassifier.predict
    monkeypatch.setattr(DecisionTreeClassifier, "predict", lambda self, rows: right(self, rows)[::-1])
    with pytest.raises(UnsupportedModelError, match="gives something other than its weights do"):
        convert(model, path, example_input=X)
    assert list(tmp_path.iterdir()) == []


def test_a_label_of_a_late_row_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, right = np.vstack([X, X]), DecisionTreeClassifier.predict
    model = DecisionTreeClassifier(random_state=0).fit(X, y)

    def wrong(self: Any, rows: Any) -> Any:
        labels = right(self, rows)
        labels[300:301] = (labels[300:301] + 1) % 3
        return labels

    monkeypatch.setattr(DecisionTreeClassifier, "predict", wrong)
    with pytest.raises(CheckError, match="predict gives other labels than DecisionTreeClassifier's"):
        convert(model, tmp_path / "model.rknn", example_input=rows)


def test_the_model_file_of_the_bundle_before_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "model.rknn"
    path.write_bytes(b"old")
    convert(DecisionTreeClassifier(random_state=0).fit(X, y), path, example_input=X)
    assert not path.exists()
    assert read_bundle(path).on_host

"""Features, steps that take rows, arrays and own methods, from an estimator through files to a board."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.linear_model import PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import scirknn
from scirknn.arrays import Array, Floats
from scirknn.bundle.arrays_file import arrays_path
from scirknn.steps.linear import Columns, Dense
from scirknn.steps.step import KINDS, RowStep
from sklearn2rknn import CheckError, Layer, Network, Toolkit, convert
from sklearn2rknn.estimators.registry import ESTIMATORS, reads

X, Y = load_diabetes(return_X_y=True)
MATRIX = np.random.default_rng(0).normal(size=(10, 4))


@dataclass(frozen=True, eq=False)
class LessFirstInput(RowStep):
    """Subtract a row's first input: the least that needs rows."""

    kind = "less_first_input"

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        return values - rows[:, :1]

    def carry_to(self, values: Floats, error: Floats, rows: Floats) -> Floats:
        return error


class TwoParts(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Products with a matrix on the host, then on the NPU, then on the host, less the first of the first."""

    def fit(self, X: Array, y: Array) -> TwoParts:
        self.n_features_in_ = X.shape[1]
        self.weights_ = MATRIX[:4] * 3
        return self

    def _values(self, X: Array) -> Array:
        inner = X[:, : len(MATRIX)] @ MATRIX[: X.shape[1]]
        return np.asarray(inner @ self.weights_ @ np.eye(4)[:, ::-1] - inner[:, :1])

    def predict(self, X: Array) -> Array:
        return self._values(X)[:, 1]

    def transform(self, X: Array) -> Array:
        return self._values(X)


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the family and its step for a test."""
    assert ESTIMATORS.names()  # all entries are there
    monkeypatch.setattr(ESTIMATORS, "_readers", dict(ESTIMATORS._readers))
    monkeypatch.setitem(KINDS, "less_first_input", LessFirstInput)

    @reads(TwoParts)
    def read(estimator: Any, name: str) -> Network:
        return Network(
            estimator=name,
            task="regressor",
            head="identity",
            layers=(Layer(estimator.weights_, np.zeros(4), "identity"),),
            classes=None,
            feature_names=None,
            single_output=True,
            dtype="float64",
            features=(Dense(MATRIX[: estimator.n_features_in_], np.zeros(4)),),
            features_in=estimator.n_features_in_,
            epilogue=(Dense(np.eye(4)[:, ::-1].copy(), np.zeros(4)), LessFirstInput()),
            responses={"predict": (Columns(1, 2),), "transform": ()},
        )


@pytest.mark.parametrize(
    "front",
    [(), (StandardScaler(),), (StandardScaler(), PCA(6))],
    ids=["alone", "behind a map", "behind PCA"],
)
@pytest.mark.parametrize("precision", ["float16", "int16"])
def test_all_parts_pass_through_files(front: Any, precision: str, toolkit: Toolkit, tmp_path: Path) -> None:
    model = make_pipeline(*front, TwoParts()).fit(X, Y)
    report = convert(model, tmp_path / "m.rknn", example_input=X, precision=precision, toolkit=toolkit)
    assert report.methods == ("predict", "transform")
    assert report.files["m.npz"] == arrays_path(tmp_path / "m.rknn").stat().st_size
    assert json.loads((tmp_path / "m.rknn.json").read_text())["format"] == 4
    deciding = report.check.deciding
    assert deciding is not None
    assert deciding.bound_share is not None
    assert 0 < deciding.bound_share <= 1
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        for method in ("predict", "transform"):
            expected, given = getattr(model, method)(X), getattr(loaded, method)(X)
            assert given.shape == expected.shape
            assert np.abs(given - expected).max() < 2e-3 * np.abs(expected).max()
        assert loaded.score(X, Y) == pytest.approx(model.score(X, Y), rel=1e-3)


def test_a_step_that_errs_is_beyond_its_bound(
    toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LessFirstInput, "carry_to", lambda self, values, error, rows: error * 1e-3)
    with pytest.raises(CheckError, match="times what the arithmetic allows"):
        convert(TwoParts().fit(X, Y), tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    assert not list(tmp_path.iterdir())


def test_a_scaled_target_behind_an_exponential_is_the_hosts(toolkit: Toolkit, tmp_path: Path) -> None:
    inner = make_pipeline(StandardScaler(), PoissonRegressor())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TransformedTargetRegressor(inner, transformer=MinMaxScaler((1.0, 2.0))).fit(X, Y)
    report = convert(model, tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    assert report.head == "identity"
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        assert np.abs(loaded.predict(X) - model.predict(X)).max() < 0.01 * Y.std()
        assert loaded.score(X, Y) == pytest.approx(model.score(X, Y), abs=1e-4)

"""Steps in front of a model and an inverse behind it, through files to a loaded model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

import scirknn
from scirknn.errors import InputError
from sklearn2rknn import ExampleInputError, Toolkit, convert

X, Y = load_diabetes(return_X_y=True, scaled=False)


def front() -> Any:
    """Return steps on columns of their own, in front of products of all."""
    table = ColumnTransformer(
        [
            ("power", PowerTransformer(), [0, 2]),
            ("bins", KBinsDiscretizer(3, encode="onehot-dense"), [3]),
            ("quantiles", QuantileTransformer(n_quantiles=50, output_distribution="normal"), [4, 5]),
            ("splines", SplineTransformer(3, degree=2), [6]),
            ("logarithm", make_pipeline(FunctionTransformer(np.log), StandardScaler()), [7]),
        ],
        remainder="passthrough",
    )
    return make_pipeline(table, StandardScaler(), PolynomialFeatures(2, interaction_only=True))


def test_steps_and_inverse_pass_through_files(toolkit: Toolkit, tmp_path: Path) -> None:
    inner = make_pipeline(front(), Ridge(10.0))
    model = TransformedTargetRegressor(inner, func=np.log1p, inverse_func=np.expm1).fit(X, Y)
    report = convert(model, tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    assert json.loads((tmp_path / "m.rknn.json").read_text())["format"] == 4
    deciding = report.check.deciding
    assert deciding is not None
    assert deciding.bound_share is not None
    assert 0 < deciding.bound_share <= 1
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        assert np.abs(loaded.predict(X) - model.predict(X)).max() < 2e-3 * np.abs(Y).max()
        assert loaded.score(X, Y) == pytest.approx(model.score(X, Y), abs=1e-3)
        for value, text in ((np.nan, "contains NaN"), (np.inf, "contains infinity")):
            rows = X[:2].copy()
            rows[1, 0] = value
            with pytest.raises(InputError, match=f"Input X {text}"):
                loaded.predict(rows)
        rows[1] = X[1]
        rows[1, 7] = -1.0  # whose logarithm is NaN
        with pytest.raises(InputError, match="Input X contains NaN"):
            loaded.predict(rows)


def test_steps_in_front_of_trees_are_scikit_learns(tmp_path: Path) -> None:
    model = make_pipeline(front(), RandomForestRegressor(5, random_state=0)).fit(X, Y)
    convert(model, tmp_path / "m.rknn", example_input=X)
    with scirknn.load(tmp_path / "m.rknn") as loaded:
        assert np.abs(loaded.predict(X) - model.predict(X)).max() < 1e-12 * np.abs(Y).max()


def test_example_rows_that_a_step_does_not_take_are_refused(tmp_path: Path) -> None:
    rows = np.abs(X) + 1.0
    model = make_pipeline(PowerTransformer("box-cox"), Ridge()).fit(rows, Y)
    rows[3, 0] = -1.0
    with pytest.raises(ExampleInputError, match="example_input: The Box-Cox transformation can only be"):
        convert(model, tmp_path / "m.rknn", example_input=rows)
    assert not list(tmp_path.iterdir())

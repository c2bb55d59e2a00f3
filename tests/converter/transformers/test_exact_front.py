"""In front of what compares, the host computes scikit-learn's numbers to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

import scirknn
from scirknn.answers import answer, final_values
from scirknn.arrays import Array, Floats
from scirknn.errors import InputError
from sklearn2rknn import convert, network_from_estimator
from tests.converter.fitted_pipelines import quietly_fitted
from tests.counts import counted

SCALERS = (
    StandardScaler,
    lambda: StandardScaler(with_mean=False),
    lambda: StandardScaler(with_std=False),
    MinMaxScaler,
    lambda: MinMaxScaler((-3, 7), clip=True),
    MaxAbsScaler,
    RobustScaler,
    lambda: RobustScaler(quantile_range=(10.0, 70.0)),
)


def table(random: Any, dtype: Any, rows: int = 60) -> Array:
    """Return columns of sizes from 1e-3 to 1e5, many values twice."""
    X = random.normal(size=(rows, 4)) * 10.0 ** random.uniform(-3, 5, 4) + random.normal(size=4) * 100
    X[rows // 2 :] = X[: rows - rows // 2]
    return np.asarray(X, dtype=dtype)


def drawn_steps(random: Any, *, has_gaps: bool) -> list[Any]:
    """Return one to four scalers, alone, side by side, of chosen columns, and an imputer among them."""

    def scaler() -> Any:
        return SCALERS[random.integers(len(SCALERS))]()

    def mixed() -> Any:
        parts = [("a", scaler(), [2, 0]), ("b", make_pipeline(scaler(), scaler()), [1])]
        return ColumnTransformer(parts, remainder="passthrough")

    def union() -> Any:
        weights = {"b": 1 / 3}
        return FeatureUnion([("a", scaler()), ("b", scaler())], transformer_weights=weights)

    kinds = (scaler, scaler, union) if has_gaps else (scaler, scaler, mixed, union)
    steps = [kinds[random.integers(len(kinds))]() for _ in range(random.integers(1, 4))]
    if has_gaps:
        steps.insert(random.integers(len(steps) + 1), SimpleImputer(add_indicator=bool(random.integers(2))))
    return steps


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("has_gaps", [False, True])
@pytest.mark.parametrize("number", range(counted(100)))
def test_a_tree_behind_scalers_and_imputers_is_scikit_learns_to_the_bit(
    number: int, has_gaps: bool, dtype: Any
) -> None:
    random = np.random.default_rng(number)
    X = table(random, dtype)
    if has_gaps:
        X[random.random(X.shape) < 0.1] = np.nan
    steps = drawn_steps(random, has_gaps=has_gaps)
    model = quietly_fitted(make_pipeline(*steps, DecisionTreeRegressor()), X, random.normal(size=len(X)))
    network = network_from_estimator(model)
    for rows in (X[::-1][:7], X.astype(np.float32), X.astype(np.float64)):
        np.testing.assert_array_equal(network.expand(rows), model[:-1].transform(rows))
        np.testing.assert_array_equal(answers(network, "predict", rows), model.predict(rows))


def answers(network: Any, method: str, X: Array) -> Array:
    values: Floats = final_values(network, network.forward(X), network.expand(X))
    return answer(network, method, values)


@pytest.mark.parametrize("scaler", [StandardScaler, MinMaxScaler, RobustScaler, MaxAbsScaler])
def test_histogram_boosting_behind_a_scaler_labels_values_on_its_thresholds_as_scikit_learn(
    scaler: Any,
) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(scaler(), HistGradientBoostingClassifier(max_iter=5)).fit(X, y)
    network = network_from_estimator(model)
    np.testing.assert_array_equal(answers(network, "decision_function", X), model.decision_function(X))
    on_thresholds = rows_on_thresholds(model, X)
    scaled = np.asarray(model[0].transform(on_thresholds))
    np.testing.assert_array_equal(network.expand(on_thresholds), scaled)
    np.testing.assert_array_equal(
        answers(network, "decision_function", on_thresholds), model.decision_function(on_thresholds)
    )


def rows_on_thresholds(model: Any, X: Floats) -> Floats:
    """Return rows of X with a column each that a scaler maps next to a threshold of the trees."""
    rows = []
    for (tree,) in model[-1]._predictors:
        for node in tree.nodes[tree.nodes["is_leaf"] == 0]:
            column = node["feature_idx"]
            edges = np.tile(X[0], (1, 1))
            scaled = np.array(model[0].transform(edges))
            scaled[0, column] = node["num_threshold"]
            centre = model[0].inverse_transform(scaled)[0, column]
            for value in (centre, np.nextafter(centre, np.inf), np.nextafter(centre, -np.inf)):
                row = X[0].copy()
                row[column] = value
                rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("jump", [Binarizer(threshold=0.25), KBinsDiscretizer(4, encode="ordinal")])
@pytest.mark.parametrize("scaler", SCALERS)
def test_features_that_compare_scaled_values_are_scikit_learns(scaler: Any, jump: Any) -> None:
    X = table(np.random.default_rng(3), np.float64)
    model = quietly_fitted(make_pipeline(scaler(), jump, Ridge()), X, X[:, 0])
    network = network_from_estimator(model)
    for rows in (X, X.astype(np.float32)):
        np.testing.assert_array_equal(network.expand(rows), model[:-1].transform(rows))


def test_nearest_rows_behind_a_scaler_take_scikit_learns_numbers() -> None:
    X = table(np.random.default_rng(4), np.float64)
    model = make_pipeline(StandardScaler(), KNeighborsClassifier()).fit(X, X[:, 0] > 0)
    np.testing.assert_array_equal(network_from_estimator(model).expand(X), model[0].transform(X))


@pytest.mark.parametrize("imputer", [SimpleImputer(), KNNImputer()])
def test_an_imputer_behind_a_scaler_fills_scaled_values(imputer: Any) -> None:
    random = np.random.default_rng(5)
    X = table(random, np.float64)
    X[random.random(X.shape) < 0.2] = np.nan
    model = make_pipeline(RobustScaler(), imputer, DecisionTreeRegressor()).fit(X, np.arange(60.0))
    network = network_from_estimator(model)
    np.testing.assert_allclose(network.expand(X), model[:-1].transform(X), rtol=1e-12)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(StandardScaler(), SimpleImputer(), DecisionTreeRegressor(random_state=0)),
        make_pipeline(
            ColumnTransformer([("some", make_pipeline(RobustScaler(), SimpleImputer()), [0, 1])]),
            DecisionTreeRegressor(random_state=0),
        ),
        make_pipeline(
            ColumnTransformer(
                [("some", make_pipeline(StandardScaler(), SimpleImputer()), [0, 1])], remainder="passthrough"
            ),
            DecisionTreeRegressor(random_state=0),
        ),
        make_pipeline(
            StandardScaler(), SimpleImputer(add_indicator=True), HistGradientBoostingClassifier(max_iter=3)
        ),
        make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=3)),
        make_pipeline(
            MinMaxScaler(), SimpleImputer(), Binarizer(threshold=0.5), DecisionTreeRegressor(random_state=0)
        ),
    ],
    ids=["imputer", "some columns", "others pass", "indicator", "none", "binarizer"],
)
def test_a_loaded_model_takes_and_refuses_missing_values_as_scikit_learn_does(
    model: Any, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    X, y = random.normal(size=(200, 4)), random.integers(0, 2, 200)
    X[random.random(X.shape) < 0.1] = np.nan
    if "passthrough" in repr(model):
        X[:, 2:] = np.nan_to_num(X[:, 2:])
    convert(quietly_fitted(model, X, y), tmp_path / "m.rknn", example_input=X)
    with scirknn.load(tmp_path / "m.rknn") as loaded:
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        for row in (
            [np.nan] * 4,
            [0.0, np.nan, 0.0, np.nan],
            [0.0, 0.0, np.inf, 0.0],
            [np.inf, 0.0, 0.0, 0.0],
        ):
            assert _answer_or_text(loaded, row) == _answer_or_text(model, row)


def _answer_or_text(model: Any, row: list[float]) -> Any:
    """Return what it predicts for a row, or how its error begins: the dtype it names is the last step's."""
    try:
        return model.predict([row]).tolist()
    except ValueError as error:
        return str(error).splitlines()[0].partition(" or a value")[0]


@pytest.mark.parametrize("whiten", [False, True])
def test_a_tree_behind_a_decomposition_computes_in_scikit_learns_order(whiten: bool) -> None:
    X = table(np.random.default_rng(6), np.float64)
    steps = (StandardScaler(), PCA(3, whiten=whiten), SelectKBest(k=2))
    model: Pipeline = make_pipeline(*steps, DecisionTreeRegressor()).fit(X, X[:, 0])
    network = network_from_estimator(model)
    assert [each.kind for each in network.features][:2] == ["arithmetic", "arithmetic"]
    np.testing.assert_allclose(network.expand(X), model[:-1].transform(X), rtol=1e-12, atol=1e-14)
    X[0, 0] = np.nan
    with pytest.raises(InputError, match="PCA does not accept missing values"):
        network.expand(X)


def test_a_network_that_compares_nothing_keeps_one_map_in_front_of_it() -> None:
    X = table(np.random.default_rng(7), np.float64)
    network = network_from_estimator(make_pipeline(StandardScaler(), MinMaxScaler(), Ridge()).fit(X, X[:, 0]))
    assert not network.features
    assert network.input is not None

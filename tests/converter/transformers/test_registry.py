"""Pipelines to Network: the host's columns and the layers compute what scikit-learn does, or a refusal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.feature_selection import RFE, SelectFromModel, SelectPercentile
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from scirknn.bundle.columns import Category, Columns, Number
from sklearn2rknn import UnsupportedModelError, network_from_estimator
from tests.converter.fitted_pipelines import (
    fitted,
    mixed,
    mixed_table,
    numeric,
    perceptron,
    quietly_fitted,
    target,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def assert_same(estimator: Any, X: npt.NDArray[Any]) -> None:
    network = network_from_estimator(estimator)
    outputs = network.forward(X)
    if network.task == "regressor":
        expected = estimator.predict(X)
        assert network.single_output == (expected.ndim == 1)
        found = network.predict(outputs)
        expected = expected.reshape(len(X), -1)
    else:
        expected = estimator.predict_proba(X)
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        found = powers / powers.sum(axis=1, keepdims=True)
    # Sums in float64 in another order: 2**-53 times the terms' magnitudes. Those are up to 1e5 (sizes of
    # features) times some tens (weights, widths) where the results are as large; a softmax passes the
    # absolute error of its exponents on, hence 1e-9 and not 1e-12.
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(expected).max()))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(numeric())
def test_pipelines_of_numbers(model: tuple[Any, npt.NDArray[Any]]) -> None:
    assert_same(*model)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mixed())
def test_pipelines_of_mixed_tables(model: tuple[Any, npt.NDArray[Any]]) -> None:
    assert_same(*model)


def test_what_is_affine_goes_to_the_host_and_what_mixes_to_a_layer() -> None:
    network = network_from_estimator(fitted(StandardScaler(), MinMaxScaler())[0])
    assert network.columns is None
    assert network.input is not None
    assert len(network.layers) == 2
    network = network_from_estimator(fitted(StandardScaler(), PCA(2), StandardScaler())[0])
    assert [layer.weights.shape for layer in network.layers] == [(4, 2), (2, 5), (5, 3)]
    assert network.widths == (4, 2, 5, 3)
    assert network.input is not None


def test_features_far_from_zero_keep_their_digits() -> None:
    X = 1e9 + np.random.default_rng(0).normal(size=(40, 4))
    estimator, _ = fitted(StandardScaler(), PCA(3), X=X)
    # The scaler's result is exact to 1e9 * 2**-53 = 1e-7, in both; folded into a bias nothing would remain.
    np.testing.assert_allclose(
        network_from_estimator(estimator).prepare(X), estimator[0].transform(X), atol=4e-7
    )


def test_one_hot_is_one_column_a_category_and_a_union_shares_its_lookup() -> None:
    X = mixed_table(0)[:, [1]]
    X[X[:, 0] != X[:, 0], 0] = "red"
    both = FeatureUnion([("a", OneHotEncoder()), ("b", OneHotEncoder())])
    network = network_from_estimator(fitted(both, X=X)[0])
    assert network.columns is not None
    assert len(network.columns.lookups) == 1
    assert network.columns.inputs == tuple(Category(0, code) for code in (0, 1, 2, 0, 1, 2))


def test_selectors_pick_columns_and_the_rest_is_checked() -> None:
    estimator, X = fitted(SelectFromModel(LogisticRegression(), max_features=2, threshold=-np.inf))
    assert_same(estimator, X)
    columns = network_from_estimator(estimator).columns
    assert columns is not None
    picked = np.flatnonzero(estimator[0].get_support()).tolist()
    assert columns.inputs == tuple(Number(index) for index in picked)
    assert set(columns.checked) == {0, 1, 2, 3} - set(picked)
    assert_same(*fitted(RFE(LogisticRegression(), n_features_to_select=3)))


@pytest.mark.parametrize("mixed_behind", [False, True])
def test_a_part_may_be_left_with_no_features(mixed_behind: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    none = FeatureUnion([("best", SelectPercentile(percentile=60))], transformer_weights={"best": 0.5})
    rest = make_pipeline(StandardScaler(), PCA(2)) if mixed_behind else "passthrough"
    table = ColumnTransformer([("none", make_pipeline(none), [0]), ("rest", rest, [1, 2])])
    estimator = quietly_fitted(
        make_pipeline(table, perceptron("classifier", "identity", 0)), X, np.arange(60) % 3
    )
    assert table.fit_transform(X, np.arange(60) % 3).shape == (60, 2)
    assert_same(estimator, X)


def test_unknown_categories_become_what_the_encoder_says() -> None:
    X = mixed_table(1)[:, [1, 2]]
    X[X[:, 0] != X[:, 0], 0] = "red"
    for encoder in (
        OneHotEncoder(handle_unknown="ignore"),
        OneHotEncoder(handle_unknown="ignore", drop="first"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-5),
    ):
        estimator, _ = fitted(encoder, X=X)
        strange = X.copy()
        strange[0], strange[1, 1] = ["pink", 99], np.nan
        assert_same(estimator, strange)


def test_missing_values_have_many_forms() -> None:
    X = np.array([[-1, "a"], [2, "?"], [3, "b"], [np.nan, "a"], [5, None]] * 8, dtype=object)
    imputer = ColumnTransformer(
        [
            ("number", SimpleImputer(missing_values=-1, strategy="mean"), [0]),
            (
                "text",
                make_pipeline(
                    SimpleImputer(missing_values="?", strategy="most_frequent"),
                    SimpleImputer(missing_values="?", strategy="most_frequent"),
                    OrdinalEncoder(),
                ),
                [1],
            ),
        ]
    )
    X[3::5, 0], X[4::5, 1] = 4, "b"
    with pytest.raises(UnsupportedModelError, match="Put the imputer first in the pipeline"):
        network_from_estimator(fitted(imputer, X=X)[0])
    imputer.set_params(
        text=make_pipeline(SimpleImputer(missing_values="?", strategy="most_frequent"), OrdinalEncoder())
    )
    assert_same(*fitted(imputer, X=X))


@pytest.mark.parametrize("empty", [False, True])
def test_columns_without_a_value_are_imputed_as_in_scikit_learn(empty: bool) -> None:
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[:, 1] = np.nan
    assert_same(*fitted(SimpleImputer(keep_empty_features=empty), X=X))


@pytest.mark.parametrize(
    "scaler",
    [
        StandardScaler(),
        MinMaxScaler((-1, 1)),
        RobustScaler(),
        MaxAbsScaler(),
        make_pipeline(StandardScaler(), MinMaxScaler()),
        None,
    ],
    ids=lambda scaler: type(scaler).__name__,
)
@pytest.mark.parametrize("kind", ["one output", "two outputs", "column"])
@pytest.mark.parametrize("outside", [False, True])
def test_scaled_targets(scaler: Any, kind: str, outside: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(5.0, 2.0, (40, 3))
    y = target(kind, rng, 40)
    if kind == "column":
        y = y[:, None]
    regressor = perceptron(kind, "tanh", 0)
    if outside:
        model: Any = TransformedTargetRegressor(
            make_pipeline(StandardScaler(), regressor), transformer=scaler
        )
    else:
        model = make_pipeline(StandardScaler(), TransformedTargetRegressor(regressor, transformer=scaler))
    assert_same(quietly_fitted(model, X, y), X)


def test_searches_stand_for_their_best_estimator() -> None:
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.model_selection import HalvingGridSearchCV, HalvingRandomSearchCV

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), np.arange(60) % 2
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((4,), max_iter=3, random_state=0))
    grid = {"mlpclassifier__alpha": [1e-4, 1e-2]}
    for search in (
        GridSearchCV(pipeline, grid, cv=2),
        RandomizedSearchCV(pipeline, grid, n_iter=1, cv=2, random_state=0),
        HalvingGridSearchCV(pipeline, grid, cv=2, random_state=0),
        HalvingRandomSearchCV(pipeline, grid, cv=2, random_state=0),
        make_pipeline(MinMaxScaler(), GridSearchCV(pipeline, grid, cv=2)),
    ):
        found = quietly_fitted(search, X, y)
        network = network_from_estimator(found)
        probability = 1.0 / (1.0 + np.exp(-network.forward(X)[:, 0]))
        np.testing.assert_allclose(probability, found.predict_proba(X)[:, 1], rtol=1e-9)


def test_data_frames_give_names_and_take_columns_by_name() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, for tables with names")
    X = pandas.DataFrame(mixed_table(0), columns=list("abcdef")).astype({"a": float, "d": float})
    transformer = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["d", "a"]),
            ("colour", OneHotEncoder(), ["b"]),
            ("rest", "passthrough", ["c"]),
        ]
    )
    estimator, _ = fitted(transformer, X=X)
    network = network_from_estimator(estimator)
    assert network.feature_names == tuple("abcdef")
    assert network.first_step == "ColumnTransformer"
    assert network.columns is not None
    assert network.columns.by_name
    assert_same(estimator, X)


def test_first_step_knows_the_names_behind_what_does_nothing() -> None:
    estimator, X = fitted("passthrough", FeatureUnion([("a", "drop"), ("b", RobustScaler())]), MinMaxScaler())
    network = network_from_estimator(estimator)
    assert network.first_step == "RobustScaler"
    assert isinstance(network.columns, Columns) is False
    assert_same(estimator, X)
    estimator, X = fitted("passthrough")
    assert network_from_estimator(estimator).first_step is None

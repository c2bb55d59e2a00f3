"""Pipelines to Network: the host's columns and the layers compute what scikit-learn does, or a refusal."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, KernelPCA
from sklearn.feature_selection import RFE, SelectFromModel, SelectPercentile, VarianceThreshold
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from scirknn.bundle.columns import Category, Columns, Number
from sklearn2rknn import NotFittedError, Sklearn2RknnError, UnsupportedModelError, network_from_estimator
from tests.converter.fitted_pipelines import mixed, mixed_table, numeric, perceptron, quietly_fitted, target

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


def fitted(*steps: Any, kind: str = "classifier", X: Any = None) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(5.0, 2.0, (40, 4)) if X is None else X
    y = target(kind, rng, len(X))
    return quietly_fitted(make_pipeline(*steps, perceptron(kind, "relu", 0)), X, y), X


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


class Own(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    def fit(self, X: Any, y: Any = None) -> Own:
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X


class OwnScaler(StandardScaler):  # type: ignore[misc]  # sklearn is untyped
    pass


class OwnSelector(VarianceThreshold):  # type: ignore[misc]  # sklearn is untyped
    def transform(self, X: Any) -> Any:
        return 2 * super().transform(X)


class OwnPipeline(Pipeline):  # type: ignore[misc]  # sklearn is untyped
    pass


TEXT = np.array([["a", 1.0], ["b", 2.0], ["a", 3.0], ["b", 1.0]] * 10, dtype=object)


@pytest.mark.parametrize(
    ("steps", "X", "said"),
    [
        ([PolynomialFeatures()], None, "Pipeline step 'polynomialfeatures' (PolynomialFeatures) cannot be"),
        ([Normalizer()], None, "(Normalizer) cannot be converted: it is neither a selector of columns nor"),
        ([Binarizer()], None, "(Binarizer) cannot be converted"),
        ([PowerTransformer()], None, "(PowerTransformer) cannot be converted"),
        ([QuantileTransformer(n_quantiles=5)], None, "Apply it to X yourself, before fit and before predict"),
        ([KBinsDiscretizer(encode="ordinal")], None, "(KBinsDiscretizer) cannot be converted"),
        ([KernelPCA(2)], None, "(KernelPCA) cannot be converted"),
        ([KNNImputer()], None, "(KNNImputer) cannot be converted"),
        ([Own()], None, "Pipeline step 'own' (Own) cannot be converted"),
        ([OwnScaler()], None, "(OwnScaler) cannot be converted"),
        ([OwnSelector()], None, "(OwnSelector) cannot be converted"),
        ([OwnPipeline([("scale", StandardScaler())])], None, "(OwnPipeline) cannot be converted"),
        (
            [FunctionTransformer(np.log1p)],
            None,
            "(FunctionTransformer) has func=log1p: Python functions",
        ),
        (
            [MinMaxScaler(clip=True)],
            None,
            "(MinMaxScaler) has clip=True: cutting values off is not affine. Fit",
        ),
        (
            [FeatureUnion([("a", StandardScaler()), ("b", Normalizer())])],
            None,
            "Pipeline step 'featureunion', transformer 'b' (Normalizer)",
        ),
        (
            [ColumnTransformer([("a", make_pipeline(Normalizer()), [0])])],
            None,
            "Pipeline step 'columntransformer', transformer 'a', step 'normalizer' (Normalizer)",
        ),
        (
            [FeatureUnion([("a", StandardScaler()), ("b", MaxAbsScaler())], transformer_weights={"b": 0.0})],
            None,
            "a weight of 0 in transformer_weights: the features vanish. Use 'drop'",
        ),
        (
            [ColumnTransformer([("a", OneHotEncoder(min_frequency=0.3), [0, 1])])],
            TEXT,
            "(OneHotEncoder) has infrequent categories: several categories share one column. Group rare",
        ),
        (
            [OrdinalEncoder(max_categories=2)],
            TEXT,
            "(OrdinalEncoder) has infrequent categories",
        ),
        (
            [StandardScaler(), OneHotEncoder(handle_unknown="ignore")],
            None,
            "(OneHotEncoder) looks up values that another step has computed. Put it first",
        ),
        ([PCA(2), OrdinalEncoder()], None, "(OrdinalEncoder) looks up values that another step has computed"),
        (
            [OneHotEncoder(sparse_output=False), OneHotEncoder()],
            TEXT,
            "looks up values that another step has computed",
        ),
        (
            [StandardScaler(), SimpleImputer(missing_values=0)],
            None,
            "(SimpleImputer) has missing_values=0: a missing value other than NaN must be",
        ),
        (
            [MissingIndicator(features="missing-only")],
            np.where(np.eye(4)[np.arange(40) % 4] > 0, np.nan, 1.0),
            "(MissingIndicator) has error_on_new=True: the runtime does not look for new missing",
        ),
        (
            [SimpleImputer(), SimpleImputer(add_indicator=True, missing_values=0.0)],
            np.where(np.eye(4)[np.arange(40) % 4] > 0, 0.0, 1.0),
            "missing_values=0.0: a missing value other than NaN must be",
        ),
        (
            [
                ColumnTransformer(
                    [("a", SimpleImputer(strategy="most_frequent"), [1]), ("b", OneHotEncoder(), [0])]
                )
            ],
            np.array([["a", "1"], ["b", "2"], ["a", np.nan], ["b", "1"]] * 10, dtype=object),
            "MLPClassifier is given column 1 of X, which an imputer fills with '1'. Put a OneHotEncoder or",
        ),
        (
            [OneHotEncoder()],
            np.array([[np.datetime64("2020-01-01")], [np.datetime64("2021-01-01")]] * 20),
            "has the category datetime.date(2020, 1, 1) of type date; categories can be text",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_has_no_counterpart_is_refused_by_name(steps: list[Any], X: Any, said: str) -> None:
    estimator, _ = fitted(*steps, X=X)
    with pytest.raises(UnsupportedModelError, match=re.escape(said)):
        network_from_estimator(estimator)


def _regressor(**options: Any) -> Any:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.uniform(1.0, 2.0, 40)
    inner = options.pop("regressor", perceptron("one output", "relu", 0))
    return quietly_fitted(TransformedTargetRegressor(inner, **options), X, y)


def _searched(**options: Any) -> Any:
    search = GridSearchCV(perceptron("classifier", "relu", 0), {"alpha": [1e-4]}, cv=2, **options)
    rng = np.random.default_rng(0)
    return quietly_fitted(search, rng.normal(size=(40, 3)), target("classifier", rng, 40))


def _changed() -> Any:
    estimator, _ = fitted(StandardScaler(), PCA(2))
    estimator.steps.pop(1)
    return estimator


def _without_scale() -> Any:
    estimator, _ = fitted(StandardScaler())
    estimator[0].scale_[2] = np.nan
    return estimator


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        (
            lambda: _regressor(func=np.log, inverse_func=np.exp),
            UnsupportedModelError,
            "transformer (FunctionTransformer) has func=log",
        ),
        (
            lambda: _regressor(transformer=PowerTransformer()),
            UnsupportedModelError,
            "transformer (PowerTransformer) cannot be converted",
        ),
        (
            lambda: _regressor(transformer=PCA(1)),
            UnsupportedModelError,
            "transformer (PCA) is not affine for each target. Use a scaler",
        ),
        (lambda: _regressor(transformer=MinMaxScaler(clip=True)), UnsupportedModelError, "clip=True"),
        (
            lambda: _regressor(regressor=TransformedTargetRegressor(perceptron("one output", "relu", 0))),
            UnsupportedModelError,
            "lies inside another one",
        ),
        (
            lambda: _regressor(regressor=MLPRegressor(loss="poisson", hidden_layer_sizes=(3,), max_iter=3)),
            UnsupportedModelError,
            "loss='squared_error'",
        ),
        (TransformedTargetRegressor, NotFittedError, "TransformedTargetRegressor is not fitted"),
        (
            lambda: _searched(refit=False),
            UnsupportedModelError,
            "refit=False keeps no best_estimator_. Search with refit=True",
        ),
        (
            lambda: make_pipeline(StandardScaler(), "passthrough"),
            UnsupportedModelError,
            "str cannot be converted",
        ),
        (
            lambda: make_pipeline(StandardScaler(), LogisticRegression()),
            UnsupportedModelError,
            "LogisticRegression cannot be converted; MLPClassifier and MLPRegressor",
        ),
        (
            lambda: OwnPipeline([("mlp", MLPClassifier())]),
            UnsupportedModelError,
            "Give a Pipeline of scikit-learn itself",
        ),
        (
            lambda: Pipeline([("scale", StandardScaler()), ("mlp", fitted()[0][-1])]),
            NotFittedError,
            "(StandardScaler) is not fitted. Call fit(X, y) on the complete",
        ),
        (
            _changed,
            UnsupportedModelError,
            "was fitted on 2 features and is given 4 by the steps before it. Fit the complete",
        ),
        (_without_scale, UnsupportedModelError, "holds statistics that are zero, NaN or infinite"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_models_that_cannot_be_converted_say_why(
    model: Any, error: type[Sklearn2RknnError], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)):
        network_from_estimator(model())


def test_first_step_knows_the_names_behind_what_does_nothing() -> None:
    estimator, X = fitted("passthrough", FeatureUnion([("a", "drop"), ("b", RobustScaler())]), MinMaxScaler())
    network = network_from_estimator(estimator)
    assert network.first_step == "RobustScaler"
    assert isinstance(network.columns, Columns) is False
    assert_same(estimator, X)
    estimator, X = fitted("passthrough")
    assert network_from_estimator(estimator).first_step is None

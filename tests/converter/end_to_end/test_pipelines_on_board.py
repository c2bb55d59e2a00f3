"""Pipelines to bundles through the real toolkit, predicted by the runtime on the virtual NPU."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

import scirknn
from sklearn2rknn import ExampleInputError, Toolkit, convert
from tests.converter.fitted_pipelines import mixed_table, quietly_fitted

MLP: dict[str, Any] = {"hidden_layer_sizes": (16,), "max_iter": 200, "random_state": 0}

TASKS: dict[str, tuple[Any, Any]] = {
    "scaled wine": (load_wine, make_pipeline(StandardScaler(), MLPClassifier(**MLP))),
    "digits by PCA": (load_digits, make_pipeline(MinMaxScaler(), PCA(16), MLPClassifier(**MLP))),
    "chosen and mixed": (
        load_breast_cancer,
        make_pipeline(
            StandardScaler(),
            FeatureUnion([("best", SelectKBest(k=5)), ("all", PCA(4, whiten=True))]),
            MLPClassifier(**MLP),
        ),
    ),
    "scaled target": (
        load_diabetes,
        make_pipeline(
            StandardScaler(), TransformedTargetRegressor(MLPRegressor(**MLP), transformer=StandardScaler())
        ),
    ),
}


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("example", [False, True], ids=["statistics alone", "example input"])
def test_pipelines_keep_their_predictions(tmp_path: Path, toolkit: Toolkit, name: str, example: bool) -> None:
    load, pipeline = TASKS[name]
    X, y = load(return_X_y=True)
    quietly_fitted(pipeline, X, y)
    path = tmp_path / "model.rknn"
    convert(pipeline, path, batch_size=64, toolkit=toolkit, example_input=X[:200] if example else None)
    with scirknn.load(path, device="virtual") as model:
        found, expected = model.predict(X), pipeline.predict(X)
        if isinstance(model, scirknn.MLPClassifier):
            # float16 rounds each value by 2**-11 of itself: inputs of some units and activations of up to
            # ten through weights of norm up to ten leave 0.05 in a logit, a quarter of it in a probability.
            probabilities = pipeline.predict_proba(X)
            np.testing.assert_allclose(model.predict_proba(X), probabilities, atol=0.0125)
            sorted_ = np.sort(probabilities, axis=1)
            clear = sorted_[:, -1] - sorted_[:, -2] > 2 * 0.0125
            assert np.array_equal(found[clear], expected[clear])
        else:
            missed = ((found - expected) ** 2).mean() / expected.var()
            assert missed < 1e-5


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, toolkit: Toolkit) -> Iterator[tuple[Any, Any]]:
    """A pipeline of a mixed table and its model on the virtual NPU."""
    X = mixed_table(0, 200)
    transformer = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), [0]),
            ("colour", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), [1]),
            ("count", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), [2]),
            ("truth", "passthrough", [5]),
        ]
    )
    y = np.where((X[:, 1] == "red") | (X[:, 2] == 7), "yes", "no")
    estimator = quietly_fitted(make_pipeline(transformer, MLPClassifier(**MLP)), X, y)
    path = tmp_path_factory.mktemp("mixed") / "model.rknn"
    convert(estimator, path, example_input=X, toolkit=toolkit, batch_size=(1, 64))
    with scirknn.load(path, device="virtual") as model:
        yield estimator, model


def test_a_mixed_table_needs_no_scikit_learn(mixed: tuple[Any, Any]) -> None:
    estimator, model = mixed
    X = mixed_table(1, 150)
    X[0, 2] = 99
    # As above.
    np.testing.assert_allclose(model.predict_proba(X), estimator.predict_proba(X), atol=0.0125)
    np.testing.assert_array_equal(model.predict(X.tolist()), model.predict(X))
    assert model.n_features_in_ == 6


def _with(column: int, value: Any) -> Any:
    X = mixed_table(0, 3)
    X[:, 0] = 1e4
    X[1, column] = value
    return X


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(_with(1, "pink"), id="unknown category"),
        pytest.param(_with(5, np.nan), id="missing without an imputer"),
        pytest.param(_with(5, np.inf), id="infinite"),
        pytest.param(_with(0, np.inf), id="infinite beside an imputer"),
        pytest.param(_with(5, "yes"), id="text among numbers"),
        pytest.param(mixed_table(0, 3)[:, :5], id="a column too few"),
    ],
)
def test_bad_rows_are_refused_in_scikit_learns_words(mixed: tuple[Any, Any], X: Any) -> None:
    estimator, model = mixed
    with pytest.raises((ValueError, IndexError)) as theirs:
        estimator.predict(X)
    with pytest.raises(scirknn.InputError) as ours:
        model.predict(X)
    assert str(ours.value).splitlines()[0] == str(theirs.value).splitlines()[0]


def test_names_are_the_outer_tables(tmp_path: Path, toolkit: Toolkit) -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas, for tables with names")
    X = pandas.DataFrame(mixed_table(0, 100), columns=list("abcdef")).astype({"a": float, "d": float})
    y = np.arange(100) % 2
    by_name = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "d"]),
            ("b", OneHotEncoder(), ["b"]),
        ]
    )
    for first, columns in ((by_name, X), (StandardScaler(), X[["a", "d"]].fillna(0.0))):
        estimator = quietly_fitted(make_pipeline(first, MLPClassifier(**MLP)), columns, y)
        path = tmp_path / f"{type(first).__name__}.rknn"
        convert(estimator, path, toolkit=toolkit, example_input=columns)
        with scirknn.MLPClassifier(path, device="virtual") as model:
            assert model.feature_names_in_.tolist() == list(columns)
            np.testing.assert_allclose(
                model.predict_proba(columns), estimator.predict_proba(columns), atol=0.0125
            )
            for wrong in (
                columns.drop(columns="a"),
                columns.drop(columns=columns.columns[-1]),  # the ColumnTransformer does not look at it
                columns.rename(columns={"a": "z"}),
                columns[columns.columns[::-1]],
            ):
                try:
                    expected = estimator.predict_proba(wrong)
                except ValueError as theirs:
                    with pytest.raises(scirknn.InputError, match=re.escape(str(theirs).splitlines()[0])):
                        model.predict(wrong)
                else:
                    np.testing.assert_allclose(model.predict_proba(wrong), expected, atol=0.0125)
            with warnings.catch_warnings(record=True) as theirs_said:
                warnings.simplefilter("always")
                estimator[0].transform(columns.to_numpy()) if first is not by_name else None
            with warnings.catch_warnings(record=True) as ours_said:
                warnings.simplefilter("always")
                model.predict(columns.to_numpy())
            assert [str(each.message) for each in ours_said] == [str(each.message) for each in theirs_said]


@pytest.mark.parametrize(
    ("X", "said"),
    [
        (_with(1, "pink"), "example_input: Found unknown categories ['pink'] in column 0 during transform"),
        (_with(5, np.nan), "example_input: Input X contains NaN"),
        (_with(5, "yes"), "could not convert string to float: 'yes'"),
        (mixed_table(0, 3)[:, :5], "X has 5 features, but ColumnTransformer is expecting 6"),
    ],
    ids=["unknown category", "missing", "text", "a column too few"],
)
def test_example_input_is_refused_as_predict_would(
    mixed: tuple[Any, Any], tmp_path: Path, X: Any, said: str
) -> None:
    with pytest.raises(ExampleInputError, match=re.escape(said)):
        convert(mixed[0], tmp_path / "model.rknn", example_input=X)
    assert list(tmp_path.iterdir()) == []

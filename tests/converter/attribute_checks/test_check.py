"""Attributes that were changed after fit: a typed error, or the estimator's own predictions."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, clone
from sklearn.cluster import FeatureAgglomeration
from sklearn.compose import ColumnTransformer
from sklearn.impute import KNNImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from scirknn import InputError
from scirknn.answers import answer, final_values, main_method
from sklearn2rknn import Sklearn2RknnError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.own_predictions import check_own_predictions
from sklearn2rknn.rows.example_input import validate_example_input
from tests.converter.estimators.test_model_file import PIPELINES
from tests.converter.estimators.test_support import CONVERTED
from tests.converter.estimators.test_support import fitted as fitted_alone
from tests.converter.fitted_pipelines import perceptron, quietly_fitted
from tests.counts import counted

X = np.random.default_rng(0).normal(size=(40, 4))
DELETED = object()
VALUES: list[Any] = [
    None, True, -1, 0, 7, 10**12, 1.5, float("nan"), "x", "", [], [1], (), {}, {"a": 1}, object, b"x",
    DELETED, np.zeros(3), np.ones((2, 2)), np.array(["a"], object), np.array(1.0), np.array([]),
    np.full(4, np.nan), np.full(4, -1.0), np.arange(4), [[1, 2], [3]], np.zeros((4, 4)), [np.zeros((4, 4))],
]  # fmt: skip

CHANGES: list[Callable[[Any], Any]] = [
    lambda array: array[:0],
    lambda array: array[:-1],
    lambda array: array[..., :1].copy(),
    lambda array: np.concatenate([array, array]),
    lambda array: array.T.copy(),
    lambda array: array.reshape(-1),
    lambda array: array * 0 - 1,
    lambda array: array * 10**6 + 7,
    lambda array: array.astype("f4"),
    lambda array: array.astype("i8"),
]
"""What an array is made to: another length, shape, dtype, or indices that lead outside."""


@functools.cache
def fitted(name: str) -> Any:
    y = X[:, 0] if "Regressor" in name else np.arange(40) % 2
    return quietly_fitted(clone(PIPELINES[name]), X, y)


def attributes(part: Any, seen: frozenset[int] = frozenset()) -> Iterator[tuple[Any, str]]:
    """Yield every attribute of an estimator and of what lies in it."""
    if id(part) in seen:
        return
    seen |= {id(part)}
    if isinstance(part, BaseEstimator):
        for key, value in vars(part).items():
            yield part, key
            yield from attributes(value, seen)
    elif isinstance(part, (list, tuple, dict)):
        for value in part.values() if isinstance(part, dict) else part:
            yield from attributes(value, seen)


@contextlib.contextmanager
def changed_attribute(data: st.DataObject, estimator: Any) -> Iterator[None]:
    """Give a drawn attribute of an estimator, or of what lies in it, a drawn value for a while."""
    places = list(attributes(estimator))
    owner, key = places[data.draw(st.integers(0, len(places) - 1), label="attribute")]
    before = vars(owner).copy()
    value = _drawn_value(data, before[key])
    try:
        if value is DELETED:
            del vars(owner)[key]
        else:
            vars(owner)[key] = value
        yield
    finally:
        vars(owner).clear()
        vars(owner).update(before)


def _drawn_value(data: st.DataObject, before: Any) -> Any:
    choice = data.draw(st.integers(0, len(VALUES) + len(CHANGES) - 1), label="value")
    if choice < len(VALUES):
        return VALUES[choice]
    try:
        return CHANGES[choice - len(VALUES)](before)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):  # of no array
        return DELETED


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=counted(4000), suppress_health_check=list(HealthCheck))
@given(st.data())
def test_changed_attribute_is_refused_or_predicts_the_same(data: st.DataObject) -> None:
    estimator = fitted(data.draw(st.sampled_from(sorted(PIPELINES)), label="pipeline"))
    with changed_attribute(data, estimator):
        _compare(estimator)


def _compare(estimator: Any) -> None:
    try:
        network = network_from_estimator(estimator)
    except Sklearn2RknnError:
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = estimator.predict(X.copy())  # with copy=False a scaler changes X
    except Exception:
        return  # scikit-learn predicts nothing that could differ
    predicted = network.predict(final_values(network, network.forward(X)))
    if network.classes is None:
        np.testing.assert_allclose(predicted.ravel(), expected)
    else:
        np.testing.assert_array_equal(network.classes[predicted], expected)


@functools.cache
def fitted_estimator(name: str) -> tuple[Any, Any]:
    return fitted_alone(name)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=counted(3000), suppress_health_check=list(HealthCheck))
@given(st.data())
def test_changed_attribute_of_any_family_is_refused_or_leaves_what_runs(data: st.DataObject) -> None:
    estimator, X = fitted_estimator(data.draw(st.sampled_from(CONVERTED), label="estimator"))
    # A parameter may have a step refuse the rows.
    with changed_attribute(data, estimator), contextlib.suppress(Sklearn2RknnError, InputError):
        network = network_from_estimator(estimator)
        validate_example_input(X, network, "example_input")
        check_own_predictions(estimator, network, X)
        rows = network.expand(X)
        answer(network, main_method(network), final_values(network, network.forward(X), rows), rows)


RARE = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2)


def _with(step: Any, key: str, value: Any) -> Any:
    estimator = make_pipeline(clone(step), perceptron("classifier", "relu", 0))
    quietly_fitted(estimator, np.abs(X).round(), np.arange(40) % 2)
    setattr(estimator[0], key, value)
    return estimator


@pytest.mark.parametrize(
    ("step", "key", "value"),
    [
        (StandardScaler(), "n_features_in_", 10**9),
        (ColumnTransformer([("a", StandardScaler(), [0, 1])]), "n_features_in_", 10**9),
        (StandardScaler(), "mean_", np.zeros(1)),
        (OneHotEncoder(handle_unknown="ignore"), "_n_features_outs", [10**6] * 4),
        (OneHotEncoder(handle_unknown="ignore"), "categories_", [np.array([2.0, 1.0])] * 4),
        (RARE, "_default_to_infrequent_mappings", [np.array([0, 10**6])] * 4),
        (RARE, "_infrequent_indices", [np.array([-7])] * 4),
        (RARE, "_infrequent_indices", None),
        (RARE, "_n_features_outs", [10**6] * 4),
        (RARE, "_drop_idx_after_grouping", np.array([10**6] * 4, dtype=object)),
        (TargetEncoder(), "encodings_", [np.zeros(1)] * 4),
        (TargetEncoder(), "target_mean_", np.zeros(9)),
        (PolynomialFeatures(), "_max_degree", -1),
        (KBinsDiscretizer(2), "n_bins_", np.full(4, 10**6)),
        (PowerTransformer(), "lambdas_", np.zeros(3)),
        (PowerTransformer(), "_scaler", None),
        (QuantileTransformer(n_quantiles=5), "references_", np.zeros(5)),
        (QuantileTransformer(n_quantiles=5), "quantiles_", -np.arange(20.0).reshape(5, 4)),
        (SplineTransformer(), "bsplines_", [None] * 4),
        (SplineTransformer(), "n_features_out_", 10**6),
        (KNNImputer(), "_mask_fit_X", np.zeros((1, 4), dtype=bool)),
        (KNNImputer(), "_valid_mask", np.zeros(4, dtype=bool)),
        (FeatureAgglomeration(2), "labels_", np.array([0, 1, 0, 10**12])),
        (FeatureAgglomeration(2), "labels_", np.array([0, 1, 0])),
    ],
    ids=lambda value: (
        type(value).__name__ if hasattr(value, "fit") else value if isinstance(value, str) else ""
    ),
)
def test_wrong_size_is_refused_by_the_attributes_name(step: Any, key: str, value: Any) -> None:
    with pytest.raises(UnsupportedModelError, match=rf"{type(step).__name__}\.{key} is .*fit again"):
        network_from_estimator(_with(step, key, value))


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("KMeans", "_n_threads", -1),
        ("BisectingKMeans", "_n_threads", 10**12),
        ("DummyRegressor", "constant_", None),
    ],
)
def test_what_scikit_learns_own_predict_cannot_take_is_refused(name: str, key: str, value: Any) -> None:
    estimator, X = fitted_alone(name)
    setattr(estimator, key, value)
    with pytest.raises(UnsupportedModelError):
        check_own_predictions(estimator, network_from_estimator(estimator), X)


def test_a_first_prediction_of_a_great_many_outputs_is_refused() -> None:
    estimator, _ = fitted_alone("GradientBoostingRegressor")
    estimator.init_.n_outputs_ = 10**12
    with pytest.raises(UnsupportedModelError, match=r"DummyRegressor\.n_outputs_ is int 1000000000000"):
        network_from_estimator(estimator)


def test_pipeline_within_itself_is_refused() -> None:
    estimator = _with(StandardScaler(), "copy", True)
    estimator.steps[0] = ("scale", estimator)
    with pytest.raises(UnsupportedModelError, match="Pipeline lies inside itself"):
        network_from_estimator(estimator)


def test_pipeline_that_names_one_step_ever_so_often_is_refused() -> None:
    inner = Pipeline([("a", StandardScaler())])
    for _ in range(40):
        inner = Pipeline([("a", inner), ("b", inner)])
    with pytest.raises(UnsupportedModelError, match="more than 10000 parts"):
        network_from_estimator(inner)


def test_activation_of_nested_lists_is_refused_without_showing_it() -> None:
    estimator = _with(StandardScaler(), "copy", True)
    nested: Any = ["x"]
    for _ in range(60):
        nested = [nested, nested]
    estimator[-1].activation = nested
    with pytest.raises(UnsupportedModelError, match=r"MLPClassifier\.activation is list"):
        network_from_estimator(estimator)

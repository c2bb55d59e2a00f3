"""Searches among training rows, and answers of a radius, are scikit-learn's on a loaded model."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.pipeline import make_pipeline

from scirknn.answers import SEARCHES
from scirknn.arrays import Array, Floats
from scirknn.errors import InputError
from sklearn2rknn import UnsupportedModelError, network_from_estimator
from tests.converter.estimators.families.emulation import Emulated, load

RADIUS = 3.0
NEAREST = {
    "search": NearestNeighbors(n_neighbors=4, radius=RADIUS, algorithm="kd_tree"),
    "search by cosines": NearestNeighbors(n_neighbors=4, radius=0.3, metric="cosine"),
    "classifier": KNeighborsClassifier(algorithm="ball_tree"),
    "regressor": KNeighborsRegressor(3, algorithm="kd_tree"),
    "outliers": LocalOutlierFactor(6, novelty=True, algorithm="kd_tree"),
}
WITHIN = {
    "classifier": RadiusNeighborsClassifier(RADIUS, algorithm="kd_tree", outlier_label=2),
    "classifier by distance": RadiusNeighborsClassifier(
        RADIUS, weights="distance", algorithm="kd_tree", outlier_label="most_frequent"
    ),
    "regressor": RadiusNeighborsRegressor(RADIUS, algorithm="kd_tree"),
    "regressor by distance": RadiusNeighborsRegressor(RADIUS, weights="distance", algorithm="ball_tree"),
    "regressor by cosines": RadiusNeighborsRegressor(0.3, metric="cosine"),
}


def rows() -> tuple[Floats, Array, Floats]:
    """Return standardized rows and labels to fit, and other rows, of which some are far from all."""
    X, y = load("wine")
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    others = X[1::2].copy()
    others[::10] *= 5.0
    return X[::2], y[::2], others


def converted(model: Any) -> tuple[Any, Emulated, Floats]:
    X, y, others = rows()
    # Of integers scikit-learn makes its NaN of a row without neighbours the least integer.
    model = clone(model).fit(X, y.astype(float) if "Regressor" in type(model).__name__ else y)
    return model, Emulated.convert(model, X), others


def assert_same(given: Any, expected: Any) -> None:
    """Assert that distances and indices, or indices, are the same, each row's sorted."""
    assert type(given) is type(expected)
    pairs = zip(given, expected, strict=True) if isinstance(given, tuple) else [(given, expected)]
    for ours, theirs in pairs:
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        for one, other in zip(ours, theirs, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NEAREST)
def test_the_nearest_training_rows_are_scikit_learns(name: str) -> None:
    model, emulated, others = converted(NEAREST[name])
    with emulated.loaded() as loaded:
        assert_same(loaded.kneighbors(others), model.kneighbors(others))
        assert_same(loaded.kneighbors(others, 7, False), model.kneighbors(others, 7, False))
        assert_same(loaded.kneighbors(), model.kneighbors())
        assert_same(
            loaded.kneighbors(n_neighbors=1, return_distance=False),
            model.kneighbors(n_neighbors=1, return_distance=False),
        )
        assert {each: hasattr(loaded, each) for each in (*SEARCHES, "predict", "transform", "score")} == {
            each: hasattr(model, each) for each in (*SEARCHES, "predict", "transform", "score")
        }


@pytest.mark.parametrize("name", ["search", "search by cosines"])
def test_the_training_rows_within_a_radius_are_scikit_learns(name: str) -> None:
    model, emulated, others = converted(NEAREST[name])
    with emulated.loaded() as loaded:
        for radius in (None, 0.05, 2.0, 0.0, -1.0):
            expected = model.radius_neighbors(others, radius, sort_results=True)
            assert_same(loaded.radius_neighbors(others, radius), expected)
        distances, indices = model.radius_neighbors(sort_results=True)
        assert_same(loaded.radius_neighbors(), (distances, indices))
        assert_same(loaded.radius_neighbors(return_distance=False), indices)


def test_one_of_many_equal_training_rows_is_left_out_of_its_own_neighbours() -> None:
    X = np.vstack([np.zeros((6, 2)), np.arange(8.0).reshape(4, 2) + 1])
    model = NearestNeighbors(n_neighbors=2, algorithm="kd_tree").fit(X)
    with Emulated.convert(model, X).loaded() as loaded:
        distances, indices = loaded.kneighbors()
    assert (distances[:6] == 0).all()
    assert (indices != np.arange(10)[:, None]).all()


def test_many_rows_are_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, emulated, others = converted(NEAREST["search"])
    monkeypatch.setattr("scirknn.networks.npu.VALUES", 1000)
    with emulated.loaded() as loaded:
        assert_same(loaded.kneighbors(others), model.kneighbors(others))
        assert_same(loaded.radius_neighbors(others), model.radius_neighbors(others, sort_results=True))


CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("kneighbors", {"n_neighbors": 0}),
    ("kneighbors", {"n_neighbors": -2.5}),
    ("kneighbors", {"n_neighbors": 2.5}),
    ("kneighbors", {"n_neighbors": 90}),
    ("kneighbors", {"X": None, "n_neighbors": 89}),
    ("kneighbors", {"X": np.full((1, 13), np.nan)}),
    ("kneighbors", {"X": np.ones((1, 12))}),
    ("radius_neighbors", {"sort_results": True, "return_distance": False}),
)  # fmt: skip


@pytest.mark.parametrize(("method", "call"), CALLS)
def test_wrong_calls_are_refused_in_scikit_learns_words(method: str, call: dict[str, Any]) -> None:
    model, emulated, others = converted(NEAREST["search"])
    call = {"X": others, **call}
    with pytest.raises((ValueError, TypeError)) as expected:
        getattr(model, method)(**call)
    with emulated.loaded() as loaded, pytest.raises(InputError) as given:
        getattr(loaded, method)(**call)
    assert str(given.value).splitlines()[0] == str(expected.value).splitlines()[0]


def test_a_radius_that_is_no_number_is_refused() -> None:
    _, emulated, others = converted(NEAREST["search"])
    with emulated.loaded() as loaded, pytest.raises(InputError, match="Pass one number"):
        loaded.radius_neighbors(others, [1.0, 2.0])  # type: ignore[arg-type]


def test_a_pipeline_searches_behind_its_steps_and_not_among_its_own_rows() -> None:
    X, _, others = rows()
    model = make_pipeline(PCA(6), NearestNeighbors(algorithm="kd_tree")).fit(X)
    with Emulated.convert(model, X).loaded() as loaded:
        assert_same(loaded.kneighbors(others), model[-1].kneighbors(model[:-1].transform(others)))
        with pytest.raises(InputError, match=r"the model is a pipeline, which does not keep them"):
            loaded.kneighbors()


@pytest.mark.parametrize("name", WITHIN)
def test_answers_of_a_radius_are_scikit_learns(name: str) -> None:
    model, emulated, others = converted(WITHIN[name])
    with emulated.loaded() as loaded, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for method in ("predict", "predict_proba"):
            assert hasattr(loaded, method) == hasattr(model, method)
            if hasattr(model, method):
                expected, given = getattr(model, method)(others), getattr(loaded, method)(others)
                assert (given.shape, given.dtype) == (expected.shape, expected.dtype)
                np.testing.assert_allclose(given, expected, rtol=1e-12, atol=1e-12)
        assert_same(loaded.radius_neighbors(others), model.radius_neighbors(others, sort_results=True))
        assert not hasattr(loaded, "kneighbors")


def test_rows_without_neighbours_are_refused_by_their_numbers_or_have_no_target() -> None:
    model, emulated, others = converted(RadiusNeighborsClassifier(RADIUS, algorithm="kd_tree"))
    with pytest.raises(ValueError, match="No neighbors found") as expected:
        model.predict(others)
    with emulated.loaded() as loaded:
        with pytest.raises(InputError) as given:
            loaded.predict(others)
        near = np.delete(others, np.s_[::10], axis=0)[:5]
        np.testing.assert_array_equal(loaded.predict(near), model.predict(near))
    assert " ".join(str(given.value).split()) == " ".join(str(expected.value).split())
    _, emulated, others = converted(WITHIN["regressor"])
    with emulated.loaded() as loaded, pytest.warns(UserWarning, match="no neighbors within"):
        assert np.isnan(loaded.predict(others)[::10]).all()


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (RadiusNeighborsClassifier(outlier_label=7), "outlier_label=7, which is none of its classes"),
        (RadiusNeighborsRegressor(radius=float("inf")), "has the radius inf"),
    ],
)
def test_what_cannot_be_answered_is_refused(model: Any, text: str) -> None:
    X, y, _ = rows()
    with pytest.raises(UnsupportedModelError, match=text):
        network_from_estimator(model.fit(X, y))

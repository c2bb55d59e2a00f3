"""Neighbours, votes and scores are scikit-learn's, whatever the network's scores err within their bound."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scirknn.answers import SEARCHES
from scirknn.arrays import Array, Floats
from scirknn.steps.neighbours import NearestRows
from scirknn.steps.step import carry_steps
from sklearn2rknn import NotFittedError, OptionError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.own_predictions import check_own_predictions
from sklearn2rknn.passes.prepare_network import prepare_network
from tests.converter.estimators.families.emulation import Emulated, load, offered_methods

warnings.filterwarnings("ignore", module="sklearn")

DATA = ("wine", "wine bad", "digits", "breast_cancer", "breast_cancer bad")
MODELS = {
    "classifier": KNeighborsClassifier(algorithm="kd_tree"),
    "classifier by distance": KNeighborsClassifier(7, weights="distance", algorithm="kd_tree"),
    "classifier of one": KNeighborsClassifier(1, algorithm="ball_tree"),
    "classifier by cosines": KNeighborsClassifier(metric="cosine"),
    "regressor": KNeighborsRegressor(algorithm="kd_tree"),
    "regressor by distance": KNeighborsRegressor(weights="distance", algorithm="kd_tree"),
    "outliers": LocalOutlierFactor(novelty=True, algorithm="kd_tree"),
}


def halves(data: str) -> tuple[Floats, Array, Floats]:
    """Return rows and targets to fit, and other rows; few of either are equally far from each other."""
    X, y = load(data)
    order = np.random.default_rng(0).permutation(len(X))[:600]
    X, y = X[order], y[order]
    return X[::2], y[::2], X[1::2]


def step_of(emulated: Emulated) -> NearestRows:
    (step,) = emulated.source.epilogue
    assert isinstance(step, NearestRows)
    return step


def are_no_ties(emulated: Emulated, X: Floats) -> Array:
    """Whether the k-th and the next neighbour of a row are at different distances."""
    outputs = emulated.source.forward(X)
    rows = emulated.source.expand(X)
    _, error = carry_steps(emulated.source.epilogue, outputs, np.zeros_like(outputs), rows)
    return np.asarray(np.isfinite(error).all(axis=1))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", MODELS)
def test_answers_are_scikit_learns_but_at_ties(name: str, data: str) -> None:
    X, y, others = halves(data)
    model = clone(MODELS[name]).fit(X, y)
    emulated = Emulated.convert(model, X)
    clear = are_no_ties(emulated, others)
    assert clear.mean() > 0.9
    assert emulated.methods == offered_methods(model)
    for method in sorted(emulated.methods - set(SEARCHES)):
        with np.errstate(divide="ignore"):
            expected, given = getattr(model, method)(others), emulated(method, others)
        assert (given.shape, given.dtype) == (expected.shape, expected.dtype), method
        if expected.dtype.kind in "iU":
            assert (given == expected)[clear].all(), method
        else:
            np.testing.assert_allclose(given[clear], expected[clear], rtol=1e-12, atol=1e-12, err_msg=method)


@pytest.mark.parametrize("data", ["digits", "wine bad"])
def test_few_candidates_are_computed_anew(data: str) -> None:
    X, y, others = halves(data)
    emulated = Emulated.convert(KNeighborsClassifier().fit(X, y), X)
    pairs = step_of(emulated).candidates(emulated.source.forward(others), others, 5)
    assert (np.diff(pairs.bounds) >= 5).all()
    assert np.diff(pairs.bounds).mean() < 40


@pytest.mark.parametrize("name", ["classifier", "classifier by cosines"])
@pytest.mark.parametrize("data", DATA)
def test_the_bound_of_the_step_covers_that_of_the_file(name: str, data: str) -> None:
    X, y, others = halves(data)
    emulated = Emulated.convert(clone(MODELS[name]).fit(X, y), X)
    bound = emulated.bound(others)
    own = step_of(emulated).error_of_scores(emulated.source.expand(others))
    assert (bound <= own[:, None]).all()
    assert bound.max(axis=1).min() > 0.1 * own.min()


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(5, 200),
    columns=st.integers(1, 12),
    spread=st.sampled_from([0.0, 2.0, 5.0]),
    offset=st.sampled_from([0.0, 10.0, 1e4]),
    metric=st.sampled_from(["euclidean", "cosine"]),
)
def test_no_error_within_the_bound_changes_a_neighbour(
    seed: int, n: int, columns: int, spread: float, offset: float, metric: str
) -> None:
    random = np.random.default_rng(seed)
    scales = 10.0 ** random.uniform(-spread, spread, columns)
    X = (random.normal(size=(n, columns)) + offset * random.random(columns)) * scales
    others = np.vstack([X[:3], (random.normal(size=(20, columns)) * 1.5 + offset) * scales])
    network = network_from_estimator(KNeighborsRegressor(5, metric=metric).fit(X, np.arange(n)))
    (step,) = network.epilogue
    assert isinstance(step, NearestRows)
    rows, scores = network.expand(others), network.forward(others)
    limit = step.error_of_scores(rows)[:, None] * (1 - 1e-12)  # for sums of it are rounded
    exact = step.distances(rows, *np.indices((len(rows), n)).reshape(2, -1)).reshape(len(rows), n)
    nearest = np.argsort(exact, axis=1, kind="stable")[:, :5]
    radius = float(np.quantile(exact, 0.3))
    for noise in (0, limit, -limit, limit * random.choice([-1, 1], scores.shape)):
        distances, indices = step.nearest(scores + noise, rows, 5)
        assert (indices == nearest).all()
        np.testing.assert_array_equal(distances, np.take_along_axis(exact, nearest, axis=1))
        pairs = step.within(scores + noise, rows, radius)
        inside = np.zeros(exact.shape, dtype=bool)
        inside[pairs.rows, pairs.points] = True
        np.testing.assert_array_equal(inside, exact <= radius)


def test_where_more_is_wrong_than_the_bound_nothing_is_promised() -> None:
    X, y, others = halves("wine")
    source = network_from_estimator(KNeighborsClassifier().fit(X, y))
    (step,) = source.epilogue
    assert isinstance(step, NearestRows)
    outputs, limit = source.forward(others), step.error_of_scores(others)[:, None]
    for factor, is_known in ((1.0, True), (1.01, False)):
        _, error = carry_steps(
            source.epilogue, outputs, np.broadcast_to(factor * limit, outputs.shape), others
        )
        assert (np.isfinite(error).any()) == is_known


def test_ties_are_no_ground_to_call_predictions_foreign() -> None:
    X = np.repeat(np.arange(12.0)[:, None], 2, axis=1)
    model = KNeighborsClassifier(1).fit(X, np.arange(12))
    network = network_from_estimator(model)
    model.predict = lambda rows: np.arange(1, len(rows) + 1)  # of the two that are as near, the other one
    check_own_predictions(model, network, X[:-1] + 0.5)
    with pytest.raises(UnsupportedModelError, match="gives something other than its weights do in 12 of 12"):
        check_own_predictions(model, network, X + 0.25)


def test_a_pipeline_in_front_and_rows_of_zeros_are_exact() -> None:
    X, y, others = halves("wine bad")
    model = make_pipeline(StandardScaler(), PCA(6), KNeighborsClassifier(algorithm="kd_tree")).fit(X, y)
    np.testing.assert_array_equal(
        Emulated.convert(model, X)("predict_proba", others), model.predict_proba(others)
    )
    X = np.vstack([np.zeros((2, 3)), np.random.default_rng(0).normal(size=(30, 3))])
    model = KNeighborsRegressor(3, metric="cosine").fit(X, np.arange(32.0))
    given = Emulated.convert(model, X)("predict", X)
    np.testing.assert_allclose(given[2:], model.predict(X)[2:], rtol=1e-12)


def test_several_targets_of_a_regressor_keep_their_columns() -> None:
    X, y, others = halves("wine")
    model = KNeighborsRegressor(algorithm="kd_tree").fit(X, np.stack([y, 2 * y + 1], axis=1))
    np.testing.assert_allclose(
        Emulated.convert(model, X)("predict", others), model.predict(others), rtol=1e-12
    )


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_integers_are_refused(precision: str) -> None:
    X, y, _ = halves("wine")
    network = network_from_estimator(KNeighborsClassifier().fit(X, y))
    with pytest.raises(OptionError, match="KNeighborsClassifier needs the error bound of float16"):
        prepare_network(network.without_host_steps(), X, precision)


def fit(model: Any, **changes: Any) -> Any:
    X, y = load("wine")
    model.fit(X, y)
    vars(model).update(changes)
    return model


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (KNeighborsClassifier(), "This KNeighborsClassifier is not fitted"),
        (fit(KNeighborsClassifier(metric="manhattan")), "metric='manhattan'"),
        (fit(KNeighborsClassifier(p=3)), "metric='minkowski' and {'p': 3"),
        (fit(KNeighborsClassifier(p=1)), "only Euclidean distances"),
        (fit(KNeighborsClassifier(metric_params={"w": np.ones(13)})), "cannot be converted"),
        (fit(KNeighborsRegressor(metric=lambda a, b: abs(a - b).sum())), "metric='<lambda>'"),
        (KNeighborsRegressor(metric="precomputed").fit(np.eye(5), np.ones(5)), "metric='precomputed'"),
        (fit(KNeighborsRegressor(weights=lambda d: d)), "weights='<lambda>' cannot be converted"),
        (KNeighborsClassifier(1).fit(np.eye(3), np.eye(3, dtype=int)), "several targets"),
        (fit(LocalOutlierFactor()), "novelty=False has no predict for new rows"),
        (fit(KNeighborsClassifier(), _fit_X=np.ones((3, 13))), r"\(3, 13\); fit leaves .* \(178, 13\)"),
        (fit(KNeighborsClassifier(), _fit_X=None), "is an array of object"),
        (fit(KNeighborsClassifier(), _fit_X=np.full((178, 13), np.nan)), "holds 2314 NaN"),
        (fit(KNeighborsClassifier(), _y=np.full(178, 3)), "fit leaves the class of each row, below 3"),
        (KNeighborsRegressor(1).fit(csr_array(np.eye(3)), [1, 2, 3]), "Fit it to X.toarray"),
        (fit(KNeighborsClassifier(), n_neighbors=179), "asks for 179 neighbours of 178"),
        (fit(KNeighborsRegressor(), _y=np.ones(3)), "_y has shape \\(3,\\)"),
        (fit(LocalOutlierFactor(novelty=True), _lrd=np.ones(3)), r"_lrd is .* \(3,\); fit leaves .*178"),
        (KNeighborsRegressor(1).fit(np.array([[1e200], [-1e200]]), [1, 2]), "whose square leaves float64"),
        (KNeighborsRegressor(1).fit(np.zeros((2, 8001)), [1, 2]), "at most 60000 rows, 8000 columns"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(model: Any, text: str) -> None:
    with pytest.raises((UnsupportedModelError, NotFittedError), match=text):
        network_from_estimator(model)

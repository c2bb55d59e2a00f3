"""Labels and distances of the nearest centre."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import cluster
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.metrics import euclidean_distances
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scirknn.answers import responses_of
from scirknn.arrays import Array, Floats
from scirknn.steps.step import carry_steps
from sklearn2rknn import NotFittedError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.tolerances import PROBABILITY
from tests.converter.estimators.families.emulation import Emulated, load, offered_methods

warnings.filterwarnings("ignore", module="sklearn")

CLUSTERERS = {
    "AffinityPropagation": cluster.AffinityPropagation(damping=0.8, max_iter=400, random_state=0),
    "Birch": cluster.Birch(n_clusters=3, threshold=0.3),
    "Birch without clustering": cluster.Birch(n_clusters=None, threshold=0.3),
    "BisectingKMeans": cluster.BisectingKMeans(9, random_state=0),
    "BisectingKMeans of one": cluster.BisectingKMeans(1, random_state=0),
    "KMeans": cluster.KMeans(8, n_init=1, random_state=0),
    "KMeans of one": cluster.KMeans(1, n_init=1, random_state=0),
    "MeanShift": cluster.MeanShift(max_iter=30),
    "MiniBatchKMeans": cluster.MiniBatchKMeans(8, n_init=1, random_state=0),
}
DATA = ("wine", "wine bad", "digits", "breast_cancer bad")


def data_of(data: str) -> tuple[Floats, Array]:
    X, y = load(data)
    return X[:300], y[:300]


def centres_of(model: Any) -> Floats:
    """Return the points that labels are decided by."""
    names = ("cluster_centers_", "subcluster_centers_", "centroids_")
    return np.asarray(next(getattr(model, name) for name in names if hasattr(model, name)))


def are_settled(emulated: Emulated, X: Floats) -> Array:
    """Whether a row's largest score stays the largest within the derived bound of float16."""
    source = emulated.source
    steps = (*source.epilogue, *responses_of(source)["predict"])
    values, error = carry_steps(steps, source.forward(X), emulated.bound(X), source.expand(X))
    best = np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]
    rivals = np.where(best, -np.inf, values + error).max(axis=1)
    return np.asarray((values - error)[best] > rivals)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", CLUSTERERS)
def test_a_clusterer_predicts_and_transforms_as_scikit_learns(name: str, data: str) -> None:
    X = data_of(data)[0][: 50 if name == "MeanShift" else None]
    unit = 1.0 if name == "MeanShift" else np.abs(X).max() / 30  # the threshold of Birch is a distance
    model = clone(CLUSTERERS[name]).fit(X / unit)
    emulated, X = Emulated.convert(model, X / unit), X / unit
    assert emulated.methods == offered_methods(model)
    expected, settled = model.predict(X), are_settled(emulated, X)
    assert emulated.exact("predict", X).dtype == expected.dtype
    assert (emulated.exact("predict", X) == expected).mean() > 0.99  # scikit-learn rounds at ties
    same = emulated("predict", X) == expected
    assert same[settled].all()
    assert same.mean() > 0.97
    assert settled.mean() > 0.2
    if "transform" in emulated.methods:
        given, expected = emulated("transform", X), model.transform(X)
        assert (given.shape, given.dtype) == (expected.shape, expected.dtype)
        # scikit-learn's |x|^2 - 2 x.s + |s|^2 cancels; the squares err by float64's unit of |x|^2.
        allowed = 2.0**-48 * (
            np.square(X).sum(axis=1, keepdims=True) + np.square(centres_of(model)).sum(axis=1)
        )
        assert (np.abs(given**2 - expected**2) <= allowed).all()


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_exemplars_of_integers_are_centres(dtype: Any) -> None:
    X = np.random.default_rng(0).integers(0, 5, (60, 4)).astype(dtype)
    model = clone(CLUSTERERS["AffinityPropagation"]).fit(X)
    emulated = Emulated.convert(model, X)
    settled = are_settled(emulated, X)
    assert settled.any()
    assert (emulated("predict", X) == model.predict(X))[settled].all()


@pytest.mark.parametrize("priors", ["uniform", "empirical", [0.5, 0.3, 0.2]])
@pytest.mark.parametrize("shrink", [None, 0.5])
@pytest.mark.parametrize("data", ["wine", "wine bad", "breast_cancer bad"])
def test_nearest_centroid_answers_as_scikit_learns(data: str, shrink: float | None, priors: Any) -> None:
    X, y = data_of(data)
    priors = [0.75, 0.25] if isinstance(priors, list) and y.max() == 1 else priors
    model = NearestCentroid(shrink_threshold=shrink, priors=priors).fit(X, y)
    emulated = Emulated.convert(model, X)
    assert emulated.methods == offered_methods(model)
    for method in sorted(emulated.methods):
        expected, given = getattr(model, method)(X), emulated.exact(method, X)
        assert (given.shape, given.dtype) == (expected.shape, expected.dtype), method
        np.testing.assert_allclose(
            given, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max(), err_msg=method
        )
    same = emulated("predict", X) == model.predict(X)
    assert same[are_settled(emulated, X)].all()
    assert same.mean() > 0.98


def test_probabilities_from_other_values_than_labels_keep_the_promise() -> None:
    X, y = load("wine")
    X = X * 10.0 ** np.arange(13).clip(0, 5)
    model = NearestCentroid().fit(X, y)
    between = np.linspace(X[:60], X[118:], 40).reshape(-1, 13)  # from each class to another
    error = np.abs(Emulated.convert(model, X)("predict_proba", between) - model.predict_proba(between))
    assert error.max() <= PROBABILITY


def test_a_pca_in_front_leaves_distances_exact() -> None:
    X, _ = load("wine bad")
    model = make_pipeline(StandardScaler(), PCA(5), cluster.KMeans(6, n_init=1, random_state=0)).fit(X)
    emulated = Emulated.convert(model, X)
    assert (emulated("predict", X) == model.predict(X)).mean() > 0.99
    np.testing.assert_allclose(emulated("transform", X), model.transform(X), rtol=1e-9)


def test_distances_of_float32_are_scikit_learns() -> None:
    X = load("wine")[0].astype(np.float32)
    model = cluster.KMeans(4, n_init=1, random_state=0).fit(X)
    network = network_from_estimator(model)
    assert network.dtype == "float32"
    expected = euclidean_distances(X.astype(np.float64), model.cluster_centers_.astype(np.float64))
    given = Emulated.convert(model, X).exact("transform", X)
    np.testing.assert_allclose(given, expected, rtol=1e-6)


def fit(model: Any, **changes: Any) -> Any:
    X, y = load("wine")
    model.fit(X, y)
    vars(model).update(changes)
    return model


def endless() -> Any:
    """Return a tree that is its own child."""
    tree = fit(cluster.BisectingKMeans(3, random_state=0))._bisecting_tree
    tree.left = tree
    return tree


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (cluster.KMeans(3), "This KMeans is not fitted: it has no cluster_centers_"),
        (cluster.Birch(), "This Birch is not fitted: it has no subcluster_centers_"),
        (NearestCentroid(), "This NearestCentroid is not fitted"),
        (fit(NearestCentroid(metric="manhattan")), "metric='manhattan' cannot be converted"),
        (fit(cluster.KMeans(3), cluster_centers_=np.ones((3, 2))), r"\(3, 2\); fit leaves .* \(any, 13\)"),
        (fit(cluster.KMeans(3), cluster_centers_=np.full((3, 13), np.nan)), "holds 39 NaN or infinite"),
        (fit(cluster.KMeans(3), cluster_centers_=None), "cluster_centers_ is NoneType None; fit leaves"),
        (fit(cluster.BisectingKMeans(3), _bisecting_tree=None), "tree does not lead to its clusters"),
        (fit(cluster.BisectingKMeans(3), _bisecting_tree=endless()), "tree does not lead to its clusters"),
        (fit(cluster.Birch(), subcluster_labels_=np.zeros(2)), r"subcluster_labels_ is ndarray of shape \(2"),
        (fit(NearestCentroid(), class_prior_=np.array([1.0, 0.0, 0.0])), "with priors above 0"),
        (fit(NearestCentroid(), within_class_std_dev_=np.ones(2)), "within_class_std_dev_ of"),
        (
            fit(cluster.AffinityPropagation(), cluster_centers_=np.zeros((0, 13))),
            "did not converge and has no cluster",
        ),
        (
            cluster.AffinityPropagation(affinity="precomputed").fit(np.eye(5)),
            "affinity='precomputed' has no predict for new rows",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(model: Any, text: str) -> None:
    with pytest.raises((UnsupportedModelError, NotFittedError), match=text):
        network_from_estimator(model)


@pytest.mark.parametrize("data", ["wine", "wine bad"])
@pytest.mark.parametrize("name", ["BisectingKMeans", "KMeans", "MiniBatchKMeans"])
def test_the_score_is_the_opposite_of_the_inertia(name: str, data: str) -> None:
    X, _ = data_of(data)
    model: Any = clone(CLUSTERERS[name]).fit(X)
    with Emulated.convert(model, X).loaded() as loaded:
        weights = np.random.default_rng(0).random(len(X))
        assert loaded.score(X) == pytest.approx(model.score(X), rel=1e-9)
        assert loaded.score(X, None, weights) == pytest.approx(model.score(X, None, weights), rel=1e-9)
        with pytest.raises(ValueError, match=r"sample_weight.shape == \(3,\), expected \(") as given:
            loaded.score(X, sample_weight=np.ones(3))
        with pytest.raises(ValueError, match="sample_weight") as expected:
            model.score(X, sample_weight=np.ones(3))
        assert str(given.value) == str(expected.value)

"""Transformers as the last step, and as steps in front of a model."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import FeatureAgglomeration
from sklearn.cross_decomposition import PLSSVD
from sklearn.decomposition import (
    PCA,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    MiniBatchSparsePCA,
    SparsePCA,
    TruncatedSVD,
)
from sklearn.linear_model import Ridge
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.neural_network import BernoulliRBM
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from scirknn.answers import responses_of
from sklearn2rknn import NotFittedError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.comparisons import worst_r2
from tests.converter.estimators.families.emulation import Emulated, load

warnings.filterwarnings("ignore", module="sklearn")

STEPS = {
    "FactorAnalysis": FactorAnalysis(3),
    "FastICA": FastICA(3, random_state=0),
    "FastICA without whitening": FastICA(whiten=False, random_state=0, max_iter=20),
    "FeatureAgglomeration": FeatureAgglomeration(4),
    "GaussianRandomProjection": GaussianRandomProjection(5, random_state=0),
    "IncrementalPCA": IncrementalPCA(4),
    "IncrementalPCA whitened": IncrementalPCA(4, whiten=True),
    "MiniBatchSparsePCA": MiniBatchSparsePCA(3, max_iter=20, random_state=0),
    "NeighborhoodComponentsAnalysis": NeighborhoodComponentsAnalysis(3, max_iter=10, random_state=0),
    "PCA": PCA(4),
    "PCA whitened": PCA(4, whiten=True),
    "SparsePCA": SparsePCA(3, max_iter=20, random_state=0),
    "SparseRandomProjection": SparseRandomProjection(5, random_state=0),
    "TruncatedSVD": TruncatedSVD(4, random_state=0),
}
LAST = {
    **STEPS,
    "BernoulliRBM": make_pipeline(MinMaxScaler(), BernoulliRBM(6, n_iter=3, random_state=0)),
    "PLSSVD": PLSSVD(1),
    "StandardScaler, PCA": make_pipeline(StandardScaler(), PCA(5)),
    "PCA, PCA": make_pipeline(PCA(8), PCA(3)),
}


@pytest.mark.parametrize("data", ["wine", "wine bad", "diabetes"])
@pytest.mark.parametrize("name", LAST)
def test_transform_is_scikit_learns(name: str, data: str) -> None:
    X, y = load(data)
    model = clone(LAST[name]).fit(X, y)
    emulated = Emulated.convert(model, X)
    expected, exact = model.transform(X), emulated.exact("transform", X)
    assert {"transform"} <= emulated.methods <= {"transform", "score_samples"}
    assert (exact.shape, exact.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(exact, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
    r2 = worst_r2(expected, emulated("transform", X))
    assert r2 is None or r2 > 0.9999  # None: the components of SparsePCA may be 0


DENSITIES = {
    "FactorAnalysis": FactorAnalysis(3),
    "PCA": PCA(4),
    "PCA of all": PCA(),
    "StandardScaler, PCA": make_pipeline(StandardScaler(), PCA(5)),
    "StandardScaler, PCA whitened": make_pipeline(StandardScaler(), PCA(5, whiten=True)),
    "StandardScaler, PCA of all whitened": make_pipeline(StandardScaler(), PCA(whiten=True)),
}


@pytest.mark.parametrize("data", ["wine", "wine bad"])
@pytest.mark.parametrize("name", DENSITIES)
def test_likelihoods_are_scikit_learns_whatever_the_network_errs(name: str, data: str) -> None:
    X, _ = load(data)
    model = clone(DENSITIES[name]).fit(X)
    with Emulated.convert(model, X).loaded() as loaded:
        expected, given = model.score_samples(X), loaded.score_samples(X)
        assert (given.shape, given.dtype) == (expected.shape, expected.dtype)
        # The covariance of badly scaled data has a condition number of 1e14, which scikit-learn inverts.
        np.testing.assert_allclose(given, expected, rtol=1e-9 if data == "wine" else 1e-4)
        assert loaded.score(X) == pytest.approx(model.score(X), rel=1e-9 if data == "wine" else 1e-4)


def test_a_singular_covariance_has_no_likelihood() -> None:
    X, _ = load("digits")
    network = network_from_estimator(PCA().fit(X[:40]))
    assert set(responses_of(network)) == {"transform"}
    assert network.score is None


@pytest.mark.parametrize("name", STEPS)
def test_a_step_in_front_of_a_model_is_folded_into_it(name: str) -> None:
    X, y = load("wine")
    model = make_pipeline(StandardScaler(), clone(STEPS[name]), Ridge()).fit(X, y.astype(float))
    emulated = Emulated.convert(model, X)
    np.testing.assert_allclose(emulated.exact("predict", X), model.predict(X), rtol=1e-6, atol=1e-8)
    assert not emulated.source.features


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (FeatureAgglomeration(4, pooling_func=np.max), "pooling_func=max; the mean can be converted"),
        (PCA(3), "This PCA is not fitted"),
    ],
)
def test_what_cannot_be_read_is_refused(model: Any, text: str) -> None:
    X, _ = load("wine")
    if "fitted" not in text:
        model.fit(X)
    with pytest.raises((UnsupportedModelError, NotFittedError), match=text):
        Emulated.convert(model, X)

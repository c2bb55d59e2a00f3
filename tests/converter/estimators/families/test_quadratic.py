"""Gaussian and naive Bayes models: the numbers of scikit-learn, by the methods that scikit-learn has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.covariance import EllipticEnvelope
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, GaussianNB

from scirknn.arrays import Array
from tests.converter.estimators.families.emulation import Emulated, assert_exact, assert_within_bound, load

DATA = ("wine", "wine bad", "breast_cancer bad", "digits")
MIXTURES = {
    **{
        f"{kind.__name__} {covariance}": kind(
            n_components=4, covariance_type=covariance, reg_covar=1e-2, max_iter=20, random_state=0
        )
        for kind in (GaussianMixture, BayesianGaussianMixture)
        for covariance in ("full", "tied", "diag", "spherical")
    },
    "BayesianGaussianMixture distribution": BayesianGaussianMixture(
        n_components=3, weight_concentration_prior_type="dirichlet_distribution", max_iter=20, random_state=0
    ),
}
MODELS: dict[str, Any] = {
    **MIXTURES,
    "QuadraticDiscriminantAnalysis": QuadraticDiscriminantAnalysis(reg_param=0.1),
    "EllipticEnvelope": EllipticEnvelope(support_fraction=0.9, random_state=0),
    "EllipticEnvelope without precision": EllipticEnvelope(
        support_fraction=0.9, store_precision=False, random_state=0
    ),
    "GaussianNB": GaussianNB(),
    "BernoulliNB": BernoulliNB(binarize=3.0),
    "BernoulliNB of 0 and 1": BernoulliNB(binarize=None),
    "CategoricalNB": CategoricalNB(min_categories=17),
}


def fit(name: str, data: str) -> tuple[Any, Array]:
    X, y = load(data)
    if name == "CategoricalNB":
        X = np.floor(16 * (X - X.min(axis=0)) / np.ptp(X, axis=0).clip(1.0))
    if name == "BernoulliNB of 0 and 1":
        X = (np.median(X, axis=0) < X).astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(MODELS[name]).fit(X, y), X[:400]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", MODELS)
def test_methods_answer_as_scikit_learn_does(name: str, data: str) -> None:
    model, X = fit(name, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        emulated = Emulated.convert(model, X)
        assert_exact(emulated, X)
        assert_within_bound(emulated, X)
        if hasattr(model, "predict_proba"):
            chances = model.predict_proba(X)
            assert np.abs(emulated("predict_proba", X) - chances).max() < 2e-3
            clear = np.ptp(np.sort(chances)[:, -2:], axis=1) > 1e-3
        else:
            decision = np.abs(model.decision_function(X))
            clear = decision > 1e-3 * decision.max()
        assert (emulated("predict", X) == model.predict(X))[clear].all()

"""Transformers that are networks themselves, with a linear model behind them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA, KernelPCA
from sklearn.feature_selection import SelectKBest
from sklearn.kernel_approximation import Nystroem, RBFSampler, SkewedChi2Sampler
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.neural_network import BernoulliRBM, MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC

from sklearn2rknn import UnsupportedModelError
from tests.converter.estimators.families.emulation import Emulated, offered_methods, scaled

warnings.filterwarnings("ignore", module="sklearn")

PIPELINES = {
    "Nystroem": (StandardScaler(), Nystroem(n_components=30, random_state=0), LogisticRegression()),
    "Nystroem scaled": (Nystroem(gamma=0.01, n_components=30, random_state=0), StandardScaler(), LinearSVC()),
    "RBFSampler": (
        StandardScaler(),
        RBFSampler(n_components=40, random_state=0),
        SGDClassifier(random_state=0),
    ),
    "SkewedChi2Sampler": (SkewedChi2Sampler(skewedness=9.0, random_state=0), RidgeClassifier()),
    "KernelPCA": (StandardScaler(), PCA(6), KernelPCA(5, kernel="poly"), PCA(4), LogisticRegression()),
    "Nystroem linear": (Nystroem("linear", n_components=8), MLPClassifier((9,), max_iter=20, random_state=0)),
    "BernoulliRBM": (MinMaxScaler(), BernoulliRBM(9, n_iter=3, random_state=0), LogisticRegression()),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_linear_model_follows_the_features_of_a_kernel(name: str) -> None:
    X, y = scaled("wine")
    model = clone(make_pipeline(*PIPELINES[name])).fit(X, y)
    emulated = Emulated.convert(model, X)
    for method in emulated.methods:
        expected = getattr(model, method)(X)
        size = np.abs(expected).max()
        np.testing.assert_allclose(emulated.exact(method, X), expected, rtol=0, atol=1e-9 * size)
    assert emulated.methods == offered_methods(model[-1])
    assert (emulated("predict", X) == model.predict(X)).mean() >= 0.99


def test_names_and_target_stay_with_the_features_of_a_kernel() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas")
    X, y = scaled("diabetes")
    table = pandas.DataFrame(X, columns=[f"column {place}" for place in range(X.shape[1])])
    inner = make_pipeline(Nystroem(n_components=20, random_state=0), Ridge())
    model = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(table, y)
    emulated = Emulated.convert(model, X)
    assert emulated.source.feature_names == tuple(table.columns)
    np.testing.assert_allclose(emulated.exact("predict", X), model.predict(table), rtol=1e-9)


@pytest.mark.parametrize(
    ("steps", "text"),
    [
        (
            (Nystroem(n_components=9), MLPClassifier((3,), max_iter=5)),
            "has layers for the NPU. Let a linear model",
        ),
        ((Nystroem(n_components=9), SVC()), "take its 9 features apart"),
        ((Nystroem(n_components=9), SelectKBest(k=3), LogisticRegression()), "take its 9 features apart"),
        (
            (Nystroem(n_components=9), RBFSampler(), LogisticRegression()),
            "nystroem' .Nystroem. cannot be converted",
        ),
    ],
)
def test_what_cannot_follow_the_features_of_a_kernel_is_refused(steps: tuple[Any, ...], text: str) -> None:
    X, y = scaled("wine")
    with pytest.raises(UnsupportedModelError, match=text):
        Emulated.convert(make_pipeline(*steps).fit(X, y), X)

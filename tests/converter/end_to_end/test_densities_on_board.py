"""Gaussian and naive Bayes models through the toolkit and files: scikit-learn's answers by its methods."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import CategoricalNB, GaussianNB

import scirknn
from sklearn2rknn import Toolkit, convert
from tests.converter.estimators.families.emulation import load, offered_methods

CASES: dict[str, tuple[str, Any]] = {
    "QuadraticDiscriminantAnalysis": ("wine bad", QuadraticDiscriminantAnalysis()),
    "GaussianMixture": ("breast_cancer bad", GaussianMixture(4, random_state=0)),
    "GaussianNB": ("digits", GaussianNB()),
    "CategoricalNB": ("digits", CategoricalNB()),
    "EllipticEnvelope": ("wine", EllipticEnvelope(random_state=0)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_density_answers_on_the_virtual_board(name: str, toolkit: Toolkit, tmp_path: Path) -> None:
    data, model = CASES[name]
    X, y = load(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
    X, y = X[:600], y[:600]
    report = convert(model, tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    deciding = report.check.deciding
    assert deciding is not None
    assert deciding.bound_share is not None
    assert deciding.bound_share <= 1
    target = np.where(y, 1, -1) if "Envelope" in name else y
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        assert {each for each in offered_methods(model) if loaded.has(each)} == offered_methods(model)
        for method in offered_methods(model):
            expected, given = getattr(model, method)(X), getattr(loaded, method)(X)
            assert (given.shape, given.dtype) == (expected.shape, expected.dtype)
            if method == "predict":
                assert (given == expected).mean() == 1.0
            elif method == "predict_proba":
                assert np.abs(given - expected).max() <= 2e-3
            else:
                assert np.abs(given - expected).max() <= 2e-3 * np.abs(expected).max()
        assert loaded.score(X, target) == pytest.approx(model.score(X, target), rel=1e-4)


def test_sixteen_bits_hold_the_forms_of_a_discriminant(toolkit: Toolkit, tmp_path: Path) -> None:
    X, y = load("wine")
    model = QuadraticDiscriminantAnalysis().fit(X, y)
    convert(model, tmp_path / "m.rknn", example_input=X, precision="int16", toolkit=toolkit)
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        assert (loaded.predict(X) == model.predict(X)).mean() > 0.98

"""A model computed in numpy by its bundle answers as scikit-learn does, whatever its family."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scirknn
from scirknn.bundle import Bundle, Variant, write_bundle
from sklearn2rknn import network_from_estimator
from sklearn2rknn.network.bundle_fields import bundle_fields
from sklearn2rknn.network.cpu_layers import cpu_layers
from sklearn2rknn.network.onnx_graph import input_channels
from tests.converter.estimators.families.emulation import Emulated, badly_scaled
from tests.converter.estimators.test_support import CONVERTED, fitted
from tests.counts import FULL

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TOLERANCE = 1e-5
"""Of probabilities, and of other numbers as a share of the batch's largest: float32 has 24 bits."""


def written(model: Any, X: Any, folder: Path) -> Path | None:
    """Write the bundle that a conversion would, with no model file in its files; None: it has no network."""
    emulated = Emulated.convert(model, X) if _has_layers(model) else None
    if emulated is None:
        return None
    network, content = emulated.prepared, b"no program"
    bundle = Bundle(
        path=folder / "m.rknn",
        **bundle_fields(network),
        channels=input_channels(network),
        precision="float16",
        variants=(Variant("m.rknn", 1, hashlib.sha256(content).hexdigest()),),
        details={},
        cpu=cpu_layers(emulated.source, emulated.layers),
    )
    write_bundle(bundle, {"m.rknn": content})
    return bundle.path


def _has_layers(model: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(network_from_estimator(model).layers)


def assert_answers_as(model: Any, path: Path, X: Any) -> None:
    """Compare every method but the logarithm, whose size has no bound."""
    with scirknn.load(path, device="cpu") as loaded:
        for method in ("predict", "predict_proba", "decision_function", "score_samples", "transform"):
            if not loaded.has(method):
                continue
            theirs, ours = getattr(model, method)(X), getattr(loaded, method)(X)
            assert type(ours) is type(theirs), method
            # The probabilities of several targets are a list, an array for each.
            both = zip(theirs, ours, strict=True) if isinstance(theirs, list) else [(theirs, ours)]
            for expected, answers in both:
                assert (answers.shape, answers.dtype) == (expected.shape, expected.dtype), method
                if expected.dtype.kind == "f":
                    largest = 1.0 if method == "predict_proba" else np.abs(expected).max()
                    np.testing.assert_allclose(answers, expected, rtol=0, atol=TOLERANCE * largest)
                else:
                    np.testing.assert_array_equal(answers, expected)


OF_EACH_KIND = (
    "GaussianMixture",
    "GaussianNB",
    "KMeans",
    "KNeighborsClassifier",
    "MLPClassifier",
    "PCA",
    "SVC",
)
"""Families whose host steps differ; the others are counted."""


@pytest.mark.parametrize("name", CONVERTED if FULL else sorted({*OF_EACH_KIND, *CONVERTED[::10]}))
def test_every_family_is_computed_on_the_cpu(name: str, tmp_path: Path) -> None:
    model, X = fitted(name)
    path = written(model, X, tmp_path)
    if path is not None:
        assert_answers_as(model, path, X)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_columns_far_from_zero_lose_nothing_where_rows_were_given(activation: str, tmp_path: Path) -> None:
    X = badly_scaled(np.random.default_rng(0).normal(size=(200, 6)))
    model = make_pipeline(StandardScaler(), MLPClassifier((16, 8), activation=activation, random_state=0))
    model.fit(X, np.arange(200) % 3)
    path = written(model, X, tmp_path)
    assert path is not None
    assert_answers_as(model, path, X)


def test_a_map_of_the_targets_is_in_the_last_layer(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(200, 6))
    regressor = MLPRegressor(hidden_layer_sizes=(16,), max_iter=500, random_state=0)
    model = TransformedTargetRegressor(regressor, transformer=StandardScaler())
    model.fit(X, 1e6 + 1e3 * np.stack([X[:, 0], X[:, 1]], axis=1))
    path = written(model, X, tmp_path)
    assert path is not None
    assert_answers_as(model, path, X)


def test_numbers_that_float32_does_not_hold_are_left_out() -> None:
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0)
    X = np.random.default_rng(0).normal(size=(20, 3))
    emulated = Emulated.convert(model.fit(X, X[:, 0]), X)
    model.intercepts_[0][0] = 1e200
    assert cpu_layers(network_from_estimator(model), emulated.layers) is None

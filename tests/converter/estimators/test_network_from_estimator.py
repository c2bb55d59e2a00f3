"""Estimator to Network: it computes what scikit-learn computes, or is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.exceptions
from hypothesis import given, settings
from sklearn.neural_network import MLPClassifier

from sklearn2rknn import network_from_estimator
from tests.converter.fitted import fit, fitted


@settings(max_examples=60, deadline=None)
@given(fitted())
def test_forward_is_what_scikit_learn_computes(model: tuple[Any, npt.NDArray[Any]]) -> None:
    estimator, X = model
    network = network_from_estimator(estimator)
    outputs = network.forward(X)
    # Both sum in float64, in orders of their own: widths below 20 and up to 5 layers keep the difference
    # below 5 * 20 * 2**-53 * (sums of magnitudes below 100), about 1e-12.
    tolerance: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11}
    if network.task == "regressor":
        predicted = estimator.predict(X).reshape(len(X), -1)
        np.testing.assert_allclose(network.predict(outputs), predicted, **tolerance)
        assert network.single_output == (estimator.predict(X).ndim == 1)
        return
    probabilities = estimator.predict_proba(X)
    if network.head == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), probabilities, **tolerance)
    else:
        logistic = 1.0 / (1.0 + np.exp(-outputs))
        expected = probabilities if network.task == "multilabel" else probabilities[:, 1:]
        np.testing.assert_allclose(logistic, expected, **tolerance)
    decided = network.predict(outputs)
    assert network.classes is not None
    labels = decided if network.task == "multilabel" else network.classes[decided]
    assert np.array_equal(labels, estimator.predict(X))
    assert labels.dtype == estimator.predict(X).dtype or network.task == "multilabel"


def test_labels_of_one_class_are_that_class() -> None:
    X = np.random.default_rng(0).standard_normal((20, 2))
    estimator = MLPClassifier((3,), max_iter=200).fit(X, np.full(20, "only"))
    network = network_from_estimator(estimator)
    assert network.classes is not None
    assert network.classes.tolist() == ["only"]
    assert np.array_equal(network.classes[network.predict(network.forward(X))], estimator.predict(X))


def test_boolean_labels_and_float32_weights_are_carried() -> None:
    estimator, _ = fit("binary", labels=np.array([False, True]), dtype=np.float32)
    network = network_from_estimator(estimator)
    assert network.classes is not None
    assert network.classes.dtype == bool
    assert network.dtype == "float32"


def test_feature_names_are_carried() -> None:
    estimator, _ = fit("softmax", n_features=2)
    estimator.feature_names_in_ = np.array(["length", "width"], dtype=object)
    assert network_from_estimator(estimator).feature_names == ("length", "width")


def test_layers_are_frozen() -> None:
    network = network_from_estimator(fit("softmax")[0])
    with pytest.raises(ValueError, match="read-only"):
        network.layers[0].weights[0, 0] = 1.0
    with pytest.raises(AttributeError):
        network.task = "regressor"  # type: ignore[misc]


def test_digest_follows_the_weights() -> None:
    first, again, other = (network_from_estimator(fit("softmax", seed=seed)[0]) for seed in (0, 0, 1))
    assert first.weights_digest() == again.weights_digest() != other.weights_digest()


def test_not_fitted_is_scikit_learns_error_too() -> None:
    with pytest.raises(sklearn.exceptions.NotFittedError):
        network_from_estimator(MLPClassifier())

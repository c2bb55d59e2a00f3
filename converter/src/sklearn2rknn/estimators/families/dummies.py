"""Models that do not look at X."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor

from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import class_labels, fitted_numbers, require_fitted
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.network.network import Network

CONSTANT = Form("a constant", worth="never: it is there to be compared with")


@reads(DummyRegressor, form=CONSTANT)
def read_dummy_regressor(estimator: Any, name: str) -> Network:
    """Return the network of a constant."""
    require_fitted(estimator, "constant_")
    constant = np.asarray(estimator.constant_, dtype=np.float64).reshape(-1)
    answers = Answers(task="regressor", single_output=Attributes(estimator).count("n_outputs_") == 1)
    return dense_network(estimator, _no_weights(estimator, len(constant)), constant, answers)


@reads(DummyClassifier, form=CONSTANT)
def read_dummy_classifier(estimator: Any, name: str) -> Network:
    """Return the network of constant probabilities."""
    require_fitted(estimator, "class_prior_")
    strategy = estimator._strategy if hasattr(estimator, "_strategy") else estimator.strategy
    if strategy not in ("constant", "most_frequent", "prior"):
        raise UnsupportedModelError(
            f"{name} with strategy={strategy!r:.60} draws its predictions. Fit with strategy='prior'."
        )
    if Attributes(estimator).count("n_outputs_") != 1:
        raise UnsupportedModelError(f"{name} has {estimator.n_outputs_} outputs. Fit one for each.")
    if getattr(estimator, "sparse_output_", False):
        raise UnsupportedModelError(f"{name} gives sparse predictions. Fit it with y.toarray().")
    classes = class_labels(name, estimator.classes_)
    chances = fitted_numbers(f"{name}.class_prior_", estimator.class_prior_, 1)
    if strategy != "prior":
        best = chances.argmax() if strategy == "most_frequent" else _place(estimator)
        chances = np.eye(len(chances))[best]
    answers = Answers.of(estimator, "classifier", classes=classes)
    return dense_network(estimator, _no_weights(estimator, len(chances)), chances, answers)


def _place(estimator: Any) -> int:
    return int(np.flatnonzero(estimator.classes_ == np.ravel(estimator.constant)[0])[0])


def _no_weights(estimator: Any, count: int) -> np.ndarray[Any, Any]:
    require_fitted(estimator, "n_features_in_")
    return np.zeros((int(estimator.n_features_in_), count))

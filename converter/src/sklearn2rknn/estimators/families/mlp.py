"""Multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.fitted import class_labels, feature_names, fitted_numbers
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.network.layer import ACTIVATIONS, Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.not_fitted import NotFittedError

HEADS = ("softmax", "logistic", "identity", "exp")
"""Output activations, by scikit-learn's names."""


@reads(MLPClassifier, MLPRegressor, form=Form("dense layers"))
def read_perceptron(estimator: Any, name: str) -> Network:
    """Return the network of a fitted MLPClassifier or MLPRegressor."""
    if not hasattr(estimator, "coefs_"):
        raise NotFittedError(
            f"This {name} is not fitted: it has no weights. Call fit(X, y) before converting."
        )
    head = getattr(estimator, "out_activation_", None)
    for what, value, choices in (
        ("activation", estimator.activation, ACTIVATIONS),
        ("output activation", head, HEADS),
    ):
        if value not in choices:
            raise UnsupportedModelError(
                f"{name} has the {what} {value!r:.60}; {', '.join(choices)} can be converted."
            )
    layers = _layers(estimator, name)
    task, classes = "regressor", None
    if isinstance(estimator, MLPClassifier):
        classes = class_labels(name, estimator.classes_)
        kind = estimator._label_binarizer.y_type_
        task = "multilabel" if kind.startswith("multilabel") else "classifier"
    return Network(
        estimator=name,
        task=task,
        head=str(head),
        layers=layers,
        classes=classes,
        feature_names=feature_names(estimator),
        single_output=task == "regressor" and layers[-1].weights.shape[1] == 1,
        dtype="float32" if estimator.coefs_[0].dtype == np.float32 else "float64",
    )


def _layers(estimator: Any, name: str) -> tuple[Layer, ...]:
    numbers = [
        (
            fitted_numbers(f"{name}.coefs_[{i}]", weights, 2),
            fitted_numbers(f"{name}.intercepts_[{i}]", bias, 1),
        )
        for i, (weights, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    ]
    for i, (weights, bias) in enumerate(numbers):
        columns = weights.shape[1]
        if columns != len(bias):
            raise UnsupportedModelError(
                f"{name}.coefs_[{i}] has {columns} columns and intercepts_[{i}] has {len(bias)} values. "
                "The weights were changed after fit; fit again."
            )
        if i + 1 < len(numbers) and columns != len(numbers[i + 1][0]):
            raise UnsupportedModelError(
                f"{name}.coefs_[{i}] has {columns} columns and coefs_[{i + 1}] has {len(numbers[i + 1][0])} "
                "rows. The weights were changed after fit; fit again."
            )
    activations = [estimator.activation] * (len(numbers) - 1) + ["identity"]
    return tuple(
        Layer(weights, bias, activation)
        for (weights, bias), activation in zip(numbers, activations, strict=True)
    )

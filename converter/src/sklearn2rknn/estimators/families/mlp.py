"""Multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.layer import ACTIVATIONS, Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.not_fitted import NotFittedError

HEADS = ("softmax", "logistic", "identity", "exp")
"""Output activations, by scikit-learn's names."""


@reads(MLPClassifier, MLPRegressor)
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
        classes = _classes(name, estimator.classes_)
        kind = estimator._label_binarizer.y_type_
        task = "multilabel" if kind.startswith("multilabel") else "classifier"
    names = getattr(estimator, "feature_names_in_", None)
    return Network(
        estimator=name,
        task=task,
        head=str(head),
        layers=layers,
        classes=classes,
        feature_names=None if names is None else tuple(str(each) for each in names),
        single_output=task == "regressor" and layers[-1].weights.shape[1] == 1,
        dtype="float32" if estimator.coefs_[0].dtype == np.float32 else "float64",
    )


def _layers(estimator: Any, name: str) -> tuple[Layer, ...]:
    numbers = [
        (
            _numbers(f"{name}.coefs_[{i}]", weights, 2),
            _numbers(f"{name}.intercepts_[{i}]", bias, 1),
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


def _numbers(label: str, values: Any, dimensions: int) -> npt.NDArray[Any]:
    if hasattr(values, "toarray"):
        attribute = label.partition(".")[2]
        raise UnsupportedModelError(
            f"{label} is a sparse matrix. Make it dense first: {attribute} = {attribute}.toarray()."
        )
    array = np.asarray(values)
    if array.dtype.kind != "f" or array.ndim != dimensions or not array.size:
        raise UnsupportedModelError(
            f"{label} is an array of {array.dtype} and shape {array.shape}, not a {dimensions}-D array of "
            "floats. The weights were changed after fit; fit again."
        )
    if not np.isfinite(array).all():
        raise UnsupportedModelError(
            f"{label} holds {np.count_nonzero(~np.isfinite(array))} NaN or infinite values: training "
            "diverged. Scale the features, or lower learning_rate_init, and fit again."
        )
    return array


def _classes(name: str, labels: Any) -> npt.NDArray[Any]:
    """Return the labels in a dtype that the metadata can hold, or refuse them."""
    array = np.asarray(labels)
    if array.dtype.kind in "OT" and all(isinstance(label, str) for label in array.tolist()):
        # An array of strings keeps its dtype: predictions of scikit-learn have the dtype of classes_.
        return array.astype(object)
    if array.dtype.kind not in "biufU" or (array.dtype.itemsize > 8 and array.dtype.kind != "U"):
        raise UnsupportedModelError(
            f"{name}.classes_ has dtype {array.dtype}; labels can be strings, integers, floats or booleans. "
            "Fit with labels of one of these, for example y.astype(str)."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnsupportedModelError(f"{name}.classes_ holds NaN or infinity. Fit with finite labels.")
    return array.astype(array.dtype.newbyteorder("<"))

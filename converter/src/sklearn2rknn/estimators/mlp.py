"""Read a fitted multi-layer perceptron."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sklearn2rknn.errors import NotFittedError, UnsupportedModelError
from sklearn2rknn.network.layer import ACTIVATIONS, Layer
from sklearn2rknn.network.network import Network

HEADS = {"softmax": "softmax", "logistic": "logistic", "identity": "identity", "exp": "exp"}
"""scikit-learn's ``out_activation_`` and the head that computes it."""


def network_from_perceptron(estimator: Any) -> Network:
    """Take the numbers out of a fitted MLPClassifier or MLPRegressor."""
    name = type(estimator).__name__
    if not isinstance(estimator, (MLPClassifier, MLPRegressor)):
        raise UnsupportedModelError(_why_not(estimator, name))
    if not hasattr(estimator, "coefs_"):
        raise NotFittedError(
            f"This {name} is not fitted: it has no weights. Call fit(X, y) before converting."
        )
    activation = estimator.activation
    if activation not in ACTIVATIONS:
        raise UnsupportedModelError(
            f"{name} has the activation {activation!r:.60}; {', '.join(ACTIVATIONS)} can be converted."
        )
    head = getattr(estimator, "out_activation_", None)
    if head not in HEADS:
        raise UnsupportedModelError(
            f"{name} has the output activation {head!r:.60}; {', '.join(HEADS)} can be converted."
        )
    last = len(estimator.coefs_) - 1
    layers = tuple(
        Layer(*_numbers(name, i, weights, bias), "identity" if i == last else activation)
        for i, (weights, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    )
    for i in range(last):
        before, after = layers[i].weights.shape[1], layers[i + 1].weights.shape[0]
        if before != after:
            raise UnsupportedModelError(
                f"{name}.coefs_[{i}] has {before} columns and coefs_[{i + 1}] has {after} rows. "
                "The weights were changed after fit; fit again."
            )
    task, classes = "regressor", None
    if isinstance(estimator, MLPClassifier):
        classes = _classes(name, estimator.classes_)
        kind = estimator._label_binarizer.y_type_
        task = "multilabel" if kind.startswith("multilabel") else "classifier"
    names = getattr(estimator, "feature_names_in_", None)
    return Network(
        estimator=name,
        task=task,
        head=HEADS[head],
        layers=layers,
        classes=classes,
        feature_names=None if names is None else tuple(str(each) for each in names),
        single_output=task == "regressor" and layers[-1].weights.shape[1] == 1,
        dtype="float32" if estimator.coefs_[0].dtype == np.float32 else "float64",
    )


def _why_not(estimator: Any, name: str) -> str:
    text = (
        f"{name} cannot be converted; MLPClassifier and MLPRegressor can be converted, alone or at the end "
        "of a Pipeline."
    )
    if hasattr(estimator, "steps"):
        return f"{text} Give a Pipeline of scikit-learn itself."
    return text


def _numbers(name: str, index: int, weights: Any, bias: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    taken = []
    for label, values, dimensions in ((f"coefs_[{index}]", weights, 2), (f"intercepts_[{index}]", bias, 1)):
        if hasattr(values, "toarray"):
            raise UnsupportedModelError(
                f"{name}.{label} is a sparse matrix. Make it dense first: {label} = {label}.toarray()."
            )
        array = np.asarray(values)
        if array.dtype.kind != "f" or array.ndim != dimensions or not array.size:
            raise UnsupportedModelError(
                f"{name}.{label} is an array of {array.dtype} and shape {array.shape}, not a {dimensions}-D "
                "array of floats. The weights were changed after fit; fit again."
            )
        if not np.isfinite(array).all():
            raise UnsupportedModelError(
                f"{name}.{label} holds {np.count_nonzero(~np.isfinite(array))} NaN or infinite values: "
                "training diverged. Scale the features, or lower learning_rate_init, and fit again."
            )
        taken.append(array)
    if taken[0].shape[1] != taken[1].shape[0]:
        raise UnsupportedModelError(
            f"{name}.coefs_[{index}] has {taken[0].shape[1]} columns and intercepts_[{index}] has "
            f"{taken[1].shape[0]} values. The weights were changed after fit; fit again."
        )
    return taken[0], taken[1]


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

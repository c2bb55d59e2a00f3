"""The same network on the board's CPU: what the NPU has to beat.

It comes as arrays and words. Nothing is unpickled here: a scikit-learn estimator is made anew, and given its
fitted attributes.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np

from scirknn.arrays import Array

TASKS = ("classifier", "multilabel", "regressor")
HEADS = ("softmax", "logistic", "identity", "exp")


def _logistic(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0, out=z),
    "tanh": lambda z: np.tanh(z, out=z),
    "logistic": _logistic,
}


class _Network:
    """A request's network, checked."""

    def __init__(self, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self.activation, self.task, self.head = (header.get(k) for k in ("activation", "task", "head"))
        for value, known in (
            (self.activation, _ACTIVATIONS),
            (self.task, TASKS),
            (self.head, HEADS),
        ):
            if value not in known:
                raise ValueError(f"the network's {value!r:.40} is none of {', '.join(known)}")
        count = sum(name.startswith("weights_") for name in arrays)
        self.weights = [arrays[f"weights_{index}"] for index in range(count)]
        self.biases = [arrays[f"bias_{index}"] for index in range(count)]
        self.classes = arrays.get("classes")


def in_numpy(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Callable[[Array], Array]:
    """Make a predict in float32, from X of shape (n, n_features) to predictions.

    The header has ``activation``, ``task`` and ``head``; the arrays are ``weights_0``, ``bias_0`` and so on,
    and ``classes`` for a classifier.
    """
    network = _Network(header, arrays)
    weights = [np.ascontiguousarray(each, dtype=np.float32) for each in network.weights]
    biases = [np.asarray(each, dtype=np.float32) for each in network.biases]
    activate = _ACTIVATIONS[str(network.activation)]
    classes = network.classes

    def predict(X: Array) -> Array:
        value = np.asarray(X, dtype=np.float32)
        with np.errstate(over="ignore"):
            for index, (weight, bias) in enumerate(zip(weights, biases)):
                value = value @ weight
                value += bias
                if index < len(weights) - 1:
                    value = activate(value)
            if network.task == "regressor":
                output: Array = np.exp(value) if network.head == "exp" else value
                return output[:, 0] if output.shape[1] == 1 else output
        if network.task == "multilabel" or classes is None:
            return (value > 0).astype(np.int64)
        # Two classes share one output.
        chosen = (value[:, 0] > 0).astype(np.intp) if value.shape[1] == 1 else value.argmax(axis=1)
        labels: Array = classes[chosen]
        return labels

    return predict


def in_scikit_learn(
    header: Mapping[str, Any], arrays: Mapping[str, Array]
) -> Callable[[Array], Array] | None:
    """Make predict of a scikit-learn estimator; None where it is not installed."""
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.preprocessing import LabelBinarizer
    except ImportError:
        return None
    network = _Network(header, arrays)
    kind = MLPRegressor if network.task == "regressor" else MLPClassifier
    hidden = tuple(int(weight.shape[1]) for weight in network.weights[:-1])
    estimator = kind(hidden_layer_sizes=hidden, activation=network.activation)
    estimator.coefs_ = [np.array(weight) for weight in network.weights]
    estimator.intercepts_ = [np.array(bias) for bias in network.biases]
    estimator.n_layers_ = len(network.weights) + 1
    estimator.n_outputs_ = int(network.biases[-1].shape[0])
    estimator.n_features_in_ = int(network.weights[0].shape[0])
    estimator.out_activation_ = network.head
    if network.task != "regressor":
        multilabel = network.task == "multilabel" or network.classes is None
        # Zero columns and one columns alike: of the indicator's columns only their number counts.
        shown = np.eye(2, estimator.n_outputs_, dtype=int) if multilabel else network.classes
        estimator._label_binarizer = LabelBinarizer().fit(shown)
        estimator.classes_ = estimator._label_binarizer.classes_
    predict: Callable[[Array], Array] = estimator.predict
    return predict

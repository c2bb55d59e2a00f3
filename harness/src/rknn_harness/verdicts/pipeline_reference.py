"""scikit-learn's answer where the network stands in a pipeline, a search or behind a scaled target.

What the network is given, and its output before the output activation, are the converter's reading of the
estimator; they are checked against scikit-learn's own predictions before they are used.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from rknn_harness.verdicts.reference import Answer, Layer, Reference, answer_from_output, reference
from sklearn2rknn import network_from_estimator
from sklearn2rknn.network.network import Network

__all__ = ["reference_of"]

Array = np.ndarray[Any, Any]


def reference_of(estimator: Any, X: Array) -> Reference:
    """Ask scikit-learn, whatever the estimator.

    Parameters
    ----------
    estimator : object
        Fitted, and such that `sklearn2rknn.network_from_estimator` takes it.
    X : numpy.ndarray, shape (n, n_features)

    Raises
    ------
    AssertionError
        The converter's reading of the estimator does not give scikit-learn's own predictions.
    """
    if type(estimator) in (MLPClassifier, MLPRegressor):
        return reference(estimator, X)
    network = network_from_estimator(estimator)
    table = _named(X, network.feature_names)
    probabilities = None if network.task == "regressor" else estimator.predict_proba(table)
    output = network.forward(X)
    answer = Answer(output, estimator.predict(table), probabilities)
    rows = np.asarray(X, np.float64) if network.columns is None else X
    inputs = rows if network.columns is None else network.take(rows)
    classes = None if network.task == "regressor" else estimator.classes_
    truth = Reference(answer, network.task, network.head, classes, _layers(network), rows, inputs)
    _compare(truth, output)
    return truth


def _named(X: Array, names: Sequence[str] | None) -> Any:
    """Return X as a pandas table where the estimator was fitted to one and pandas is here."""
    if names is None:
        return X
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        return X
    return pandas.DataFrame(X, columns=list(names)).infer_objects()


def _layers(network: Network) -> tuple[Layer, ...]:
    """Return the layers, a matrix that stands before the network multiplied into its first one."""
    first, *rest = (Layer(layer.weights, layer.bias, layer.activation) for layer in network.layers)
    if rest and first.activation == "identity" != rest[0].activation:
        joined = Layer(
            first.weights @ rest[0].weights, first.bias @ rest[0].weights + rest[0].bias, rest[0].activation
        )
        return (joined, *rest[1:])
    return (first, *rest)


def _compare(truth: Reference, output: Array) -> None:
    own = answer_from_output(truth, output)
    mine, theirs = own.probabilities, truth.answer.probabilities
    if mine is None or theirs is None:
        mine, theirs = own.predictions, truth.answer.predictions
    # A scaler's subtraction and a matrix round in float64, in another order than the converter's.
    size = float(np.abs(theirs).max(initial=1.0))
    np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-8 * size, err_msg="the estimator was misread")

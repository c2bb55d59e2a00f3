"""What scikit-learn says of some rows: the answer that every later stage is judged by.

The network's output before its head is computed here from the estimator's coefficients in float64, apart from
the converter's own reading of them, and is checked against scikit-learn's predictions before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from scipy.special import expit, softmax
from sklearn.neural_network import MLPClassifier

__all__ = [
    "ACTIVATIONS",
    "Answer",
    "Floats",
    "Layer",
    "Reference",
    "answer_from_output",
    "layers_of",
    "reference",
]

Floats = np.ndarray[Any, np.dtype[np.float64]]

ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0.0),
    "tanh": np.tanh,
    "logistic": expit,
}
"""Each hidden activation in float64; all of them rise nowhere downwards, which the bounds rest on."""


@attrs.frozen(eq=False)
class Layer:
    """One dense layer.

    Attributes
    ----------
    weights : numpy.ndarray of float64, shape (fan_in, fan_out)
    bias : numpy.ndarray of float64, shape (fan_out,)
    activation : {"identity", "relu", "tanh", "logistic"}
        The last layer's is identity: its head is no part of it.
    """

    weights: Floats
    bias: Floats
    activation: str


@attrs.frozen(eq=False)
class Answer:
    """What one stage says of the rows.

    Attributes
    ----------
    output : numpy.ndarray, shape (n, n_outputs)
        The network's output before its head.
    predictions : numpy.ndarray
        As the estimator's ``predict`` returns them.
    probabilities : numpy.ndarray or None
        As ``predict_proba`` returns them; None for a regressor.
    """

    output: np.ndarray[Any, Any]
    predictions: np.ndarray[Any, Any]
    probabilities: np.ndarray[Any, Any] | None


@attrs.frozen(eq=False)
class Reference:
    """scikit-learn's answer, and what is needed to judge another by it.

    Attributes
    ----------
    answer : Answer
    task : {"classifier", "multilabel", "regressor"}
    head : {"softmax", "logistic", "identity", "exp"}
    classes : numpy.ndarray or None
    layers : tuple of Layer
    X : numpy.ndarray, shape (n, n_features)
        float64; of a pipeline that takes texts, objects.
    inputs : numpy.ndarray of float64, shape (n, n_inputs)
        What the network is given of X, before the affine map in front of its layers: X itself unless a
        pipeline picks, fills or looks up columns.
    """

    answer: Answer
    task: str
    head: str
    classes: np.ndarray[Any, Any] | None
    layers: tuple[Layer, ...]
    X: np.ndarray[Any, Any]
    inputs: Floats = attrs.field()

    @inputs.default
    def _rows_themselves(self) -> Floats:
        return self.X

    @property
    def takes_numbers(self) -> bool:
        """Whether the network's inputs are the columns of X."""
        return self.inputs is self.X

    @property
    def activation(self) -> str:
        """The hidden layers' activation; identity when there is none."""
        return self.layers[0].activation

    def take(self, rows: np.ndarray[Any, Any]) -> Reference:
        """Return the reference of some of the rows."""
        told = self.answer
        answer = Answer(
            told.output[rows],
            told.predictions[rows],
            None if told.probabilities is None else told.probabilities[rows],
        )
        X = self.X[rows]
        return attrs.evolve(self, answer=answer, X=X, inputs=X if self.takes_numbers else self.inputs[rows])


def layers_of(estimator: Any) -> tuple[Layer, ...]:
    """Return the layers of a fitted MLPClassifier or MLPRegressor, weights in float64."""
    last = len(estimator.coefs_) - 1
    return tuple(
        Layer(
            np.asarray(weights, np.float64),
            np.asarray(bias, np.float64),
            "identity" if index == last else estimator.activation,
        )
        for index, (weights, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    )


def reference(estimator: Any, X: np.ndarray[Any, Any]) -> Reference:
    """Ask scikit-learn.

    Parameters
    ----------
    estimator : object
        A fitted perceptron; `rknn_harness.verdicts.pipeline_reference.reference_of` takes others.
    X : numpy.ndarray, shape (n, n_features)

    Raises
    ------
    AssertionError
        The coefficients do not give scikit-learn's own predictions: this module misreads the estimator.
    """
    layers = layers_of(estimator)
    X = np.asarray(X, np.float64)
    output = X
    for layer in layers:
        output = ACTIVATIONS[layer.activation](output @ layer.weights + layer.bias)
    head = str(estimator.out_activation_)
    if isinstance(estimator, MLPClassifier):
        multilabel = head == "logistic" and estimator.predict(X[:1]).ndim == 2
        task, classes = ("multilabel" if multilabel else "classifier"), estimator.classes_
        probabilities = estimator.predict_proba(X)
    else:
        task, classes, probabilities = "regressor", None, None
    answer = Answer(output, estimator.predict(X), probabilities)
    found = Reference(answer, task, head, classes, layers, X)
    own = answer_from_output(found, output)
    mine, theirs = own.probabilities, probabilities
    if mine is None or theirs is None:
        mine, theirs = own.predictions, answer.predictions
    np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-12, err_msg="the estimator was misread")
    return found


def answer_from_output(reference: Reference, output: np.ndarray[Any, Any]) -> Answer:
    """Put the estimator's head on a stage's output before the head, in float64.

    Parameters
    ----------
    reference : Reference
    output : numpy.ndarray, shape (n, n_outputs)
    """
    output = np.asarray(output, np.float64)
    if reference.task == "regressor":
        values = np.exp(output) if reference.head == "exp" else output
        return Answer(output, values.reshape(reference.answer.predictions.shape), None)
    assert reference.classes is not None
    if reference.task == "multilabel":
        return Answer(output, (output > 0).astype(int), expit(output))
    if output.shape[1] == 1:  # two classes share one output
        positive = output[:, 0] > 0
        chance = expit(output[:, 0])
        return Answer(output, reference.classes[positive.astype(int)], np.stack([1 - chance, chance], axis=1))
    return Answer(output, reference.classes[output.argmax(axis=1)], softmax(output, axis=1))

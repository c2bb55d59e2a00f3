"""scikit-learn's answer to some rows, by which every later stage is judged.

Of a perceptron the network's output before the output activation is computed here from the coefficients in
float64, apart from the converter's own reading of them. Of any other estimator, a pipeline, a search or a
scaled target it is the converter's reading, and what the host computes of it is the runtime's own code.
Either is checked against scikit-learn's own predictions before it is used.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from scipy.special import expit, softmax
from sklearn.neural_network import MLPClassifier, MLPRegressor

from scirknn.answers import (
    SEARCHES,
    answer,
    ask,
    final_values,
    gives_numbers,
    main_method,
    probabilities,
    responses_of,
    takes_rows,
)
from scirknn.arrays import Array, Floats
from scirknn.bundle import Bundle
from scirknn.steps.step import carry_steps
from sklearn2rknn import network_from_estimator
from sklearn2rknn.checking.agreement import chances
from sklearn2rknn.checking.arithmetic import FLOAT64
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes import kernel_on_npu

ACTIVATIONS: dict[str, Callable[[Floats], Floats]] = {
    "identity": lambda z: z,
    "relu": lambda z: np.maximum(z, 0.0),
    "tanh": np.tanh,
    "logistic": expit,
}
"""Each hidden activation in float64; all of them rise nowhere downwards, which the bounds rest on."""


@attrs.frozen(eq=False)
class Answer:
    """One stage's answer to some rows.

    Attributes
    ----------
    output : numpy.ndarray, shape (n, n_outputs)
        The network's output before its output activation.
    predictions : numpy.ndarray
        As the estimator's ``predict`` returns them.
    probabilities : numpy.ndarray or None
        As ``predict_proba`` returns them, those of several targets side by side; of a model with labels that
        has no such method, what its decision is like (`chances`). None where there are no labels.
    rows : numpy.ndarray of int or None
        The rows of X that it answers; None for all.
    """

    output: Array
    predictions: Array
    probabilities: Array | None
    rows: Array | None = None

    @property
    def deciding(self) -> Array:
        """Probabilities by which labels are decided: of several targets those of each one's second class."""
        chances = self.probabilities
        assert chances is not None, "there are labels"
        is_of_targets = self.predictions.ndim == 2 and chances.shape != self.predictions.shape
        return chances[:, 1::2] if is_of_targets else chances


@attrs.frozen(eq=False)
class Reference:
    """scikit-learn's answer, and what is needed to judge another by it.

    Attributes
    ----------
    answer : Answer
    task : {"classifier", "multilabel", "regressor", "transformer", "clusterer", "outlier"}
    head : {"softmax", "logistic", "identity", "exp"}
        The output activation.
    classes : numpy.ndarray or None
    layers : tuple of Layer
        The last one's activation is identity. None where the host computes all.
    X : numpy.ndarray, shape (n, n_features)
        float64; of a pipeline that takes texts, objects.
    inputs : numpy.ndarray of float64, shape (n, n_inputs)
        The network's inputs, before the affine map in front of its layers: X itself unless a pipeline picks,
        fills or looks up columns.
    network : Network or None
        By which outputs are answered; None: a perceptron, whose formulas are here.
    methods : mapping of str to numpy.ndarray
        Its answer by each method, where there is a `network`.
    """

    answer: Answer
    task: str
    head: str
    classes: Array | None
    layers: tuple[Layer, ...]
    X: Array
    inputs: Floats = attrs.field(default=attrs.Factory(lambda self: self.X, takes_self=True))
    network: Network | None = None
    methods: Mapping[str, Array] = attrs.field(factory=dict)

    @property
    def takes_numbers(self) -> bool:
        """Whether the network's inputs are the columns of X."""
        return self.inputs is self.X

    @property
    def activation(self) -> str:
        """The hidden layers' activation; identity when there is none."""
        return self.layers[0].activation if self.layers else "identity"

    @property
    def has_chances(self) -> bool:
        """Whether probabilities are the estimator's own, which a board answers too."""
        return self.network is None or "predict_proba" in responses_of(self.network)

    def rows_in_front(self, rows: Array | None = None) -> Floats | None:
        """Return the network's inputs for steps that take them, of some rows; None where none does."""
        network = self.network
        if network is None or not takes_rows(network):
            return None
        X = self.X if rows is None else self.X[rows]
        return network.expand(X)

    @property
    def macs(self) -> int:
        """Multiply-adds of one row."""
        return sum(layer.weights.size for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.macs + sum(layer.bias.size for layer in self.layers)

    def take(self, rows: Array) -> Reference:
        """Return the reference of some of the rows."""
        everything = self.answer
        probabilities = None if everything.probabilities is None else everything.probabilities[rows]
        answer = Answer(everything.output[rows], everything.predictions[rows], probabilities)
        X = self.X[rows]
        inputs = X if self.takes_numbers else self.inputs[rows]
        methods = {method: answers[rows] for method, answers in self.methods.items()}
        return attrs.evolve(self, answer=answer, X=X, inputs=inputs, methods=methods)


def reference(estimator: Any, X: Array) -> Reference:
    """Return scikit-learn's answer.

    Parameters
    ----------
    estimator : object
        Fitted, and such that `sklearn2rknn.network_from_estimator` takes it.
    X : numpy.ndarray, shape (n, n_features)

    Raises
    ------
    AssertionError
        The output does not give scikit-learn's own predictions: the estimator is misread.
    """
    if type(estimator) in (MLPClassifier, MLPRegressor):
        truth = _of_perceptron(estimator, np.asarray(X, np.float64))
        rtol, atol = 1e-9, 1e-12
    else:
        truth = _of_pipeline(estimator, X.astype(np.float64) if X.dtype == np.float32 else X)
        # A scaler's subtraction and a matrix round in float64, in another order than the converter's.
        rtol, atol = 1e-6, 1e-8 * max(1.0, float(np.abs(_numbers(truth.answer)).max(initial=0.0)))
    own, theirs = _numbers(answer_from_output(truth, truth.answer.output)), _numbers(truth.answer)
    beyond = ~(np.abs(own - theirs) <= _own_rounding(truth))
    np.testing.assert_allclose(
        own[beyond], theirs[beyond], rtol=rtol, atol=atol, err_msg="the estimator was misread"
    )
    return truth


def _own_rounding(truth: Reference) -> Floats | float:
    """Bound what float64 itself, in another order of operations, may change of an answer's probabilities.

    It counts behind an isotonic curve, whose steepest pieces lie between neighbouring numbers.
    """
    network = truth.network
    if network is None or not network.layers or gives_numbers(network) or not network.epilogue:
        return 0.0
    rows = network.expand(truth.X)
    rounding = output_bound(network.layers, rows, FLOAT64, None, network.output, host=FLOAT64.unit)
    values = carry_steps(network.epilogue, truth.answer.output, rounding, rows)
    error = carry_steps(responses_of(network).get("predict_proba", ()), *values)[1]
    return error if error.shape == _numbers(truth.answer).shape else 0.0


def in_form_of(truth: Reference, bundle: Bundle) -> Reference:
    """Return a reference whose outputs are those of a bundle's network, where the converter chose its form.

    A kernel's exponentials are computed by the host, or by the NPU (`sklearn2rknn.passes.kernel_on_npu`).
    """
    network = None if truth.network is None else kernel_on_npu.in_form_of(truth.network, bundle)
    if network is None or network is truth.network:
        return truth
    answer = attrs.evolve(truth.answer, output=network.forward(truth.X))
    return attrs.evolve(truth, answer=answer, network=network, layers=network.layers)


def _numbers(answer: Answer) -> Array:
    return answer.predictions if answer.probabilities is None else answer.probabilities


def _of_perceptron(estimator: Any, X: Floats) -> Reference:
    activations = [estimator.activation] * (len(estimator.coefs_) - 1) + ["identity"]
    layers = tuple(map(Layer, estimator.coefs_, estimator.intercepts_, activations))
    output = X
    for layer in layers:
        output = ACTIVATIONS[layer.activation](output @ layer.weights + layer.bias)
    head = str(estimator.out_activation_)
    if not isinstance(estimator, MLPClassifier):
        return Reference(Answer(output, estimator.predict(X), None), "regressor", head, None, layers, X)
    multilabel = head == "logistic" and estimator.predict(X[:1]).ndim == 2
    answer = Answer(output, estimator.predict(X), estimator.predict_proba(X))
    task = "multilabel" if multilabel else "classifier"
    return Reference(answer, task, head, estimator.classes_, layers, X)


def _of_pipeline(estimator: Any, X: Array) -> Reference:
    network = network_from_estimator(estimator)
    table = _table(X, network.feature_names)
    output = network.forward(X)
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of the logarithm of 0
        names = [
            name for name in responses_of(network) if name not in SEARCHES or name == main_method(network)
        ]
        methods = {name: np.asarray(ask(estimator, name, table)) for name in names}
    own = None
    if not gives_numbers(network):
        own = methods.get("predict_proba")
        if own is None:
            own = chances(network, final_values(network, output, network.expand(X)))
    theirs = Answer(output, methods[main_method(network)], own)
    rows = np.asarray(X, np.float64) if network.columns is None else X
    inputs = rows if network.columns is None else network.take(rows)
    layers = _layers(network)
    return Reference(
        theirs, network.task, network.head, network.classes, layers, rows, inputs, network, methods
    )


def _table(X: Array, names: Sequence[str] | None) -> Any:
    """Return X as a pandas table where the estimator was fitted to one and pandas is installed."""
    if names is None:
        return X
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        return X
    return pandas.DataFrame(X, columns=list(names)).infer_objects()


def _layers(network: Network) -> tuple[Layer, ...]:
    """Return the layers, a matrix that stands before the network multiplied into its first one."""
    if not network.layers:
        return ()
    first, *rest = network.layers
    if rest and first.activation == "identity" != rest[0].activation:
        bias = first.bias @ rest[0].weights + rest[0].bias
        return (Layer(first.weights @ rest[0].weights, bias, rest[0].activation), *rest[1:])
    return network.layers


def answer_from_output(reference: Reference, output: Array, rows: Array | None = None) -> Answer:
    """Return what a stage's output means, computed in float64.

    Parameters
    ----------
    reference : Reference
    output : numpy.ndarray, shape (n, n_outputs)
    rows : numpy.ndarray of int, optional
        The rows of X that the stage answered; by default all.
    """
    output = np.asarray(output, np.float64)
    network = reference.network
    if network is not None:
        values = final_values(network, output, reference.rows_in_front(rows))
        method = main_method(network)
        own = None
        if not gives_numbers(network):
            own = probabilities(network, values) if reference.has_chances else chances(network, values)
        return Answer(output, answer(network, method, values), own, rows)
    if reference.task == "regressor":
        values = np.exp(output) if reference.head == "exp" else output
        shape = (len(output), *reference.answer.predictions.shape[1:])
        return Answer(output, values.reshape(shape), None, rows)
    if reference.task == "multilabel":
        return Answer(output, (output > 0).astype(int), expit(output), rows)
    classes = np.asarray(reference.classes)
    if output.shape[1] == 1:  # two classes share one output
        chance = expit(output[:, 0])
        labels = classes[(output[:, 0] > 0).astype(int)]
        return Answer(output, labels, np.stack([1 - chance, chance], axis=1), rows)
    return Answer(output, classes[output.argmax(axis=1)], softmax(output, axis=1), rows)

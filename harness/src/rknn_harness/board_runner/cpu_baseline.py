"""The loaded model in scikit-learn, on the board's CPU: what the NPU has to beat, beside scirknn in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable

import numpy as np

from scirknn.arrays import Array

if TYPE_CHECKING:  # a board whose scirknn cannot be imported has an answer all the same
    from scirknn.bundle import Bundle

_HEADS = {
    "classifier": ("softmax", "logistic"),
    "multilabel": ("logistic",),
    "regressor": ("identity", "exp"),
}


def in_scikit_learn(bundle: Bundle) -> Callable[[Array], Array] | None:
    """Make predict of a perceptron with the bundle's layers, for rows as `Bundle.network_input` has them.

    Nothing is unpickled: an estimator is made anew, and given its fitted attributes. None where scikit-learn
    is not installed, or where no perceptron computes all of the bundle.
    """
    more = bundle.features or bundle.epilogue or any((bundle.responses or {}).values())
    if bundle.cpu is None or more or bundle.head not in _HEADS.get(bundle.task, ()):
        return None
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
        from sklearn.preprocessing import LabelBinarizer
    except ImportError:
        return None
    *hidden, last = bundle.cpu.read()
    activations = {layer.activation for layer in hidden} or {"identity"}
    if len(activations) > 1:
        return None
    kind = MLPRegressor if bundle.task == "regressor" else MLPClassifier
    estimator = kind([len(layer.bias) for layer in hidden], activation=activations.pop())
    estimator.coefs_ = [layer.weights.astype(np.float64) for layer in (*hidden, last)]
    estimator.intercepts_ = [layer.bias.astype(np.float64) for layer in (*hidden, last)]
    estimator.n_layers_ = len(hidden) + 2
    estimator.n_outputs_ = bundle.n_outputs
    estimator.n_features_in_ = bundle.cpu.widths[0]
    estimator.out_activation_ = bundle.head
    if bundle.task != "regressor":
        multilabel = bundle.task == "multilabel" or bundle.classes is None
        # Zero columns and one columns alike: of the indicator's columns only their number counts.
        shown = np.eye(2, bundle.n_outputs, dtype=int) if multilabel else bundle.classes
        estimator._label_binarizer = LabelBinarizer().fit(shown)
        estimator.classes_ = estimator._label_binarizer.classes_
    predict: Callable[[Array], Array] = estimator.predict
    return predict

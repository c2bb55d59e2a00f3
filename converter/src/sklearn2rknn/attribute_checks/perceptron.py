"""What fit leaves in a multi-layer perceptron."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import LabelBinarizer

from sklearn2rknn.attribute_checks.attributes import Attributes

_KINDS = ("binary", "multiclass", "multilabel-indicator")


def check_activations(estimator: Any) -> None:
    """Refuse activations that are no names, before they are shown or compared."""
    model = Attributes(estimator)
    for key in ("activation", "out_activation_"):
        if model.has(key) and not isinstance(model.get(key), str):
            raise model.refuse(key, "a name there")


def check_perceptron(estimator: Any) -> None:
    """Refuse an MLPClassifier or MLPRegressor, which was read, where it contradicts itself.

    Raises
    ------
    UnsupportedModelError
        The text names the attribute.
    """
    model = Attributes(estimator)
    for key in ("coefs_", "intercepts_"):
        if not isinstance(model.get(key), list) or not model.get(key):
            raise model.refuse(key, "a list of arrays, one for each layer")
    layers = len(estimator.coefs_)
    if len(estimator.intercepts_) != layers:
        raise model.refuse("intercepts_", f"as many arrays as coefs_, {layers}")
    if model.count("n_layers_") != layers + 1:
        raise model.refuse("n_layers_", f"the number of layers, {layers + 1}")
    widths = [np.shape(each) for each in estimator.coefs_]
    if hasattr(estimator, "n_features_in_") and model.width() != widths[0][0]:
        raise model.refuse("n_features_in_", f"the rows of coefs_[0], {widths[0][0]}")
    if model.count("n_outputs_") != widths[-1][1]:
        raise model.refuse("n_outputs_", f"the columns of the last layer, {widths[-1][1]}")
    _check_outputs(model, widths[-1][1])
    _check_names(model)


def _check_outputs(model: Attributes, n_outputs: int) -> None:
    if not isinstance(model.instance, MLPClassifier):
        model.choice("out_activation_", ("identity", "exp"))
        return
    binarizer = model.get("_label_binarizer")
    if type(binarizer) is not LabelBinarizer:
        raise model.refuse("_label_binarizer", "a LabelBinarizer")
    labels = Attributes(binarizer)
    kind = labels.choice("y_type_", _KINDS)
    labels.flag("sparse_input_")
    if labels.get("sparse_input_") and kind != "multilabel-indicator":
        raise labels.refuse("sparse_input_", "False with one column of labels")
    if (labels.get("neg_label"), labels.get("pos_label")) != (0, 1):
        raise labels.refuse("pos_label", "0 and 1 as labels")
    classes = model.get("classes_")
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or not len(classes):
        raise model.refuse("classes_", "a 1-D array of labels")
    own = labels.get("classes_")
    if not isinstance(own, np.ndarray) or own.shape != classes.shape or own.tolist() != classes.tolist():
        raise labels.refuse("classes_", f"the classes of {model.name}")
    many = kind != "binary"
    if n_outputs != (len(classes) if many else 1) or (not many and len(classes) > 2):
        raise model.refuse("classes_", f"labels for {n_outputs} outputs")
    model.choice("out_activation_", ("softmax",) if kind == "multiclass" else ("logistic",))


def _check_names(model: Attributes) -> None:
    if model.has("feature_names_in_"):
        names = model.array("feature_names_in_", (len(model.instance.coefs_[0]),), "OU")
        if not all(isinstance(name, str) for name in names.tolist()):
            raise model.refuse("feature_names_in_", "names of columns")

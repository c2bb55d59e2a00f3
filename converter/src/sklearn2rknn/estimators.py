"""From a fitted scikit-learn estimator to a `Network`."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.model_selection._search import BaseSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline

from scirknn.bundle.columns import Number
from sklearn2rknn.errors import NotFittedError, UnsupportedModelError
from sklearn2rknn.feature_table import FeatureTable, untouched
from sklearn2rknn.network import ACTIVATIONS, Affine, Layer, Network
from sklearn2rknn.pipelines import apply_step, first_step, refuse_text

__all__ = ["network_from_estimator"]

HEADS = {"softmax": "softmax", "logistic": "logistic", "identity": "identity", "exp": "exp"}
"""scikit-learn's ``out_activation_`` and the head that computes it."""


def network_from_estimator(estimator: Any) -> Network:
    """Take the numbers out of a fitted estimator.

    Parameters
    ----------
    estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
        Or a Pipeline that ends in one, a TransformedTargetRegressor around one, or a search whose best
        estimator is one of these.

    Returns
    -------
    Network

    Raises
    ------
    UnsupportedModelError
        The estimator or a step of it is of another class, or holds numbers, labels or an option that cannot
        be converted. The text names the step.
    NotFittedError
        The estimator was not fitted.
    """
    if isinstance(estimator, type):
        raise UnsupportedModelError(
            f"The model is the class {estimator.__name__}, not an instance of it. "
            "Give the fitted estimator: clf = MLPClassifier().fit(X, y)."
        )
    steps, target, perceptron = _opened(estimator)
    network = _perceptron(perceptron)
    if steps:
        network = _behind(steps, perceptron, network)
    return network if target is None else _retargeted(target, network)


def _opened(estimator: Any) -> tuple[list[tuple[str, Any]], Any, Any]:
    """Return the named steps in front of a model, what is around its target (or None), and the model."""
    steps: list[tuple[str, Any]] = []
    target = None
    while True:
        name = type(estimator).__name__
        if isinstance(estimator, BaseSearchCV):
            if not estimator.refit:
                raise UnsupportedModelError(
                    f"{name} with refit=False keeps no best_estimator_. Search with refit=True."
                )
            if not hasattr(estimator, "best_estimator_"):
                raise NotFittedError(f"This {name} is not fitted. Call fit(X, y) before converting.")
            estimator = estimator.best_estimator_
        elif type(estimator) is Pipeline:
            steps += [(f"Pipeline step {key!r}", step) for key, step in estimator.steps[:-1]]
            estimator = estimator.steps[-1][1]
        elif type(estimator) is TransformedTargetRegressor:
            if target is not None:
                raise UnsupportedModelError(
                    "A TransformedTargetRegressor lies inside another one. Use one, with a Pipeline of "
                    "scalers as its transformer."
                )
            if not hasattr(estimator, "regressor_"):
                raise NotFittedError(f"This {name} is not fitted. Call fit(X, y) before converting.")
            target, estimator = estimator, estimator.regressor_
        else:
            return steps, target, estimator


def _behind(steps: list[tuple[str, Any]], perceptron: Any, network: Network) -> Network:
    """Put what the steps do in front of a network."""
    first = first_step([step for _, step in steps])
    if first is None:  # nothing but "passthrough"
        return network
    # What has no such number was not fitted, or is of a kind that is refused.
    width = int(getattr(first, "n_features_in_", 0))
    table = untouched(width)
    for where, step in steps:
        table = apply_step(step, table, where)
    refuse_text(table, network.estimator)
    if table.width != network.n_features_in:
        raise UnsupportedModelError(
            f"{network.estimator} was fitted on {network.n_features_in} features and is given {table.width} "
            "by the steps before it. Fit the whole again."
        )
    layers = network.layers
    if table.weights is not None and table.bias is not None:
        layers = (Layer(table.weights, table.bias, "identity"), *layers)
    names = getattr(first, "feature_names_in_", None)
    by_name = names is not None and type(first) is ColumnTransformer
    return attrs.evolve(
        network,
        layers=layers,
        columns=table.host_columns(width, by_name=by_name),
        input=table.affine(),
        spans=table.spans if table.spans.known.any() else None,
        first_step=type(first).__name__,
        feature_names=None if names is None else tuple(str(each) for each in names),
    )


def _retargeted(target: Any, network: Network) -> Network:
    """Put the inverse of a target's transformer behind a network."""
    named = "TransformedTargetRegressor"
    if network.head != "identity":
        raise UnsupportedModelError(
            f"{named} scales what comes behind the output activation {network.head!r} of "
            f"{network.estimator}. Fit with loss='squared_error'."
        )
    table = apply_step(target.transformer_, untouched(network.n_outputs), f"{named}'s transformer")
    if not _is_affine(table, network.n_outputs):
        raise UnsupportedModelError(
            f"{named}'s transformer ({type(target.transformer_).__name__}) is not affine for each target. "
            "Use a scaler, such as StandardScaler."
        )
    # z = (y - offset) * scale, and so y = (z + offset * scale) / scale.
    affine = table.affine()
    return attrs.evolve(
        network,
        output=None if affine is None else Affine(-affine.offset * affine.scale, 1.0 / affine.scale),
        single_output=target._training_dim == 1 and network.n_outputs == 1,
    )


def _is_affine(table: FeatureTable, width: int) -> bool:
    columns = tuple(Number(index) for index in range(width))
    return table.weights is None and table.columns == columns


def _perceptron(estimator: Any) -> Network:
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

"""What a model's methods return, from the network's raw output.

A model's outputs pass its `epilogue`; what that gives are its values. Each method of `responses` returns them
by its own steps, and where it has none, by the model's task and output activation.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, Protocol, Tuple

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.steps.activations import activate, log_activate
from scirknn.steps.chain import Linked
from scirknn.steps.step import Step, apply_steps, take_rows, width_after


class Answering(Protocol):
    """A bundle, or what the converter makes one of."""

    @property
    def task(self) -> str: ...
    @property
    def head(self) -> str: ...
    @property
    def head_on_npu(self) -> bool: ...
    @property
    def classes(self) -> Array | None: ...
    @property
    def single_output(self) -> bool: ...
    @property
    def features(self) -> tuple[Step, ...]: ...
    @property
    def epilogue(self) -> tuple[Step, ...]: ...
    @property
    def responses(self) -> Responses | None: ...


Responses = Mapping[str, Tuple[Step, ...]]
"""By method, its own steps."""

_PROBABILITIES = ("predict", "predict_proba", "predict_log_proba")
_DEFAULTS = {
    "classifier": _PROBABILITIES,
    "multilabel": _PROBABILITIES,
    "regressor": ("predict",),
    "transformer": ("transform",),
    "clusterer": ("predict",),
    "outlier": ("predict", "decision_function"),
}
TASKS = tuple(_DEFAULTS)
SCORES = {"classifier": "accuracy", "multilabel": "accuracy", "regressor": "r2"}
"""What `score` measures by default; other tasks have no such method."""

SEARCHES = ("kneighbors", "radius_neighbors")
"""Methods that find training rows: they return distances and indices."""

METHODS = (*_PROBABILITIES, "decision_function", "score_samples", "transform", *SEARCHES)
"""The methods that a response can be for."""

_JUDGED = ("predict", "transform", "score_samples", "kneighbors")
"""The methods that a model can be judged by, the first that it has."""


def default_responses(task: str) -> Responses:
    """Return the methods of a task's model that records none, by its output activation alone."""
    return dict.fromkeys(_DEFAULTS[task], ())


def responses_of(model: Answering) -> Responses:
    """Return the methods that a model has, with their own steps."""
    return default_responses(model.task) if model.responses is None else model.responses


def main_method(model: Answering) -> str:
    """Return the method that a model is judged by.

    It is the first it has of predict, transform, score_samples and kneighbors.
    """
    methods = responses_of(model)
    return next((name for name in _JUDGED if name in methods), "predict")


def ask(estimator: Any, method: str, X: Any) -> Any:
    """Return what an estimator's method gives for X, in the one array that `answer` gives."""
    result = getattr(estimator, method)(X)
    if method in SEARCHES:
        return result[0]
    return np.hstack(result) if isinstance(result, list) else result


def by_target(model: Answering, chances: Array) -> Array | list[Array]:
    """Return probabilities as ``predict_proba`` does: a list of arrays where each target has its labels."""
    labels = own_labels(model)
    return chances if labels is None else np.hsplit(chances, len(labels))


def own_labels(model: Answering) -> Array | None:
    """Return the labels by which each of several targets is answered, shape (n_targets, 2), else None.

    A chain has labels of each target too, and answers 0.0 and 1.0.
    """
    labels = model.classes
    if labels is None or labels.ndim == 1 or any(isinstance(each, Linked) for each in model.epilogue):
        return None
    return labels


def takes_rows(model: Answering) -> bool:
    """Whether a step behind the network takes the network's inputs too."""
    return any(take_rows(steps) for steps in (model.epilogue, *responses_of(model).values()))


def gives_numbers(model: Answering) -> bool:
    """Whether a model is judged by its numbers, not by labels."""
    return model.task in ("regressor", "transformer")


def final_values(model: Answering, output: Array, rows: Floats | None = None) -> Array:
    """Return what the epilogue makes of raw outputs: a model's values, shape (n, n_values).

    Parameters
    ----------
    model : Bundle or Network
    output : numpy.ndarray, shape (n, n_outputs)
    rows : numpy.ndarray of float64, shape (n, inputs), optional
        The network's inputs, where a step takes them.
    """
    return apply_steps(model.epilogue, output, rows)


def answer_width(model: Answering, n_outputs: int, method: str) -> int:
    """Return how many columns a method's answer has before it is made a label or one column."""
    return width_after(responses_of(model)[method], width_after(model.epilogue, n_outputs))


def answer(model: Answering, method: str, values: Array, rows: Floats | None = None) -> Array:
    """Return what a method returns for values, in scikit-learn's shape and dtype.

    Parameters
    ----------
    model : Bundle or Network
    method : str
        One of its `responses`. Of a search the answer is the distances; where scikit-learn returns a list,
        of each target's probabilities, it is these side by side.
    values : numpy.ndarray, shape (n, n_values)
        From `final_values`.
    rows : numpy.ndarray of float64, shape (n, inputs), optional
        The network's inputs, where the method's own steps take them.
    """
    if method == "predict":
        return labels_of(model, indices(model, values, threshold=0.5 if model.head_on_npu else 0.0))
    if method == "predict_proba":
        return probabilities(model, values)
    if method == "predict_log_proba":
        return _logarithms(model, values)
    own = responses_of(model)[method]
    answers = apply_steps(own, values, rows)
    if method in ("transform", *SEARCHES):
        if own and own[-1].gives_integers:
            return answers.astype(np.int64)
        return answers if own else _activated(model, answers)
    is_column = answers.shape[1] == 1 and model.task != "multilabel"
    return answers[:, 0] if is_column or method == "score_samples" else answers


def finisher(model: Answering, method: str) -> Callable[[Array, Any], Array]:
    """Return what makes a method's answer of raw outputs.

    The usual case, the label of the largest of several outputs, is decided once and not with each call.
    """
    classes, own = model.classes, responses_of(model)[method]
    is_largest = model.task in ("classifier", "clusterer") and model.head == "softmax" and not own
    if method == "predict" and classes is not None and is_largest and not model.epilogue:
        return lambda output, rows: classes[output.argmax(axis=1)]
    return lambda output, rows: answer(model, method, final_values(model, output, rows), rows)


def decision_values(model: Answering, values: Array) -> Array:
    """Return the values that `predict` decides from, or that a transformer gives: behind its own steps."""
    return apply_steps(responses_of(model).get(main_method(model), ()), values)


def indices(model: Answering, values: Array, threshold: float = 0.0) -> Array:
    """Return what `predict` decides from a model's values, shape (n, n_values).

    Parameters
    ----------
    threshold : float
        Where an output of a logistic function changes the label: 0, and behind the function a half.

    Returns
    -------
    numpy.ndarray
        Indices of labels, int64 of shape (n,); indicators, int64 of shape (n, k), for multilabel; numbers of
        shape (n, k) for a regressor and a transformer.
    """
    own, values = responses_of(model).get(main_method(model)), decision_values(model, values)
    if gives_numbers(model):
        return values if own else _activated(model, values)
    if model.task == "outlier":
        return np.asarray(values[:, 0] >= 0, dtype=np.int64)
    if model.head == "identity":
        threshold = 0.5
    if model.task == "multilabel":
        return np.asarray(values > threshold, dtype=np.int64)
    if values.shape[1] > 1 or model.head == "softmax":
        return np.asarray(values.argmax(axis=1), dtype=np.int64)
    decided = np.asarray(values[:, 0] > threshold, dtype=np.int64)
    return decided if model.classes is None or len(model.classes) > 1 else np.zeros_like(decided)


def check_labels(model: Answering, n_values: int) -> None:
    """Refuse labels that do not fit the values of `predict` (ValueError)."""
    if model.classes is None:
        return
    count = len(model.classes)
    is_binary = model.task == "outlier" or (model.task == "classifier" and model.head == "logistic")
    if (n_values != 1 or count > 2) if is_binary else count != n_values:
        raise ValueError(
            f"'classes' has {count} labels for {n_values} outputs of the task {model.task!r} ({model.head})"
        )


def labels_of(model: Answering, decided: Array) -> Array:
    """Return the labels of what `indices` returned, or a regressor's targets, as ``predict`` does."""
    classes = model.classes
    if classes is None:
        return decided[:, 0] if model.single_output else decided
    if own_labels(model) is not None:
        return np.asarray(classes[np.arange(len(classes)), decided])
    if model.task == "multilabel":
        return decided.astype(np.float64 if classes.ndim == 2 else classes.dtype, copy=False)
    return np.asarray(classes[decided])


def probabilities(model: Answering, values: Array) -> Array:
    """Return the probabilities that a model's values mean, one column for each class of each target."""
    own = responses_of(model).get("predict_proba", ())
    p = apply_steps(own, values) if own else _activated(model, values)
    return np.hstack([1 - p, p]) if p.shape[1] == 1 and model.head == "logistic" else p


def _logarithms(model: Answering, values: Array) -> Array:
    responses = responses_of(model)
    if responses["predict_log_proba"]:
        return apply_steps(responses["predict_log_proba"], values)
    if model.head_on_npu or model.head == "identity" or responses.get("predict_proba"):
        with np.errstate(divide="ignore"):
            logarithms: Array = np.log(probabilities(model, values))
        return logarithms
    if values.shape[1] == 1 and model.head == "logistic":
        return np.hstack([log_activate("logistic", -values), log_activate("logistic", values)])
    return log_activate(model.head, values)


def _activated(model: Answering, values: Array) -> Array:
    return values if model.head_on_npu else activate(model.head, values)

"""Support vector machines of libsvm."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from scirknn.arrays import Floats
from scirknn.steps.linear import Shift
from scirknn.steps.pairs import PairChances, PairConfidences, PairVotes
from scirknn.steps.step import Step
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.fitted import class_labels, fitted_numbers, require_fitted
from sklearn2rknn.estimators.kernels import KERNELS, PairwiseKernel, kernel_network, pairwise_kernel
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network

BALANCED_KERNELS = attrs.evolve(
    KERNELS, text=f"{KERNELS.text}; from 2,000 rows of rbf on also on the NPU, where the check allows it"
)


@reads(SVC, NuSVC, form=BALANCED_KERNELS)
def read_classifier(estimator: Any, name: str) -> Network:
    """Return the network of the pairs' decision values."""
    kernel = _kernel(estimator, name)
    classes = class_labels(name, estimator.classes_)
    points = _points(estimator, name, len(classes))
    bias = _numbers(estimator, name, "intercept_", 1)
    dual = _numbers(estimator, name, "dual_coef_", 2)
    Attributes(estimator).array("dual_coef_", (len(classes) - 1, len(points)), "f")
    counts = estimator._n_support
    if counts.min() < 0 or counts.sum() != len(points):
        raise Attributes(estimator).refuse("_n_support", f"the number of each class of {len(points)} vectors")
    weights = dual.T if len(classes) == 2 else _pair_weights(dual, counts)
    answers = Answers.of(
        estimator,
        "classifier",
        _responses(estimator, name, len(classes)),
        head="logistic" if len(classes) == 2 else "softmax",
        classes=classes,
    )
    return kernel_network(estimator, kernel, points, (weights, bias), answers)


@reads(SVR, NuSVR, form=BALANCED_KERNELS)
def read_regressor(estimator: Any, name: str) -> Network:
    """Return the network of the predictions."""
    kernel, points = _kernel(estimator, name), _points(estimator, name)
    answers = Answers(task="regressor", single_output=True)
    return kernel_network(estimator, kernel, points, _one_mixture(estimator, name, points), answers)


@reads(OneClassSVM, form=KERNELS)
def read_one_class(estimator: Any, name: str) -> Network:
    """Return the network of the distances from the border."""
    kernel, points = _kernel(estimator, name), _points(estimator, name)
    offset = float(_numbers(estimator, name, "offset_", 1)[0])
    own = {"decision_function": (), "score_samples": (Shift((offset,)),)}
    answers = Answers.of(estimator, "outlier", own)
    return kernel_network(estimator, kernel, points, _one_mixture(estimator, name, points), answers)


def _responses(estimator: Any, name: str, classes: int) -> dict[str, tuple[Step, ...]]:
    """Return what the methods make of the pairs' decision values."""
    shape = Attributes(estimator).choice("decision_function_shape", ("ovr", "ovo"))
    own: dict[str, tuple[Step, ...]] = {"decision_function": ()}
    if classes > 2:
        if estimator.break_ties and shape == "ovo":
            raise UnsupportedModelError(
                f"{name} with break_ties=True and decision_function_shape='ovo' cannot predict. Fit with "
                "break_ties=False."
            )
        own["predict"] = (PairVotes(classes, bool(estimator.break_ties)),)
        own["decision_function"] = (PairConfidences(classes),) if shape == "ovr" else ()
    if hasattr(estimator, "predict_proba"):
        slopes, offsets = (_numbers(estimator, name, key, 1) for key in ("_probA", "_probB"))
        chances = PairChances(classes, tuple(map(float, slopes)), tuple(map(float, offsets)))
        own.update({"predict_proba": (chances,), "predict_log_proba": ()})
    return own


def _pair_weights(dual: Floats, counts: Any) -> Floats:
    """Return each pair's weight of each support vector, shape (n_support, pairs).

    libsvm keeps one coefficient of a vector for each class but its own; the vectors lie by class.
    """
    classes = len(counts)
    ends = np.cumsum(counts)
    weights = np.zeros((dual.shape[1], classes * (classes - 1) // 2))
    for pair, (one, other) in enumerate(zip(*np.triu_indices(classes, 1), strict=True)):
        for own, opposite in ((one, other), (other, one)):
            rows = slice(ends[own] - counts[own], ends[own])
            weights[rows, pair] = dual[opposite - (opposite > own), rows]
    return weights


def _one_mixture(estimator: Any, name: str, points: Floats) -> tuple[Floats, Floats]:
    bias = _numbers(estimator, name, "intercept_", 1)
    if not len(points):
        return np.zeros((0, 1)), bias
    return _numbers(estimator, name, "dual_coef_", 2).T, bias


def _points(estimator: Any, name: str, classes: int = 2) -> Floats:
    """Return the support vectors; libsvm counts two classes where there are none."""
    own, is_empty = Attributes(estimator), np.shape(estimator.support_vectors_)[:1] == (0,)
    points = np.zeros((0, own.width())) if is_empty else _numbers(estimator, name, "support_vectors_", 2)
    own.array("support_vectors_", (len(points), own.width()), "f")
    _require_sizes(own, classes, len(points))
    return points


def _require_sizes(own: Attributes, classes: int, points: int) -> None:
    """Refuse arrays that libsvm would read beyond their ends: it compares no sizes."""
    pairs = classes * (classes - 1) // 2
    own.array("support_", (points,), "i")
    own.array("_n_support", (classes,), "i")
    own.array("_dual_coef_", (classes - 1, points), "f")
    own.array("_intercept_", (pairs,), "f")
    for key in ("_probA", "_probB"):
        if len(own.array(key, (None,), "f")) not in (0, pairs):
            raise own.refuse(key, f"{pairs} numbers, or none")


def _kernel(estimator: Any, name: str) -> PairwiseKernel:
    require_fitted(estimator, "support_vectors_")
    parameters = {
        "gamma": getattr(estimator, "_gamma", None),
        "coef0": estimator.coef0,
        "degree": estimator.degree,
    }
    return pairwise_kernel(name, estimator.kernel, parameters)


def _numbers(estimator: Any, name: str, key: str, dimensions: int) -> Floats:
    return fitted_numbers(f"{name}.{key}", getattr(estimator, key, None), dimensions)

"""Models that weigh all fitted rows by their nearness."""

from __future__ import annotations

from math import lgamma, log, pi
from typing import Any

import numpy as np
from sklearn.neighbors import KernelDensity
from sklearn.semi_supervised import LabelPropagation, LabelSpreading

from scirknn.steps.kernels import KernelLogarithm, LabelShares
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.fitted import (
    class_labels,
    finite_number,
    fitted_numbers,
    require_fitted,
    stored_rows,
)
from sklearn2rknn.estimators.kernels import KERNELS, Exponent, exponent_network
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network


@reads(LabelPropagation, LabelSpreading, form=KERNELS)
def read_propagation(estimator: Any, name: str) -> Network:
    """Return the network of exponents, whose softmax weighs the fitted rows' shares of the classes."""
    require_fitted(estimator, "label_distributions_")
    if estimator.kernel != "rbf":
        what = "a Python function" if callable(estimator.kernel) else f"{estimator.kernel!r:.60}"
        raise UnsupportedModelError(
            f"{name}'s kernel is {what}; 'rbf' can be converted. Fit with kernel='rbf', or for 'knn' fit a "
            "KNeighborsClassifier to transduction_."
        )
    points = np.asarray(stored_rows(f"{name}.X_", estimator.X_), np.float64)
    shares = Attributes(estimator).array("label_distributions_", (len(points), None), "f")
    classes = class_labels(name, estimator.classes_)
    if len(classes) != shares.shape[1]:
        raise Attributes(estimator).refuse("label_distributions_", f"shares of {len(classes)} classes")
    answers = Answers.of(estimator, "classifier", classes=classes)
    exponent = Exponent("rbf", 0.0, np.full(points.shape[1], finite_number(name, "gamma", estimator.gamma)))
    return exponent_network(
        estimator, [exponent], points, (LabelShares(fitted_numbers(name, shares, 2)),), answers
    )


@reads(KernelDensity, form=KERNELS)
def read_density(estimator: Any, name: str) -> Network:
    """Return the network of exponents, of whose sum the host takes the logarithm."""
    require_fitted(estimator, "tree_")
    if estimator.kernel not in ("gaussian", "exponential"):
        raise UnsupportedModelError(
            f"{name} with kernel={estimator.kernel!r:.60} is 0 beyond some distance, where its logarithm has "
            "no bound. Fit with kernel='gaussian' or 'exponential'."
        )
    if estimator.metric not in ("euclidean", "l2") and not _is_minkowski_2(estimator):
        raise UnsupportedModelError(
            f"{name} with metric={estimator.metric!r:.60} cannot be converted. Fit with metric='euclidean'."
        )
    points = fitted_numbers(f"{name}.tree_", np.asarray(estimator.tree_.data), 2)
    if points.shape[1] != Attributes(estimator).width():
        raise Attributes(estimator).refuse("tree_", f"rows of {Attributes(estimator).width()} features")
    given = estimator.tree_.sample_weight
    weights = np.ones(len(points)) if given is None else np.asarray(given, np.float64)
    width, bandwidth = points.shape[1], finite_number(name, "bandwidth_", estimator.bandwidth_)
    is_positive = weights > 0
    points, weights = points[is_positive], weights[is_positive]
    bias = -np.log(weights.sum()) - _log_volume(estimator.kernel, width) - width * np.log(bandwidth)
    step = KernelLogarithm(estimator.kernel, weights, float(bias))
    exponent = Exponent("rbf", 0.0, np.full(width, 0.5 / bandwidth**2))
    answers = Answers(task="transformer", responses={"score_samples": ()}, score="log_likelihood")
    return exponent_network(estimator, [exponent], points, (step,), answers)


def _is_minkowski_2(estimator: Any) -> bool:
    return estimator.metric in ("minkowski", "p") and (estimator.metric_params or {}).get("p", 2) == 2


def _log_volume(kernel: str, width: int) -> float:
    """Return the logarithm of a kernel's integral for a bandwidth of 1."""
    if kernel == "gaussian":
        return 0.5 * width * log(2 * pi)
    surface = log(2) + 0.5 * width * log(pi) - lgamma(0.5 * width)
    return surface + lgamma(width)

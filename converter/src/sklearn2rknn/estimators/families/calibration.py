"""Classifiers whose scores are calibrated."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn.calibration import CalibratedClassifierCV

from scirknn.arrays import Array
from scirknn.steps.activations import Activation
from scirknn.steps.calibration import Curves, Float32, Logarithm, Sigmoids
from scirknn.steps.chances import Normalized, WithComplement
from scirknn.steps.linear import Dense
from scirknn.steps.step import Step
from scirknn.steps.votes import WeightedMean
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.ensembles.endings import chances, decisions, places, second_chance, spread
from sklearn2rknn.estimators.ensembles.members import MEMBERS, Member, read_members, side_by_side
from sklearn2rknn.estimators.fitted import class_labels, finite_number, fitted_numbers, require_fitted
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network

_SHIFT = 1e-12
"""What scikit-learn adds to probabilities before it takes their logarithm (`_convert_to_logits`)."""


@reads(CalibratedClassifierCV, form=MEMBERS)
def read_calibrated(estimator: Any, name: str) -> Network:
    """Return the mean of the members' calibrated probabilities."""
    require_fitted(estimator, "calibrated_classifiers_")
    pairs = Attributes(estimator).get("calibrated_classifiers_")
    if not isinstance(pairs, list) or not pairs:
        raise Attributes(estimator).refuse("calibrated_classifiers_", "a list of calibrated classifiers")
    classes = class_labels(name, estimator.classes_)
    networks = read_members(estimator, [pair.estimator for pair in pairs])
    members = side_by_side(estimator, [Member(network) for network in networks])
    curves = [
        _calibrated(name, pair, network, classes) for pair, network in zip(pairs, networks, strict=True)
    ]
    mean = (WeightedMean((1.0,) * len(pairs)),) if len(pairs) > 1 else ()
    answers = Answers.of(estimator, "classifier", classes=classes)
    network = members.finish(estimator, answers, (*members.arrange(curves), *mean))
    return attrs.evolve(network, dtype="float64")


def _calibrated(name: str, pair: Any, network: Network, classes: Array) -> tuple[Step, ...]:
    """Return the steps from a member's values to its calibrated probabilities."""
    count = len(classes)
    own = decisions(network)
    scores = own if own is not None else second_chance(network) if count == 2 else chances(network)
    if scores is None:
        raise UnsupportedModelError(
            f"{name}'s {network.estimator} has neither decision_function nor predict_proba. Fit again."
        )
    if pair.method == "temperature":
        return (*scores, *_temperature(name, pair, is_score=own is not None, count=count))
    at = places(name, network.classes, classes)
    curves = _curves(name, pair)
    if count == 2:
        return (*scores, *curves, WithComplement())
    return (*scores, *curves, *spread(at, count), Normalized())


def _curves(name: str, pair: Any) -> tuple[Step, ...]:
    calibrators = list(pair.calibrators)
    if pair.method == "sigmoid":
        slopes, offsets = (
            np.array([finite_number(name, key, getattr(each, key)) for each in calibrators])
            for key in ("a_", "b_")
        )
        return (Sigmoids(slopes, offsets),)
    if pair.method != "isotonic":
        raise UnsupportedModelError(
            f"{name} with method={pair.method!r:.60} cannot be converted; 'sigmoid', 'isotonic' and "
            "'temperature' can."
        )
    points, heights = (
        [fitted_numbers(f"{name}'s calibrator.{key}", getattr(each, key), 1) for each in calibrators]
        for key in ("X_thresholds_", "y_thresholds_")
    )
    sizes = np.array([len(each) for each in points], dtype=np.int64)
    curves = Curves(np.concatenate(points), np.concatenate(heights), sizes)
    is_single = all(each.X_thresholds_.dtype == np.float32 for each in calibrators)
    return (Float32(), curves, Float32()) if is_single else (curves,)


def _temperature(name: str, pair: Any, *, is_score: bool, count: int) -> tuple[Step, ...]:
    """Return the steps from scores to a softmax of them, times one factor."""
    factor = finite_number(name, "beta_", np.asarray(pair.calibrators[0].beta_).item())
    if not is_score:
        complement = (WithComplement(),) if count == 2 else ()
        logarithms: tuple[Step, ...] = (*complement, Logarithm(_SHIFT))
        weights = factor * np.eye(count)
    else:
        logarithms, weights = (), factor * (np.array([[-1.0, 1.0]]) if count == 2 else np.eye(count))
    return (*logarithms, Dense(weights, np.zeros(count)), Activation("softmax"))

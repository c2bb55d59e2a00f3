"""Models that are another one: frozen, self-trained, or with a threshold of their own."""

from __future__ import annotations

import inspect
from typing import Any

import attrs
import numpy as np
import sklearn.metrics
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.semi_supervised import SelfTrainingClassifier

from scirknn.answers import responses_of
from scirknn.steps.linear import Columns, Dense
from scirknn.steps.step import Step
from scirknn.steps.trees import Sign
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.ensembles.endings import AS_IT_IS, chances, decisions, log_chances
from sklearn2rknn.estimators.ensembles.members import Member, Members
from sklearn2rknn.estimators.fitted import class_labels, feature_names, finite_number, require_fitted
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.model_files.inert import Record
from sklearn2rknn.network.network import Network

INSIDE = Form("the model inside", worth="where the model inside is")


@reads(FrozenEstimator, form=INSIDE)
def read_frozen(estimator: Any, name: str) -> Network:
    """Return the network of the model inside."""
    return network_from_estimator(estimator.estimator)


@reads(SelfTrainingClassifier, form=INSIDE)
def read_self_trained(estimator: Any, name: str) -> Network:
    """Return the network of the classifier that was fitted last."""
    require_fitted(estimator, "estimator_")
    network = network_from_estimator(estimator.estimator_)
    own = {key: steps for key, steps in responses_of(network).items() if hasattr(estimator, key)}
    names = feature_names(estimator) or network.feature_names
    return attrs.evolve(network, estimator=name, feature_names=names, responses=own)


@reads(FixedThresholdClassifier, form=INSIDE)
def read_fixed_threshold(estimator: Any, name: str) -> Network:
    """Return the network of the classifier inside, whose score is compared with a given threshold."""
    inner = getattr(estimator, "estimator_", estimator.estimator)
    threshold = (
        None if estimator.threshold == "auto" else finite_number(name, "threshold", estimator.threshold)
    )
    return _with_threshold(estimator, network_from_estimator(inner), threshold, estimator.pos_label)


@reads(TunedThresholdClassifierCV, form=INSIDE)
def read_tuned_threshold(estimator: Any, name: str) -> Network:
    """Return the network of the classifier inside, whose score is compared with the tuned threshold."""
    require_fitted(estimator, "best_threshold_")
    threshold = finite_number(name, "best_threshold_", estimator.best_threshold_)
    network = network_from_estimator(estimator.estimator_)
    return _with_threshold(estimator, network, threshold, _positive_label(estimator))


def _with_threshold(estimator: Any, network: Network, threshold: float | None, positive: Any) -> Network:
    """Return a network that decides for the positive label from a threshold on."""
    name = type(estimator).__name__
    classes = class_labels(name, network.classes)
    if len(classes) != 2 or not (positive is None or positive in classes.tolist()):
        raise Attributes(estimator).refuse("classes_", "two classes, the positive label among them")
    is_first = positive is not None and positive == classes.tolist()[0]
    steps, default = _score(name, network, estimator.response_method, is_first)
    sign = -1.0 if is_first else 1.0
    limit = default if threshold is None else threshold
    # From here on a value above 0 is the second class, which a tie is only if that is the positive one.
    decided: tuple[Step, ...] = (*steps, Dense(np.array([[sign]]), np.array([-sign * limit])))
    if not network.layers and not is_first:
        decided += (Sign(),)
    own: dict[str, tuple[Step, ...]] = {"predict": decided, "predict_log_proba": log_chances(network)}
    for method, ending in (("predict_proba", chances(network)), ("decision_function", decisions(network))):
        if ending is not None:
            own[method] = ending or AS_IT_IS
    answers = Answers.of(estimator, "classifier", own, head="logistic", classes=classes)
    return Members(network, (Member(network),)).finish(estimator, answers)


def _score(name: str, network: Network, method: str, is_first: bool) -> tuple[tuple[Step, ...], float]:
    """Return the steps to the score of the positive class, and where it decides by default."""
    shares, scores = chances(network), decisions(network)
    if shares is not None and method in ("auto", "predict_proba"):
        column = 0 if is_first else 1
        return (*shares, Columns(column, column + 1)), 0.5
    if scores is None or method not in ("auto", "decision_function"):
        raise UnsupportedModelError(
            f"{name} decides by {method!r:.60}, which {network.estimator} does not have. Fit it again."
        )
    return (*scores, Dense(np.array([[-1.0 if is_first else 1.0]]), np.zeros(1))), 0.0


def _positive_label(estimator: Any) -> Any:
    """Return the label that a score of scikit-learn is for; a file holds the score's name alone."""
    scorer = estimator._curve_scorer
    state = scorer.state if isinstance(scorer, Record) else vars(scorer)
    if "pos_label" in state["_kwargs"]:
        return state["_kwargs"]["pos_label"]
    score = getattr(sklearn.metrics, state["_score_func"].__name__, None)
    if score is None:
        raise UnsupportedModelError(
            f"{type(estimator).__name__} was tuned by a Python function. Fit with a score of scikit-learn, "
            "or convert its estimator_ and compare its score with best_threshold_."
        )
    parameters = inspect.signature(score).parameters
    return parameters["pos_label"].default if "pos_label" in parameters else None

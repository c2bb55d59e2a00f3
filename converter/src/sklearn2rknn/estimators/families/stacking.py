"""Ensembles whose members' answers are the features of one more model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import StackingClassifier, StackingRegressor

from scirknn.answers import responses_of
from scirknn.steps.linear import Columns
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.ensembles.endings import AS_IT_IS, Ending, chances, decisions, places, targets
from sklearn2rknn.estimators.ensembles.members import (
    MEMBERS,
    Member,
    Members,
    host_steps,
    read_members,
    side_by_side,
)
from sklearn2rknn.estimators.fitted import class_labels, require_fitted
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network


@reads(StackingClassifier, form=MEMBERS)
def read_stacked_classifier(estimator: Any, name: str) -> Network:
    """Return the members' probabilities or scores, and the last model's answers from them."""
    require_fitted(estimator, "final_estimator_")
    if isinstance(estimator.classes_, list):
        raise UnsupportedModelError(
            f"{name} of several targets cannot be converted. Fit one for each target."
        )
    classes = class_labels(name, estimator.classes_)
    members = _members(estimator)
    features = members.arrange(_features(estimator, members, len(classes)))
    final, steps = _final(estimator)
    if places(name, final.classes, np.arange(len(classes))) != list(range(len(classes))):
        raise UnsupportedModelError(f"{name}'s last model was fitted to other classes than it. Fit it again.")
    own: dict[str, Ending] = {"transform": AS_IT_IS, "predict": (*steps, *responses_of(final)["predict"])}
    for method, ending in (("predict_proba", chances(final)), ("decision_function", decisions(final))):
        if ending is not None:
            own[method] = (*steps, *ending)
    answers = Answers.of(estimator, "classifier", own, head=final.head, classes=classes)
    return members.finish(estimator, answers, features)


@reads(StackingRegressor, form=MEMBERS)
def read_stacked_regressor(estimator: Any, name: str) -> Network:
    """Return the members' predictions, and the last model's prediction from them."""
    require_fitted(estimator, "final_estimator_")
    members = _members(estimator)
    features = members.arrange(_features(estimator, members, 0))
    final, steps = _final(estimator)
    own: dict[str, Ending] = {"transform": AS_IT_IS, "predict": (*steps, *targets(final))}
    answers = Answers.of(estimator, "regressor", own, single_output=final.single_output)
    return members.finish(estimator, answers, features)


def _members(estimator: Any) -> Members:
    """Return the members, and behind them the inputs where the last model takes these too."""
    networks = read_members(estimator, list(estimator.estimators_))
    members = [Member(network) for network in networks]
    return side_by_side(estimator, members, with_rows=bool(estimator.passthrough))


def _features(estimator: Any, members: Members, classes: int) -> list[Ending]:
    """Return the steps from each member's values to the last model's features; those of the inputs last."""
    fitted: Sequence[str] = list(estimator.stack_method_)
    networks = members.networks[: len(fitted)]
    if len(fitted) != len(estimator.estimators_):
        raise Attributes(estimator).refuse("stack_method_", "a method for each member")
    endings = [
        _feature(type(estimator).__name__, network, method, classes)
        for network, method in zip(networks, fitted, strict=True)
    ]
    return [*endings, *[()] * (len(members.networks) - len(networks))]


def _feature(name: str, network: Network, method: str, classes: int) -> Ending:
    if method == "predict" and network.task == "regressor":
        return targets(network)
    scores, shares = decisions(network), chances(network)
    if method == "decision_function" and scores is not None:
        return scores
    if method != "predict_proba" or shares is None:
        raise UnsupportedModelError(
            f"{name} takes {method} of {network.estimator}, which cannot be converted; predict_proba and "
            "decision_function can. Fit with stack_method='auto'."
        )
    return (*shares, Columns(1, 2)) if classes == 2 else shares


def _final(estimator: Any) -> tuple[Network, Ending]:
    """Return the last model, and the steps to its values from its features."""
    final = network_from_estimator(estimator.final_estimator_)
    steps = None if final.columns is not None else host_steps(final)
    if steps is None:
        front = "" if final.columns is None else " behind steps that impute or encode"
        raise UnsupportedModelError(
            f"{type(estimator).__name__} ends in {final.estimator}{front}, which the host cannot compute. "
            "Fit with a linear model or trees alone as final_estimator."
        )
    return final, steps

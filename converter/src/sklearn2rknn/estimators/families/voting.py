"""Ensembles that average their members, or let them vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import attrs
import numpy as np
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    VotingClassifier,
    VotingRegressor,
)

from scirknn.arrays import Ints
from scirknn.steps.activations import Activation
from scirknn.steps.branches import Finite
from scirknn.steps.linear import Dense
from scirknn.steps.step import Step, apply_steps
from scirknn.steps.trees import TreeSum, mean_of_trees
from scirknn.steps.votes import Votes, VoteShares, VoteWinners, WeightedMean, WeightedMedian
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.ensembles.endings import (
    chances,
    decisions,
    label_scores,
    places,
    spread,
    targets,
)
from sklearn2rknn.estimators.ensembles.members import (
    MEMBERS,
    Member,
    Members,
    joined_members,
    read_members,
    side_by_side,
)
from sklearn2rknn.estimators.fitted import class_labels, require_fitted
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network, accepts_missing

Weights = tuple[float, ...]


@reads(VotingClassifier, form=MEMBERS)
def read_voting_classifier(estimator: Any, name: str) -> Network:
    """Return the mean of the members' probabilities, or their votes."""
    members = joined_members(estimator)
    classes = class_labels(name, estimator.classes_)
    count, weights = len(classes), _weights(estimator, len(members.members))
    if any(places(name, each.classes, np.arange(count)) != list(range(count)) for each in members.networks):
        raise UnsupportedModelError(f"A member of {name} was fitted to other classes than it. Fit it again.")
    own: dict[str, tuple[Step, ...]]
    if estimator.voting == "soft":
        lacking = [each.estimator for each in members.networks if chances(each) is None]
        if lacking:
            raise UnsupportedModelError(
                f"{name} with voting='soft' takes predict_proba, which {lacking[0]} does not have: its "
                "own predict fails, too. Fit with voting='hard'."
            )
        endings = [chances(each) for each in members.networks]
        own = {"predict": (WeightedMean(weights),), "predict_proba": (WeightedMean(weights),)}
        if estimator.flatten_transform:
            own["transform"] = ()
    else:
        endings = [label_scores(each) for each in members.networks]
        own = {"predict": (Votes(count, weights),), "transform": (VoteWinners(count, weights),)}
    answers = Answers.of(
        estimator,
        "classifier",
        own,
        head="identity" if estimator.voting == "soft" else "softmax",
        classes=classes,
    )
    return members.finish(estimator, answers, members.arrange(_required(name, endings)))


@reads(VotingRegressor, form=MEMBERS)
def read_voting_regressor(estimator: Any, name: str) -> Network:
    """Return the weighted mean of the members' predictions."""
    members = joined_members(estimator)
    own = {"predict": (WeightedMean(_weights(estimator, len(members.members))),), "transform": ()}
    answers = Answers.of(estimator, "regressor", own, single_output=True)
    return members.finish(estimator, answers, members.arrange([targets(each) for each in members.networks]))


@reads(BaggingClassifier, form=MEMBERS)
def read_bagging_classifier(estimator: Any, name: str) -> Network:
    """Return the mean of the members' probabilities, or the shares of their votes."""
    members = _own_columns(estimator)
    classes = class_labels(name, estimator.classes_)
    count, weights = len(classes), (1.0,) * len(members.members)
    spreads = [spread(places(name, each.classes, np.arange(count)), count) for each in members.networks]
    walk = _one_walk(members, spreads)
    if walk is not None:
        answers = Answers.of(estimator, "classifier", classes=classes)
        return Members(walk, members.members).finish(estimator, answers)
    is_certain = all(chances(each) is not None for each in members.networks)
    endings = [chances(each) if is_certain else label_scores(each) for each in members.networks]
    before = members.arrange(
        [(*each, *own) for each, own in zip(_required(name, endings), spreads, strict=True)]
    )
    mean = WeightedMean(weights)
    own: dict[str, tuple[Step, ...]] = {
        "predict": (*before, mean if is_certain else Votes(count, weights)),
        "predict_proba": (*before, mean if is_certain else VoteShares(count, weights)),
        "predict_log_proba": (),
    }
    if hasattr(estimator, "decision_function"):
        scores = members.arrange(_required(name, [decisions(each) for each in members.networks]))
        own["decision_function"] = (*scores, mean)
    answers = Answers.of(
        estimator, "classifier", own, head="identity" if is_certain else "softmax", classes=classes
    )
    return attrs.evolve(members.finish(estimator, answers), dtype="float64")


@reads(BaggingRegressor, form=MEMBERS)
def read_bagging_regressor(estimator: Any, name: str) -> Network:
    """Return the mean of the members' predictions."""
    members = _own_columns(estimator)
    endings = [targets(each) for each in members.networks]
    mean = WeightedMean((1.0,) * len(endings))
    is_single = all(each.single_output for each in members.networks)
    answers = Answers(task="regressor", single_output=is_single)
    walk = _one_walk(members, [()] * len(endings))
    if walk is not None:
        return Members(walk, members.members).finish(estimator, answers)
    return members.finish(estimator, answers, (*members.arrange(endings), mean))


@reads(AdaBoostRegressor, form=MEMBERS)
def read_adaboost_regressor(estimator: Any, name: str) -> Network:
    """Return the weighted median of the members' predictions."""
    members = joined_members(estimator)
    is_alone = len(members.members) == 1  # with the weight 0 where it errs by half or more
    median = WeightedMedian((1.0,) if is_alone else _boosting_weights(estimator))
    answers = Answers(task="regressor", single_output=True)
    endings = [targets(each) for each in members.networks]
    network = members.finish(estimator, answers, (*members.arrange(endings), median))
    if not accepts_missing(network):
        return network
    # Its trees would take NaN; it does not.
    return attrs.evolve(network, epilogue=(Finite(name, False), *network.epilogue))


def read_boosted_members(estimator: Any, name: str) -> Network:
    """Return the weighted votes of an AdaBoostClassifier's members, of any kind.

    ``decision_function`` is a class's share s of the votes between -1 / (k - 1) and 1, or with two classes
    twice the difference of their shares (Zhu, Zou, Rosset and Hastie, Multi-class AdaBoost, 2009).
    Of one class there is none: the caller refuses that.
    """
    members = joined_members(estimator)
    classes = class_labels(name, estimator.classes_)
    count, weights = len(classes), _boosting_weights(estimator)
    endings = [
        (*label_scores(each), *spread(places(name, each.classes, estimator.classes_), count))
        for each in members.networks
    ]
    others = 1.0 / (count - 1)
    decision = Dense((1.0 + others) * np.eye(count), np.full(count, -others))
    exponents = Dense(others * np.eye(count), np.zeros(count))
    if count == 2:
        decision = Dense(np.array([[-2.0], [2.0]]), np.zeros(1))
        exponents = Dense(np.array([[-0.5, 0.5]]), np.zeros(2))
    shares = VoteShares(count, weights)
    own: dict[str, tuple[Step, ...]] = {
        "predict": (Votes(count, weights),),
        "decision_function": (shares, decision),
        "predict_proba": (shares, decision, exponents, Activation("softmax")),
    }
    answers = Answers.of(estimator, "classifier", own, head="softmax", classes=classes)
    return attrs.evolve(members.finish(estimator, answers, members.arrange(endings)), dtype="float64")


def _own_columns(estimator: Any) -> Members:
    """Return members that may take some of the columns each."""
    require_fitted(estimator, "estimators_")
    networks = read_members(estimator, list(estimator.estimators_))
    width = int(estimator.n_features_in_)
    columns = [_chosen(each, width) for each in estimator.estimators_features_]
    pairs = zip(networks, columns, strict=True)
    return side_by_side(estimator, [Member(network, own) for network, own in pairs])


def _one_walk(members: Members, spreads: Sequence[tuple[Step, ...]]) -> Network | None:
    """Return the mean of members that are one tree each, None where one is something else.

    Walking them together takes the time of one, and adds up as scikit-learn does.
    """
    trees = []
    for member, own in zip(members.members, spreads, strict=True):
        steps = member.network.epilogue
        in_front = member.network.layers or member.network.input or member.network.features
        if in_front or len(steps) != 1 or not isinstance(steps[0], TreeSum):
            return None
        tree = steps[0]
        if len(tree.roots) != 1 or tree.divisor != 1.0 or any(tree.start):
            return None
        columns = tree.columns if member.columns is None else member.columns[tree.columns]
        values = apply_steps(own, tree.values)
        trees.append(replace(tree, columns=columns, values=values, start=(0.0,) * values.shape[1]))
    return attrs.evolve(members.network, epilogue=(mean_of_trees(trees),))


def _chosen(features: Any, width: int) -> Ints | None:
    columns = np.asarray(features, dtype=np.int64)
    if columns.ndim != 1 or not columns.size or columns.min() < 0 or columns.max() >= width:
        raise UnsupportedModelError(
            f"estimators_features_ are no columns of {width}. They were changed after fit; fit again."
        )
    return None if np.array_equal(columns, np.arange(width)) else columns


def _weights(estimator: Any, count: int) -> Weights:
    """Return the weights of the members that were not dropped."""
    given = estimator._weights_not_none
    return (1.0,) * count if given is None else tuple(float(each) for each in given)


def _boosting_weights(estimator: Any) -> Weights:
    """Return the members' weights; fit makes room for more where it ends early."""
    given = np.asarray(estimator.estimator_weights_, dtype=np.float64)
    return tuple(given[: len(estimator.estimators_)].tolist())


def _required(name: str, endings: Sequence[tuple[Step, ...] | None]) -> list[tuple[Step, ...]]:
    if any(each is None for each in endings):
        raise UnsupportedModelError(f"A member of {name} has no such method as others have. Fit it again.")
    return [each for each in endings if each is not None]

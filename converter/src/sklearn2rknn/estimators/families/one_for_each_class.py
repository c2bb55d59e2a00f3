"""Classifiers of several classes made of those of two: one for each class, pair or bit of a code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from sklearn.multiclass import (
    OneVsOneClassifier,
    OneVsRestClassifier,
    OutputCodeClassifier,
    _ConstantPredictor,
)

from scirknn.steps.chances import NormalizedUnlessZero, WithComplement
from scirknn.steps.linear import Columns, Dense
from scirknn.steps.pairs import PairConfidences, PairVotes
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.ensembles.endings import (
    Ending,
    decides_by_score,
    decisions,
    second_chance,
    targets,
)
from sklearn2rknn.estimators.ensembles.members import MEMBERS, Members, joined_members
from sklearn2rknn.estimators.fitted import class_labels, fitted_numbers
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network


@reads(_ConstantPredictor)
def read_constant(estimator: Any, name: str) -> Network:
    """Return the network of what stands for a classifier where one class alone was there."""
    value = np.asarray(estimator.y_, dtype=np.float64).reshape(1)
    own = {"decision_function": (), "predict_proba": (WithComplement(),)}
    return dense_network(
        estimator,
        np.zeros((int(estimator.n_features_in_), 1)),
        value,
        Answers(
            task="classifier", head="logistic", classes=np.array([0, 1]), responses={"predict": (), **own}
        ),
    )


@reads(OneVsRestClassifier, form=MEMBERS)
def read_one_vs_rest(estimator: Any, name: str) -> Network:
    """Return the scores of the classes, one member's each."""
    members = joined_members(estimator)
    scores, threshold = _scores(name, members)
    kind = str(estimator.label_binarizer_.y_type_)
    is_multilabel, is_binary = kind.startswith("multilabel"), len(scores) == 1
    if not is_multilabel and not is_binary and kind != "multiclass":
        raise UnsupportedModelError(f"{name} was fitted to labels of the type {kind!r:.60}. Fit it again.")
    arranged = members.arrange(scores)
    decided = arranged
    if threshold and (is_binary or is_multilabel):
        decided = (*arranged, Dense(np.eye(len(scores)), np.full(len(scores), -threshold)))
    own: dict[str, Ending] = {"predict": decided}
    if all(decisions(each) is not None for each in members.networks):
        own["decision_function"] = arranged
    shares = [second_chance(each) for each in members.networks]
    if all(each is not None for each in shares):
        chances: Ending = members.arrange([each or () for each in shares])
        end = () if is_multilabel else (WithComplement(),) if is_binary else (NormalizedUnlessZero(),)
        own["predict_proba"] = (*chances, *end)
    task = "multilabel" if is_multilabel else "classifier"
    answers = Answers.of(estimator, task, own, head="logistic" if is_multilabel or is_binary else "softmax")
    return members.finish(estimator, answers)


@reads(OneVsOneClassifier, form=MEMBERS)
def read_one_vs_one(estimator: Any, name: str) -> Network:
    """Return the votes of the pairs of classes, one member's each."""
    if estimator.pairwise_indices_ is not None:
        raise UnsupportedModelError(
            f"{name} of precomputed kernels cannot be converted. Fit on the features."
        )
    members = joined_members(estimator)
    scores, threshold = _scores(name, members)
    if members.networks[0].task == "regressor":
        raise UnsupportedModelError(
            f"{name} of {members.networks[0].estimator}, a regressor, cannot be converted; "
            "OneVsRestClassifier of it can."
        )
    if not all(decides_by_score(each) for each in members.networks):
        raise UnsupportedModelError(
            f"{name} of {members.networks[0].estimator}, whose predict does not follow its score, cannot "
            "be converted; OneVsRestClassifier of it can."
        )
    classes = class_labels(name, estimator.classes_)
    count, pairs = len(classes), len(scores)
    confidences = PairConfidences(count, threshold)
    # scikit-learn's members are for the second class of a pair, the steps' values for the first.
    sign = 1.0 if count == 2 else -1.0
    arranged = (*members.arrange(scores), Dense(sign * np.eye(pairs), np.full(pairs, -sign * threshold)))
    own: dict[str, Ending] = {"decision_function": (confidences, Columns(1, 2))}
    if count > 2:
        own = {"predict": (PairVotes(count, True, threshold),), "decision_function": (confidences,)}
        if not members.network.layers:  # nothing errs, and a score in the middle is the first class's
            own["predict"] = (confidences,)
    answers = Answers.of(
        estimator, "classifier", own, head="softmax" if count > 2 else "logistic", classes=classes
    )
    return attrs.evolve(members.finish(estimator, answers, arranged), dtype="float64")


@reads(OutputCodeClassifier, form=MEMBERS)
def read_output_code(estimator: Any, name: str) -> Network:
    """Return the nearness of a row's code to the classes'.

    Of ``-|y - c|^2`` the classes differ by ``2 y.c - |c|^2``.
    """
    members = joined_members(estimator)
    scores, _ = _scores(name, members)
    classes = class_labels(name, estimator.classes_)
    book = Attributes(estimator).array("code_book_", (len(classes), len(scores)))
    book = fitted_numbers(f"{name}.code_book_", book.astype(np.float64), 2)
    nearness = Dense(2.0 * book.T, -(book * book).sum(axis=1))
    answers = Answers.of(estimator, "classifier", head="softmax", classes=classes)
    return members.finish(estimator, answers, (*members.arrange(scores), nearness))


def _scores(name: str, members: Members) -> tuple[list[Ending], float]:
    """Return the steps to each member's score, and where the score changes the label.

    It is the decision function, else the probability of the second class; or a regressor's prediction.
    """
    networks: Sequence[Network] = members.networks
    first = networks[0]
    if first.task == "regressor":
        return [targets(each) for each in networks], 0.5
    endings = []
    for each in networks:
        own = decisions(each)
        ending = second_chance(each) if own is None else own
        if ending is None:
            raise UnsupportedModelError(
                f"{name}'s {each.estimator} has neither decision_function nor predict_proba. Fit another."
            )
        endings.append(ending)
    # By scikit-learn's is_classifier the constant is none.
    is_decision = decisions(first) is not None and first.estimator != _ConstantPredictor.__name__
    return endings, 0.0 if is_decision else 0.5

"""One model for each target, side by side or in a chain."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain

from scirknn.answers import responses_of
from scirknn.arrays import Array, Floats
from scirknn.steps.chain import Linked
from scirknn.steps.linear import Dense
from scirknn.steps.members import Picked
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.ensembles.endings import AS_IT_IS, chances, label_scores, targets
from sklearn2rknn.estimators.ensembles.members import MEMBERS, joined_members, read_members
from sklearn2rknn.estimators.fitted import methods, require_fitted
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.estimators.succession import layers_behind_input
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.layer_merging import merge_linear

CHAIN = Form("one dense layer for linear members; the host links them")

_ANSWERS = {"predict": "label", "predict_proba": "probability", "decision_function": "score"}


@reads(MultiOutputRegressor, form=MEMBERS)
def read_regressors(estimator: Any, name: str) -> Network:
    """Return the members' predictions, one column each."""
    members = joined_members(estimator)
    endings = [targets(each) for each in members.networks]
    answers = Answers(task="regressor")
    return members.finish(estimator, answers, members.arrange(endings))


@reads(MultiOutputClassifier, form=MEMBERS)
def read_classifiers(estimator: Any, name: str) -> Network:
    """Return by how much each member's second class leads, one column each, and their probabilities."""
    members = joined_members(estimator)
    classes = [_two_labels(name, each.classes) for each in members.networks]
    lead = Dense(np.array([[-1.0], [1.0]]), np.zeros(1))
    own = {"predict": members.arrange([(*label_scores(each), lead) for each in members.networks])}
    shares = [each for each in map(chances, members.networks) if each is not None]
    if len(shares) == len(classes):
        own["predict_proba"] = members.arrange(shares) or AS_IT_IS
    answers = Answers.of(estimator, "multilabel", own, head="logistic", classes=np.stack(classes))
    return members.finish(estimator, answers)


@reads(ClassifierChain, form=CHAIN)
def read_classifier_chain(estimator: Any, name: str) -> Network:
    """Return the scores of a chain of linear classifiers, in the order of the targets."""
    networks = _linear_members(estimator)
    classes = [_require_0_and_1(name, network.classes) for network in networks]
    for network in networks:
        responses = responses_of(network)
        if network.head != "logistic" or any(responses[key] for key in responses):
            raise UnsupportedModelError(
                f"{name} of {network.estimator} cannot be converted; one of LogisticRegression can."
            )
    method = getattr(estimator, "chain_method_", "predict")
    if method not in _ANSWERS:
        raise UnsupportedModelError(
            f"{name} with chain_method={method!r:.60} cannot be converted; {', '.join(_ANSWERS)} can."
        )
    weights, bias, links = _stacked(estimator, networks)
    order = _order(estimator, len(bias))
    responses = methods(estimator, "multilabel", {"decision_function": ()}) or {}
    if "predict_proba" not in responses:  # scikit-learn has its logarithm in any case, which then raises
        responses = {key: steps for key, steps in responses.items() if key != "predict_log_proba"}
    answers = Answers(
        task="multilabel",
        head="logistic",
        classes=np.stack(classes),
        responses=responses,
    )
    epilogue = (Linked(links, _ANSWERS[method]), Picked(np.argsort(order)))
    return attrs.evolve(dense_network(estimator, weights, bias, answers), epilogue=epilogue)


@reads(RegressorChain, form=CHAIN)
def read_regressor_chain(estimator: Any, name: str) -> Network:
    """Return a chain of linear regressors, which is one dense layer."""
    weights, bias, links = _stacked(estimator, _linear_members(estimator))
    for place in range(len(bias)):
        weights[:, place] += weights @ links[:, place]
        bias[place] += bias @ links[:, place]
    places = np.argsort(_order(estimator, len(bias)))
    return dense_network(estimator, weights[:, places], bias[places], Answers(task="regressor"))


def _linear_members(estimator: Any) -> list[Network]:
    require_fitted(estimator, "estimators_")
    name = type(estimator).__name__
    networks = read_members(estimator, list(estimator.estimators_))
    for network in networks:
        is_linear = bool(network.layers) and len(merge_linear(network).layers) == 1
        if not is_linear or network.features or network.epilogue or network.columns or network.output:
            raise UnsupportedModelError(
                f"{name} of {network.estimator} cannot be converted; one of linear models can. Fit a "
                f"MultiOutput{name[:-5]} of it, which takes no answers of others."
            )
        if network.task == "regressor" and network.head != "identity":
            raise UnsupportedModelError(
                f"{name} of {network.estimator} cannot be converted; one of Ridge can."
            )
    return networks


def _stacked(estimator: Any, networks: list[Network]) -> tuple[Floats, Floats, Floats]:
    """Return the members' weights of X, their biases, and their weights of the answers before them."""
    count, width = len(networks), int(estimator.n_features_in_)
    weights, bias, links = np.zeros((width, count)), np.zeros(count), np.zeros((count, count))
    for place, network in enumerate(networks):
        layer = layers_behind_input(merge_linear(network))[0]
        if layer.weights.shape != (width + place, 1):
            raise Attributes(estimator).refuse(
                "estimators_", "models of one target each, which grow in width"
            )
        weights[:, place], links[:place, place] = layer.weights[:width, 0], layer.weights[width:, 0]
        bias[place] = layer.bias[0]
    return weights, bias, links


def _order(estimator: Any, count: int) -> Array:
    order = np.asarray(estimator.order_)
    if order.dtype.kind not in "iu" or sorted(order.tolist()) != list(range(count)):
        raise Attributes(estimator).refuse("order_", f"the numbers from 0 to {count - 1}")
    return order


def _two_labels(name: str, classes: Array | None) -> Array:
    labels = [] if classes is None else classes.tolist()
    if classes is None or len(labels) != 2:
        raise UnsupportedModelError(
            f"{name} has a target of the classes {labels!r:.60}; targets of two classes can be converted. "
            "Convert each of its estimators_ by itself."
        )
    return classes


def _require_0_and_1(name: str, classes: Array | None) -> Array:
    labels = _two_labels(name, classes)
    if labels.tolist() != [0, 1]:
        raise UnsupportedModelError(
            f"{name} has a target of the classes {labels.tolist()!r:.60}; targets of 0 and 1 can be "
            "converted. Convert each of its estimators_ by itself."
        )
    return labels

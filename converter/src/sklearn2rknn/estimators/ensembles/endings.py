"""What an ensemble takes of a member: steps from the member's values to its scores, chances or targets."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from scirknn.answers import responses_of
from scirknn.arrays import Array
from scirknn.steps.activations import Activation
from scirknn.steps.chances import LogSoftmax, WithComplement
from scirknn.steps.description import describe_steps
from scirknn.steps.linear import Columns, Dense
from scirknn.steps.step import Step, width_after
from scirknn.steps.trees import Sign
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.network.network import Network

Ending = tuple[Step, ...]
"""Steps from a member's values."""

AS_IT_IS: Ending = (Activation("identity"),)
"""For a method that returns the values themselves, whatever the head is."""


def chances(network: Network) -> Ending | None:
    """Return the steps to one probability for each class, None without ``predict_proba``."""
    if "predict_proba" not in responses_of(network):
        return None
    own = responses_of(network)["predict_proba"] or _activation(network)
    is_one = network.head == "logistic" and _width(network, own) == 1
    return (*own, WithComplement()) if is_one else own


def log_chances(network: Network) -> Ending:
    """Return the steps to the probabilities' logarithms, where these are finite for the smallest ones.

    Without any the logarithm of `chances` is taken.
    """
    responses = responses_of(network)
    own = responses.get("predict_log_proba", ())
    if own or responses.get("predict_proba") or network.head not in ("softmax", "logistic"):
        return own
    both: Ending = () if network.head == "softmax" else (Dense(np.array([[0.0, 1.0]]), np.zeros(2)),)
    return (*both, LogSoftmax())


def second_chance(network: Network) -> Ending | None:
    """Return the steps to the probability of the second of two classes."""
    own = chances(network)
    return None if own is None else (*own, Columns(1, 2))


def decisions(network: Network) -> Ending | None:
    """Return the steps to the decision function, one column for two classes; None without it."""
    return responses_of(network).get("decision_function")


def targets(network: Network) -> Ending:
    """Return the steps to a regressor's predictions."""
    return responses_of(network)["predict"] or _activation(network)


def label_scores(network: Network) -> Ending:
    """Return the steps to one score for each class, of which the largest is the prediction."""
    own = responses_of(network)["predict"]
    assert network.classes is not None, "a classifier has classes"
    if len(network.classes) == 1:
        return (*own, Columns(0, 1))
    if _width(network, own) == 1:
        return (*own, *_activation(network), WithComplement())
    return own or _activation(network)


def decides_by_score(network: Network) -> bool:
    """Whether the prediction is what the decision function, or without it the probabilities, say."""
    own = responses_of(network)["predict"]
    own = own[:-1] if own and isinstance(own[-1], Sign) else own
    scores = decisions(network)
    scores = responses_of(network).get("predict_proba", ()) if scores is None else scores
    return not own or digest(own) == digest(scores)


def digest(steps: Ending) -> str:
    """Return the sha256 (hex) of what steps compute by."""
    description = describe_steps(steps, "")
    sha256 = hashlib.sha256(json.dumps(description.document).encode())
    for name, array in sorted(description.arrays.items()):
        sha256.update(f"{name}{array.shape};".encode() + array.tobytes())
    return sha256.hexdigest()


def places(name: str, classes: Array | None, among: Array) -> list[int]:
    """Return where a member's classes are among an ensemble's.

    Raises
    ------
    UnsupportedModelError
        One is not there.
    """
    order = {label: place for place, label in enumerate(among.tolist())}
    own = [] if classes is None else classes.tolist()
    if not own or not set(own) <= set(order):
        raise UnsupportedModelError(
            f"A member of {name} has the classes {own!r:.60}, which are not those of {name}. Fit it again."
        )
    return [order[label] for label in own]


def spread(columns: list[int], count: int) -> tuple[Step, ...]:
    """Return the step that puts columns at their places among `count`, with zeros elsewhere."""
    if columns == list(range(count)):
        return ()
    return (Dense(np.eye(count)[columns], np.zeros(count)),)


def _activation(network: Network) -> tuple[Step, ...]:
    return () if network.head == "identity" else (Activation(network.head),)


def _width(network: Network, own: tuple[Any, ...]) -> int:
    return width_after((*network.epilogue, *own), network.n_outputs)

"""Format 4's keys: what the host computes around the network, which methods the model has, and its score.

``features``, ``scale``, ``epilogue``, ``responses``, ``score``, and ``arrays``, the file of the arrays that
they hold. An older runtime would answer without them, so metadata that needs one has the format 4.
``responses`` alone needs no newer format where the older runtime has no method that the estimator lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, NoReturn

from scirknn.answers import METHODS, SCORES, SEARCHES, Responses, default_responses, main_method, responses_of
from scirknn.bundle.arrays_file import ReadArrays, arrays_path, pack_arrays
from scirknn.bundle.limits import MOST_CHANNELS
from scirknn.files import sha256_of_bytes
from scirknn.steps.description import Description, describe_steps, read_steps
from scirknn.steps.step import RowStep, Step, take_rows, width_after
from scirknn.steps.training_rows import TrainingRows

if TYPE_CHECKING:
    from scirknn.bundle.contents import Bundle

__all__ = ["HostParts", "are_needed", "check_widths", "from_json", "to_json"]

_OF_BEFORE = {
    ("classifier", "softmax"),
    ("classifier", "logistic"),
    ("multilabel", "logistic"),
    ("regressor", "identity"),
    ("regressor", "exp"),
}
"""Tasks and heads that formats 1 to 3 have."""

_METHODS_OF_ROWS = ("decision_function", "score_samples", "transform")
"""Methods whose own steps may take rows: a model is judged by the others, from its values alone."""

SCORE = re.compile(
    r"(accuracy|r2|none|inertia|(mean_)?log_likelihood|d2_tweedie\((-?\d{1,3}(\.\d{1,17})?)\))\Z"
)
"""Names of scores; that of Tweedie's deviance has its power, 1 for Poisson and 2 for gamma."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class HostParts:
    """The keys' values; `n_channels` is the number of the network's inputs behind the features."""

    n_channels: int
    features: tuple[Step, ...] = ()
    epilogue: tuple[Step, ...] = ()
    responses: Responses | None = None
    score: str | None = None


def are_needed(bundle: Bundle) -> bool:
    """Whether a runtime that ignores the keys would answer wrongly."""
    if bundle.on_host or bundle.features or bundle.epilogue or bundle.high_negated:
        return True
    if (bundle.task, bundle.head) not in _OF_BEFORE:
        return True
    if bundle.score not in (None, SCORES[bundle.task]):
        return True
    responses = responses_of(bundle)
    return any(responses.get(method) != () for method in default_responses(bundle.task))


def to_json(bundle: Bundle) -> Description:
    """Return the keys that a bundle has, as JSON takes them, and the arrays that they name."""
    features = describe_steps(bundle.features, "features")
    epilogue = describe_steps(bundle.epilogue, "epilogue")
    methods = {
        name: describe_steps(steps, f"responses.{name}") for name, steps in (bundle.responses or {}).items()
    }
    arrays = {
        name: array for each in (features, epilogue, *methods.values()) for name, array in each.arrays.items()
    }
    scale = bundle.scale
    document: dict[str, Any] = {
        "features": features.document,
        "scale": None if scale is None else {"offset": scale.offset.tolist(), "scale": scale.scale.tolist()},
        "epilogue": epilogue.document,
        "responses": {name: each.document for name, each in methods.items()},
        "score": bundle.score,
        "arrays": None,
    }
    if arrays:
        digest = sha256_of_bytes(pack_arrays(arrays))
        document["arrays"] = {"file": arrays_path(bundle.path).name, "sha256": digest}
    return Description({key: value for key, value in document.items() if value}, arrays)


def from_json(
    document: dict[str, Any],
    path: Path,
    n_inputs: int,
    read_arrays: ReadArrays,
    fail: Callable[[str], NoReturn],
) -> HostParts:
    """Take the keys but ``scale`` out of metadata; `fail` raises what is wrong."""
    arrays: Mapping[str, Any] = {}
    if "arrays" in document:
        entry = document.pop("arrays")
        is_own = isinstance(entry, dict) and entry.get("file") == arrays_path(path).name
        if not is_own or not _SHA256.match(str(entry.get("sha256"))):
            fail(f"'arrays' is {entry!r:.80}, not the sha256 of {arrays_path(path).name}")
        arrays = read_arrays(path, entry, fail)
    taken = {key: document.pop(key) for key in ("features", "epilogue", "responses") if key in document}
    score = document.pop("score", None)
    if score is not None and not (isinstance(score, str) and SCORE.match(score)):
        fail(f"'score' is {score!r:.60}, which this scirknn does not know")
    try:
        features = read_steps(taken.get("features", []), arrays)
        epilogue = read_steps(taken.get("epilogue", []), arrays)
        responses = _responses(taken["responses"], arrays) if "responses" in taken else None
        n_channels = width_after(features, n_inputs)
    except ValueError as error:
        fail(f"{error}")
    if not 1 <= n_channels <= MOST_CHANNELS:
        fail(f"'features' makes {n_channels} columns of {n_inputs}")
    return HostParts(n_channels, features, epilogue, responses, score)


def _responses(value: Any, arrays: Mapping[str, Any]) -> Responses:
    if not isinstance(value, dict) or not value or not set(value) <= set(METHODS):
        raise ValueError(f"'responses' is {value!r:.80}; it can name {', '.join(METHODS)}")
    return {name: read_steps(steps, arrays) for name, steps in value.items()}


def check_widths(bundle: Bundle, fail: Callable[[str], NoReturn]) -> int:
    """Return how many values `predict` decides from, after each step's columns were compared."""
    try:
        n_values = width_after(bundle.epilogue, bundle.n_outputs)
        n_inputs = width_after(bundle.features, bundle.n_inputs)
        _require_inputs(bundle.epilogue, n_inputs)
        for name, steps in responses_of(bundle).items():
            width_after(steps, n_values)
            _require_inputs(steps, n_inputs)
            if take_rows(steps) and (name not in _METHODS_OF_ROWS or name == main_method(bundle)):
                raise ValueError(f"a step of 'responses' for {name!r} takes rows, as those of 'epilogue' can")
            if name in SEARCHES and (steps or not _can_search(bundle, name)):
                raise ValueError(
                    f"'responses' has {name!r}, but the first step of 'epilogue' is no such search"
                )
    except ValueError as error:
        fail(str(error))
    return width_after(responses_of(bundle).get("predict", ()), n_values)


def _can_search(bundle: Bundle, method: str) -> bool:
    first = bundle.epilogue[:1]
    return any(isinstance(each, TrainingRows) and method in each.searches for each in first)


def _require_inputs(steps: Iterable[Step], n_inputs: int) -> None:
    for each in steps:
        if isinstance(each, RowStep) and each.inputs not in (None, n_inputs):
            raise ValueError(
                f"the step {each.kind!r} takes {each.inputs} inputs of the network, not {n_inputs}"
            )

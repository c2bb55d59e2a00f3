"""Keys of what the host computes around the network or of it, which methods the model has, and its score.

``features``, ``scale``, ``epilogue``, ``responses``, ``score``, and ``arrays``, the file of the arrays that
they hold, are format 4's: an older runtime would answer without them, so metadata that needs one has that
format. ``responses`` alone needs no newer format where the older runtime has no method that the estimator
lacks. ``cpu``, the weights in numpy's form, and ``owner``, of texts alone, may be ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, NoReturn

from scirknn.answers import (
    METHODS,
    SCORES,
    SEARCHES,
    Responses,
    default_responses,
    main_method,
    own_labels,
    responses_of,
)
from scirknn.bundle.arrays_file import ReadArrays, arrays_path, pack_arrays
from scirknn.bundle.contents import CpuPart, Owner
from scirknn.bundle.limits import MOST_CHANNELS
from scirknn.errors import BundleFormatError
from scirknn.files import sha256_of_bytes
from scirknn.steps.description import Description, describe_steps, read_steps
from scirknn.steps.step import RowStep, Step, take_rows, width_after
from scirknn.steps.training_rows import TrainingRows

if TYPE_CHECKING:
    from scirknn.answers import Answering
    from scirknn.arrays import Array
    from scirknn.bundle.contents import Bundle

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

_NAMES = {*METHODS, "score"}

SCORE = re.compile(
    r"(accuracy|r2|none|inertia|(mean_)?log_likelihood|d2_tweedie\((-?\d{1,3}(\.\d{1,17})?)\))\Z"
)
"""Names of scores; that of Tweedie's deviance has its power, 1 for Poisson and 2 for gamma."""

ACTIVATIONS = ("identity", "logistic", "tanh", "relu", "softmax")
"""Of the layers that the host computes."""

_MOST_LAYERS = 256
_CPU_KEYS = ("widths", "activations", "file", "sha256")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class WrittenParts:
    """The keys as JSON takes them, the arrays that they name, and the bundle's file of these, if any."""

    document: dict[str, Any]
    arrays: Mapping[str, Array]
    file: bytes


@dataclass(frozen=True)
class HostParts:
    """The keys' values; `n_channels` is the number of the network's inputs behind the features."""

    n_channels: int
    features: tuple[Step, ...] = ()
    epilogue: tuple[Step, ...] = ()
    responses: Responses | None = None
    score: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return the attributes of a `Bundle` of the same names."""
        return {name: value for name, value in vars(self).items() if name != "n_channels"}


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


def has_arrays(bundle: Bundle) -> bool:
    """Whether a step of a bundle holds arrays, which it needs wherever it is computed."""
    return bool(_steps_to_json(bundle).arrays)


def to_json(bundle: Bundle) -> WrittenParts:
    """Return the keys that a bundle has, and what they name."""
    steps, owner = _steps_to_json(bundle), bundle.owner
    every = {**steps.arrays, **_cpu_arrays(bundle.cpu)}
    content = pack_arrays(every) if every else b""
    file = {"file": arrays_path(bundle.path).name, "sha256": sha256_of_bytes(content)} if every else {}
    document: dict[str, Any] = {
        **steps.document,
        "scale": None if bundle.scale is None else bundle.scale.to_json(),
        "score": bundle.score,
        "owner": None if owner is None else {"name": owner.name, "lacking": list(owner.lacking)},
        "arrays": file if steps.arrays else None,
        "cpu": None,
    }
    if bundle.cpu is not None:
        widths, activations = list(bundle.cpu.widths), list(bundle.cpu.activations)
        document["cpu"] = {"widths": widths, "activations": activations, **file}
    return WrittenParts({key: value for key, value in document.items() if value}, every, content)


def _cpu_arrays(part: CpuPart | None) -> Mapping[str, Array]:
    """Return the arrays for the bundle's file, by name."""
    layers = () if part is None else part.read()
    return {
        name: array
        for place, layer in enumerate(layers)
        for name, array in ((f"cpu.{place}.weights", layer.weights), (f"cpu.{place}.bias", layer.bias))
    }


def _steps_to_json(bundle: Bundle) -> Description:
    features = describe_steps(bundle.features, "features")
    epilogue = describe_steps(bundle.epilogue, "epilogue")
    methods = {
        name: describe_steps(steps, f"responses.{name}") for name, steps in (bundle.responses or {}).items()
    }
    arrays = {
        name: array for each in (features, epilogue, *methods.values()) for name, array in each.arrays.items()
    }
    document = {
        "features": features.document,
        "epilogue": epilogue.document,
        "responses": {name: each.document for name, each in methods.items()},
    }
    return Description(document, arrays)


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
        _require_own_file("arrays", entry, path, fail)
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


def owner_from_json(value: Any, fail: Callable[[str], NoReturn]) -> Owner:
    """Read the key ``owner``; `fail` raises what is wrong with it."""
    name, lacking = (value.get(key) if isinstance(value, dict) else None for key in ("name", "lacking"))
    if not isinstance(name, str) or not isinstance(lacking, list) or not set(map(str, lacking)) <= _NAMES:
        fail(f"'owner' is {value!r:.80}, which names no class and its missing methods")
    return Owner(name, tuple(lacking))


def check_widths(model: Answering, n_inputs: int, n_outputs: int) -> int:
    """Return how many values `predict` decides from, after each step's columns were compared.

    Parameters
    ----------
    model : Bundle or Network
    n_inputs, n_outputs : int
        Columns in front of its features, and of its output in front of its epilogue.

    Raises
    ------
    ValueError
        A step takes another number of columns, or stands where it cannot be.
    """
    n_values = width_after(model.epilogue, n_outputs)
    n_inputs = width_after(model.features, n_inputs)
    _require_inputs(model.epilogue, n_inputs)
    for name, steps in responses_of(model).items():
        width, labels = width_after(steps, n_values), own_labels(model)
        if name == "predict_proba" and labels is not None and width != labels.size:
            raise ValueError(f"'responses' has {width} probabilities for {labels.size} labels of targets")
        _require_inputs(steps, n_inputs)
        if take_rows(steps) and (name not in _METHODS_OF_ROWS or name == main_method(model)):
            raise ValueError(f"a step of 'responses' for {name!r} takes rows, as those of 'epilogue' can")
        if name in SEARCHES and (steps or not _can_search(model, name)):
            raise ValueError(f"'responses' has {name!r}, but the first step of 'epilogue' is no such search")
    return width_after(responses_of(model).get("predict", ()), n_values)


def _can_search(model: Answering, method: str) -> bool:
    first = model.epilogue[:1]
    return any(isinstance(each, TrainingRows) and method in each.searches for each in first)


def _require_inputs(steps: Iterable[Step], n_inputs: int) -> None:
    for each in steps:
        if isinstance(each, RowStep) and each.inputs not in (None, n_inputs):
            raise ValueError(
                f"the step {each.kind!r} takes {each.inputs} inputs of the network, not {n_inputs}"
            )


def cpu_from_json(
    document: dict[str, Any], path: Path, ends: tuple[int, int], fail: Callable[[str], NoReturn]
) -> CpuPart | None:
    """Take the key ``cpu`` out of metadata; `fail` raises what is wrong.

    `ends` are the columns of the network's input and output. The file is not opened.
    """
    if "cpu" not in document:
        return None
    value = document.pop("cpu")
    if not isinstance(value, dict) or set(value) != set(_CPU_KEYS):
        fail(f"'cpu' is {value!r:.80}, without or beside {', '.join(_CPU_KEYS)}")
    widths, activations = value["widths"], value["activations"]
    if not isinstance(activations, list) or not 1 <= len(activations) <= _MOST_LAYERS:
        fail(f"'cpu' has {activations!r:.60} for its activations")
    if any(each not in ACTIVATIONS for each in activations):
        fail(f"'cpu' has {activations!r:.60} for its activations, which can be {', '.join(ACTIVATIONS)}")
    is_list = isinstance(widths, list) and len(widths) == len(activations) + 1
    if not is_list or not all(type(width) is int and 1 <= width <= MOST_CHANNELS for width in widths):
        fail(f"'cpu' has {widths!r:.60} for its widths")
    if (widths[0], widths[-1]) != ends:
        fail(f"'cpu' goes from {widths[0]} to {widths[-1]} columns, not from {ends[0]} to {ends[1]}")
    _require_own_file("cpu", value, path, fail)
    return CpuPart(tuple(widths), tuple(activations), path=path, sha256=value["sha256"])


def _require_own_file(key: str, entry: Any, path: Path, fail: Callable[[str], NoReturn]) -> None:
    """Refuse an entry that does not name the bundle's file of arrays and its digest."""
    own, named = arrays_path(path).name, entry.get("file") if isinstance(entry, dict) else None
    if named != own and isinstance(named, str) and re.match(r"[^/]+\.npz\Z", named):
        raise BundleFormatError(
            f"{path.name}.json belongs to {named!r:.80}, not to {own}: the bundle was renamed. Give its "
            "files the names that they were written with, or convert the model again."
        )
    if named != own or not _SHA256.match(str(entry.get("sha256"))):
        fail(f"{key!r} is {entry!r:.80}, not the sha256 of {own}")

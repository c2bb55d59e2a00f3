"""Losses of gradient boosting from a file: made by their constructors, of the few numbers that these take."""

from __future__ import annotations

from typing import Any

from sklearn._loss import loss

from sklearn2rknn.model_files.inert import Record
from sklearn2rknn.model_files.record_checks import check_count, damaged

_MOST_CLASSES = 1 << 20


def make_loss(record: Record) -> Any:
    """Return the loss of a record.

    Raises
    ------
    ModelFileError
        It is none of the list, or its numbers are none.
    """
    name = record.full_name.rpartition(".")[2]
    state = record.state
    compiled = state.get("closs") if type(state) is dict else None
    if type(compiled) is not Record:
        raise damaged(name, "it lacks its compiled part")
    arguments: dict[str, Any] = {}
    if name == "HalfMultinomialLoss":
        arguments["n_classes"] = check_count(name, "n_classes", state.get("n_classes"), _MOST_CLASSES)
    elif name == "PinballLoss":
        arguments["quantile"] = _number(name, "quantile", *compiled.arguments[:1])
    elif name == "HuberLoss":
        arguments["quantile"] = _number(name, "quantile", state.get("quantile"))
        arguments["delta"] = _number(name, "delta", *compiled.arguments[:1])
    return getattr(loss, name)(**arguments)


def _number(what: str, name: str, value: Any = None) -> float:
    most = float("inf") if name == "delta" else 1.0
    if not isinstance(value, float) or not 0 <= value <= most:
        raise damaged(what, f"{name} is {value!r:.60}, not a number from 0 to {most:g}")
    return float(value)

"""Steps in a bundle: their fields as JSON and arrays, and back, strictly."""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
from typing import Any, Iterable, Mapping

import numpy as np

from scirknn.arrays import Array
from scirknn.steps.step import KINDS, Step

_FOLDER = "scirknn.steps"
MOST_STEPS = 4096
"""Of one list: an ensemble has one for each member."""

_DEEPEST = 12
"""Levels of steps that hold steps: an ensemble takes two, and may lie in another."""

_SCALARS = {"bool": bool, "int": int, "str": str, "float": float}
_ARRAYS = {"Floats": np.float64, "Ints": np.int64}


@dataclasses.dataclass(frozen=True)
class Description:
    """Steps as a bundle holds them.

    Attributes
    ----------
    document : list or dict
        For JSON; a field that is an array holds its name.
    arrays : mapping of str to numpy.ndarray
        By name: float64 or int64.
    """

    document: Any
    arrays: Mapping[str, Array]


def describe_steps(steps: Iterable[Step], name: str) -> Description:
    """Return the description of steps; `name` begins the names of their arrays."""
    document: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    for place, each in enumerate(steps):
        entry: dict[str, Any] = {"kind": each.kind}
        for field in dataclasses.fields(each):  # type: ignore[arg-type]
            value, key = getattr(each, field.name), f"{name}.{place}.{field.name}"
            if field.type in _ARRAYS:
                arrays[key] = np.asarray(value, dtype=_ARRAYS[field.type])
                value = key
            elif field.type == "tuple[Step, ...]":
                inner = describe_steps(value, key)
                value = inner.document
                arrays.update(inner.arrays)
            elif isinstance(value, tuple):
                value = list(value)
            entry[field.name] = value
        document.append(entry)
    return Description(document, arrays)


def read_steps(document: Any, arrays: Mapping[str, Array], depth: int = 0) -> tuple[Step, ...]:
    """Return the steps of a description, which anyone may have written.

    Raises
    ------
    ValueError
        It is none, or the values contradict each other.
    """
    if not isinstance(document, list) or len(document) > MOST_STEPS or depth > _DEEPEST:
        raise ValueError(f"it has {document!r:.60} for a list of at most {MOST_STEPS} steps")
    return tuple(_read(entry, arrays, depth) for entry in document)


def _read(entry: Any, arrays: Mapping[str, Array], depth: int) -> Step:
    kind = _kinds().get(str(entry.get("kind"))) if isinstance(entry, dict) else None
    if kind is None:
        raise ValueError(f"it has the step {entry!r:.60}, which this scirknn does not know")
    fields = {field.name: str(field.type) for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if set(entry) != {"kind", *fields}:
        raise ValueError(f"the step {kind.kind!r} has the fields {sorted(entry)!r:.80}")
    values = {name: _value(entry[name], form, arrays, depth) for name, form in fields.items()}
    wrong = [name for name, value in values.items() if value is None]
    if wrong:
        raise ValueError(
            f"the step {kind.kind!r} has {entry[wrong[0]]!r:.60} for its {wrong[0]} ({fields[wrong[0]]})"
        )
    return kind(**values)


def _value(value: Any, form: str, arrays: Mapping[str, Array], depth: int) -> Any:
    """Return a field's value in its form, or None."""
    if form in _ARRAYS:
        array = arrays.get(value) if isinstance(value, str) else None
        return array if array is not None and array.dtype == _ARRAYS[form] else None
    if form in _SCALARS:
        return _scalar(value, form)
    if form == "tuple[Step, ...]":
        return read_steps(value, arrays, depth + 1)
    inner = form[len("tuple[") : -len(", ...]")]
    values = tuple(_scalar(each, inner) for each in value) if isinstance(value, list) else (None,)
    return None if None in values else values


def _scalar(value: Any, form: str) -> Any:
    kind = _SCALARS[form]
    if kind is float and type(value) is int:
        value = float(value) if abs(value) < 1 << 53 else None
    if type(value) is not kind:
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _kinds() -> Mapping[str, type[Step]]:
    package = importlib.import_module(_FOLDER)
    for module in pkgutil.iter_modules(package.__path__, f"{_FOLDER}."):
        importlib.import_module(module.name)
    return KINDS

"""Checks of what a file's objects hold: exact arrays, plain counts, parts that do not repeat without end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn2rknn.errors import ModelFileError
from sklearn2rknn.model_files.inert import Record, Workshop

_MOST_REPEATED = 1 << 24
_MOST_TIMES = 20  # as often as a file's bytes may become more
_ENDLESS = 1 << 62


def damaged(what: str, why: str) -> ModelFileError:
    """Return the error for an object that its class would never have written."""
    return ModelFileError(f"The file has a {what} that cannot be used: {why}. Save the model again.")


def check_count(what: str, name: str, value: Any, most: int) -> int:
    """Return an int from 1 to `most`, or refuse it (ModelFileError)."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not 1 <= value <= most:
        raise damaged(what, f"{name} is {value!r:.60}, not 1 to {most}")
    return int(value)


def check_array(
    what: str, name: str, value: Any, dtype: np.dtype[Any], shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Return a C-contiguous array of exactly this dtype and shape, in which None is any length from 0.

    Raises
    ------
    ModelFileError
    """
    if type(value) is not np.ndarray or value.dtype != dtype:
        kind = value.dtype if type(value) is np.ndarray else type(value).__name__
        raise damaged(what, f"{name} is {kind!s:.300}, not an array of {dtype!s:.300}")
    if value.ndim != len(shape) or any(
        wanted not in (None, length) for wanted, length in zip(shape, value.shape, strict=True)
    ):
        wanted_shape = tuple("n" if wanted is None else wanted for wanted in shape)
        raise damaged(what, f"{name} has shape {value.shape}, not {wanted_shape}")
    return np.ascontiguousarray(value)


def check_repetition(content: Any, workshop: Workshop) -> None:
    """Refuse content that would not end where it is copied, compared or printed.

    A list of twice the same list, of twice the same list and so on takes a few bytes a level in a file.

    Raises
    ------
    ModelFileError
        A part lies inside itself; or the parts, each counted wherever it is named, hold more than 16 million
        values and 20 times those of the file.
    """
    instances = {id(each) for each in workshop.instances}
    sizes: dict[int, int] = {}  # of each part that others lie in, with these
    large: set[int] = set()  # texts and arrays that were counted
    path, totals, inside, values = [(content, iter(_parts(content, instances)))], [1], {id(content)}, 1
    while path:
        outer, parts = path[-1]
        for part in parts:
            if id(part) in inside and type(part) is Record:
                continue  # as the leaves of a tree that name their neighbours; none is made
            if id(part) in inside:
                raise ModelFileError(f"The file has a {type(part).__name__} that lies inside itself.")
            if id(part) in sizes:
                totals[-1] = min(totals[-1] + sizes[id(part)], _ENDLESS)
                continue
            inner = _parts(part, instances)
            if not inner:
                size = _values(part, in_instance=id(outer) in instances)
                totals[-1] += size
                values += 1 if id(part) in large else size
                if size > 1:
                    large.add(id(part))
                continue
            path.append((part, iter(inner)))
            totals.append(1)
            inside.add(id(part))
            values += 1
            break
        else:
            path.pop()
            inside.discard(id(outer))
            sizes[id(outer)] = total = totals.pop()
            if totals:
                totals[-1] = min(totals[-1] + total, _ENDLESS)
    if sizes[id(content)] > _MOST_REPEATED + _MOST_TIMES * values:
        raise ModelFileError(
            "The file names its parts again so often that copying them would not end. Save the model again."
        )


def _parts(value: Any, instances: set[int]) -> Iterable[Any]:
    """Return what lies in a part; nothing for a number, a text or an array of them."""
    parts: Iterable[Any] = ()
    if type(value) in (list, tuple, set, frozenset):
        parts = value
    elif type(value) is dict:
        parts = value.values()
    elif type(value) is Record:
        parts = value.arguments, value.state
    elif type(value) is np.ndarray and value.dtype.hasobject:
        parts = value.ravel().tolist()
    elif id(value) in instances:
        parts = vars(value).values()
    return parts


def _values(value: Any, *, in_instance: bool) -> int:
    """Return how many values of 8 bytes a part becomes in an array of what lies beside it."""
    if isinstance(value, (str, bytes, bytearray)):
        return 1 + len(value) // 8
    # An attribute is not copied into anything; a list of arrays is.
    return 1 if in_instance or not isinstance(value, np.ndarray) else 1 + value.size

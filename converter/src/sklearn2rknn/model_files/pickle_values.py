"""Pure constructors of a pickle: bytes, slices, dtypes, arrays and numbers, each with checked arguments."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from scirknn.arrays import Array
from sklearn2rknn.errors import ModelFileError
from sklearn2rknn.model_files.inert import NamedStandIn

_DIMENSIONS = 32  # numpy's own limit before 2.0
_DTYPE = re.compile(r"[<>|=]?([biufc]\d{1,2}|[SUV]\d{1,6}|\?|O[48]?|[bBhHiIlLqQefdgFDG])")
_LONGEST_KEY = 32
_MISSING = object()


def check_key(key: Any) -> Any:
    """Return a key of a dict or member of a set, whose hash runs no code and does not nest deeply."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) <= _LONGEST_KEY and all(
        part is None or isinstance(part, (str, bytes, int, float, np.generic)) for part in parts
    ):
        return key
    raise ModelFileError(f"The file has a key of type {type(key).__name__}; keys are text or numbers.")


def check_shape(shape: Any) -> int:
    """Return the number of elements of an array's shape."""
    if type(shape) is not tuple or len(shape) > _DIMENSIONS:
        raise ModelFileError("The file has an array whose shape is no tuple of a few numbers.")
    if not all(isinstance(length, (int, np.integer)) and 0 <= length < 1 << 48 for length in shape):
        raise ModelFileError("The file has an array whose shape holds something other than lengths.")
    return math.prod(int(length) for length in shape)


def array_from_bytes(data: Any, dtype: Any, shape: Any, order: Any) -> Array:
    """Return an array of its own memory from bytes of exactly its size."""
    count = check_shape(shape)
    if not isinstance(dtype, np.dtype) or dtype.hasobject or order not in ("C", "F"):
        raise ModelFileError("The file has an array without a dtype of numbers or text.")
    if type(data) not in (bytes, bytearray) or len(data) != count * dtype.itemsize:
        raise ModelFileError(f"The file has an array of shape {shape} whose data has another size.")
    if dtype.itemsize == 0:
        raise ModelFileError("The file has an array of elements without a size.")
    array: Array = np.frombuffer(data, dtype).reshape(shape, order=order).copy(order)
    return array


def build_array(target: Array, state: Any) -> None:
    """Give an empty array that ``_reconstruct`` made its shape, dtype and elements."""
    if type(state) is not tuple or len(state) != 5:
        raise ModelFileError("The file has an array whose state is no tuple of five.")
    _, shape, dtype, fortran, data = state
    count = check_shape(shape)
    if not isinstance(dtype, np.dtype) or type(fortran) not in (bool, int):
        raise ModelFileError("The file has an array without a dtype.")
    if dtype == np.dtype(object):
        if type(data) is not list or len(data) != count:
            raise ModelFileError(f"The file has an array of shape {shape} that lists other elements.")
    else:
        data = bytes(data) if type(data) is bytearray else data
        array_from_bytes(data, dtype, shape, "C")
    lengths = tuple(int(length) for length in shape)
    target.__setstate__((1, lengths, dtype, bool(fortran), data))  # type: ignore[arg-type]  # a plain bool does


def build_dtype(target: np.dtype[Any], state: Any) -> None:
    """Give a dtype that a file made its byte order or its fields."""
    if type(state) is not tuple or len(state) < 8 or state[0] not in (3, 4):
        raise ModelFileError("The file has a dtype with an unknown state.")
    _, order, base, names, fields, size, *_ = state
    if base is not None or order not in ("<", ">", "|", "=") or (len(state) > 8 and state[8] is not None):
        raise ModelFileError("The file has a dtype of arrays or dates, which no model needs.")
    if names is None:
        fresh = target.newbyteorder(order) if order != "|" else target
        if size not in (-1, fresh.itemsize):
            raise ModelFileError("The file has a dtype of two sizes.")
    else:
        fresh = _structured(target, names, fields)
    target.__setstate__(fresh.__reduce__()[2])  # type: ignore[attr-defined]  # numpy's stubs lack it


def _structured(target: np.dtype[Any], names: Any, fields: Any) -> np.dtype[Any]:
    sound = (
        target.kind == "V"
        and type(names) is tuple
        and type(fields) is dict
        and all(type(name) is str for name in names)
        and set(names) == set(fields)
    )
    parts = [fields[name] for name in names] if sound else []
    if not parts or not all(
        type(part) is tuple
        and len(part) == 2
        and isinstance(part[0], np.dtype)
        and not part[0].hasobject
        and type(part[1]) is int
        and 0 <= part[1] <= target.itemsize - part[0].itemsize
        for part in parts
    ):
        raise ModelFileError("The file has a dtype whose fields do not fit into it.")
    return np.dtype(
        {
            "names": list(names),
            "formats": [part[0] for part in parts],
            "offsets": [part[1] for part in parts],
            "itemsize": target.itemsize,
        }
    )


def _dtype(name: Any, align: Any = False, copy: Any = True) -> np.dtype[Any]:
    if type(name) is not str or not _DTYPE.fullmatch(name):
        raise ModelFileError("The file has a dtype that is neither a number nor text.")
    # A copy: its state is set afterwards.
    return np.dtype(name, False, True)


def _reconstruct(kind: Any, shape: Any, code: Any) -> Array:
    if kind != NamedStandIn("numpy.ndarray") or shape != (0,) or code not in (b"b", "b"):
        raise ModelFileError("The file has an array of a class of its own; save plain numpy arrays.")
    return np.empty((0,), "b")


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    if axes is not None:
        raise ModelFileError(
            "The file has an array with permuted axes. Save the model with pickle protocol 4."
        )
    return array_from_bytes(data, dtype, shape, order)


def _scalar(dtype: Any, data: Any) -> Any:
    data = data.encode("latin1") if type(data) is str else data
    return array_from_bytes(data, dtype, (), "C")[()]


def _encode(text: Any, encoding: Any) -> bytes:
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise ModelFileError("The file has bytes in an unknown encoding.")
    return text.encode("latin1")


def _bytes(*arguments: Any) -> bytes:
    if arguments and type(arguments[0]) is not bytes:
        raise ModelFileError("The file makes bytes of something other than bytes.")
    return bytes(arguments[0]) if arguments else b""


def _bytearray(text: Any = b"", encoding: Any = "latin-1") -> bytearray:
    return bytearray(text if type(text) is bytes else _encode(text, encoding))


def _slice(*ends: Any) -> slice:
    if len(ends) != 3 or not all(end is None or isinstance(end, (int, str, np.generic)) for end in ends):
        raise ModelFileError("The file has a slice whose ends are neither numbers nor names.")
    return slice(*ends)


def _set(items: Any = ()) -> set[Any]:
    if type(items) is not list and items != ():
        raise ModelFileError("The file makes a set of something other than a list.")
    return {check_key(item) for item in items}


def _ordered(items: Any = ()) -> dict[Any, Any]:
    pairs: Any = items if type(items) in (list, tuple) else [None]
    if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
        raise ModelFileError("The file makes a dict of something other than pairs.")
    return {check_key(key): value for key, value in pairs}


def _ufunc(module: Any, name: Any) -> NamedStandIn:
    if type(module) is not str or type(name) is not str:
        raise ModelFileError("The file names a function by something other than text.")
    return NamedStandIn(f"{module}.{name}")


CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    "_codecs.encode": _encode,
    "collections.OrderedDict": _ordered,
    "builtins.bytearray": _bytearray,
    "builtins.bytes": _bytes,
    "builtins.frozenset": lambda *items: frozenset(_set(*items)),
    "builtins.set": _set,
    "builtins.slice": _slice,
    "numpy.dtype": _dtype,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy._core.numeric._frombuffer": _frombuffer,
    "numpy._core._ufunc_reconstruct": _ufunc,
}
"""Everything that REDUCE calls, by its full name."""

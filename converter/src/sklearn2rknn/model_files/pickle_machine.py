"""A pickle machine that runs nothing of the file: it makes plain values, listed classes and inert records.

`pickletools.genops` reads the operations; whatever is not done here (persistent ids, extension codes,
constructors with arguments, buffers outside the file) ends the load. See docs/security.md.
"""

from __future__ import annotations

import io
import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from sklearn2rknn.errors import ModelFileError, UntrustedModelError
from sklearn2rknn.model_files.inert import NamedStandIn, Record, Workshop, refuse_name
from sklearn2rknn.model_files.model_names import RECORDS, TYPES
from sklearn2rknn.model_files.pickle_values import (
    CONSTRUCTORS,
    array_from_bytes,
    build_array,
    build_dtype,
    check_key,
    check_shape,
)

_MOST_OPERATIONS = 1 << 23  # a tree takes 170; each makes 216 bytes at most: together less than 2 GiB
_NESTED_FILES = 20  # arrays of objects within arrays of objects
_ARRAY_IN_FILE = "joblib.numpy_pickle.NumpyArrayWrapper"
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_ARGUMENTS = frozenset(
    {
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING",
        "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
        "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    }
)  # fmt: skip
_TYPE_NAMES = {id(kind): name for name, kind in TYPES.items() if name in CONSTRUCTORS}


class Allowance:
    """What the machines of one file may still do: operations, and bytes that they copy.

    Parameters
    ----------
    size : int
        Bytes of the file.
    """

    def __init__(self, size: int) -> None:
        self._operations, self._bytes = _MOST_OPERATIONS, (1 << 20) + 4 * size

    def take_operation(self) -> None:
        """Count an operation, or raise `ModelFileError`."""
        self._operations -= 1
        if self._operations < 0:
            raise ModelFileError("The file takes more operations to read than any model of it does.")

    def take_copy(self, value: Any) -> None:
        """Count what was made of parts that the file may name again, or raise `ModelFileError`."""
        if isinstance(value, np.ndarray):
            self._bytes -= value.size if value.dtype.hasobject else value.nbytes
        elif isinstance(value, (bytes, bytearray, set, frozenset, dict)):
            self._bytes -= len(value)
        if self._bytes < 0:
            raise ModelFileError("The file copies its own parts into more than any model of its size holds.")


class PickleMachine:
    """Read one pickle, plain or joblib's, from bytes.

    Parameters
    ----------
    stream : io.BytesIO
    workshop : Workshop
        Makes the instances, and knows afterwards what was named.
    depth : int
        How many pickles this one lies in.
    allowance : Allowance, optional
        Of the pickle that this one lies in.
    """

    def __init__(
        self, stream: io.BytesIO, workshop: Workshop, depth: int = 0, allowance: Allowance | None = None
    ) -> None:
        if depth > _NESTED_FILES:
            raise ModelFileError("The file nests arrays of objects deeper than any estimator does.")
        self._stream, self._workshop, self._depth = stream, workshop, depth
        self._allowance = allowance or Allowance(stream.getbuffer().nbytes)
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._unbuilt: dict[int, Any] = {}  # made in this load, and without a state so far; holds them alive

    def load(self) -> Any:
        """Return what the pickle holds."""
        for opcode, argument, _ in pickletools.genops(self._stream):
            self._allowance.take_operation()
            if opcode.name in _ARGUMENTS:
                self._stack.append(argument)
            elif opcode.name in _CONSTANTS:
                self._stack.append(_CONSTANTS[opcode.name])
            elif opcode.name == "STOP":
                return self._pop()
            else:
                operation = _OPERATIONS.get(opcode.name)
                if operation is None:
                    raise ModelFileError(
                        f"The file uses the pickle operation {opcode.name}, which no model needs."
                    )
                operation(self, argument)
        raise ModelFileError("The pickle has no end.")

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise ModelFileError("The pickle takes more values than it has made.")
        return self._stack.pop()

    def _pop_to_mark(self, _: Any = None) -> list[Any]:
        if not self._marks:
            raise ModelFileError("The pickle takes more values than it has made.")
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _top(self, kind: type) -> Any:
        top = self._pop()
        if type(top) is not kind:
            raise ModelFileError(f"The pickle adds items to an object that is no {kind.__name__}.")
        self._stack.append(top)
        return top

    def _mark(self, _: Any) -> None:
        self._marks.append(len(self._stack))

    def _discard(self, _: Any) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _discard_to_mark(self, _: Any) -> None:
        self._pop_to_mark()

    def _duplicate(self, _: Any) -> None:
        top = self._pop()
        self._stack += [top, top]

    def _remember(self, index: Any) -> None:
        top = self._pop()
        self._memo[len(self._memo) if index is None else index] = top
        self._stack.append(top)

    def _recall(self, index: Any) -> None:
        if index not in self._memo:
            raise ModelFileError("The pickle recalls a value that it has not made.")
        self._stack.append(self._memo[index])

    def _append(self, _: Any) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _extend(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._top(list).extend(items)

    def _add(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._top(set).update(check_key(item) for item in items)

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._top(dict)[check_key(key)] = value

    def _set_items(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._top(dict).update(_pairs(items))

    def _tuple(self, length: int) -> None:
        items = [self._pop() for _ in range(length)]
        self._stack.append(tuple(reversed(items)))

    def _name(self, argument: Any) -> None:
        if argument is None:
            name, module = self._pop(), self._pop()
        else:
            module, _, name = argument.partition(" ")
        if type(module) is not str or type(name) is not str:
            raise ModelFileError("The pickle names a class by something other than text.")
        self._stack.append(self._workshop.named(module, name))

    def _made(self, value: Any) -> Any:
        self._unbuilt[id(value)] = value
        return value

    def _instance(self, named: Any, arguments: Any) -> Any:
        if type(arguments) is not tuple:
            raise ModelFileError("The pickle gives a class arguments that are no tuple.")
        full = named.full_name if type(named) is NamedStandIn else ""
        made = self._workshop.instance(named)
        if type(made) is Record:
            made.arguments = arguments
        elif arguments:
            raise refuse_name(full)
        return self._made(made)

    def _new(self, _: Any) -> None:
        arguments, named = self._pop(), self._pop()
        self._stack.append(self._instance(named, arguments))

    def _reduce(self, _: Any) -> None:
        arguments, named = self._pop(), self._pop()
        full = named.full_name if type(named) is NamedStandIn else _TYPE_NAMES.get(id(named))
        if type(arguments) is not tuple:
            raise ModelFileError("The pickle calls something with arguments that are no tuple.")
        if full == "copyreg._reconstructor" and _is_plain_reconstruction(arguments):
            value = self._instance(arguments[0], ())
        elif full in CONSTRUCTORS:
            value = _construct(full, arguments)
            self._allowance.take_copy(value)
            if isinstance(value, (np.dtype, np.ndarray)):
                self._made(value)
        elif full in self._workshop.classes or full in RECORDS:
            value = self._instance(named, arguments)
        else:
            raise refuse_name(full or "an object that it has made")
        self._stack.append(value)

    def _build(self, _: Any) -> None:
        state, target = self._pop(), self._pop()
        if self._unbuilt.pop(id(target), None) is not target:
            name = getattr(target, "full_name", type(target).__name__)
            raise UntrustedModelError(
                name,
                f"The file sets attributes of {name}, which it has not just made. Do not use a file of "
                "unknown origin; save your own again.",
            )
        if isinstance(target, np.dtype):
            build_dtype(target, state)
        elif type(target) is np.ndarray:
            build_array(target, state)
            self._allowance.take_copy(target)
        elif type(target) is dict:
            pass  # of a class that is only its items here
        elif type(target) is Record:
            target.state = state
            if target.full_name == _ARRAY_IN_FILE:
                target = self._read_array(state)
        else:
            self._workshop.set_attributes(target, state)
        self._stack.append(target)

    def _read_array(self, state: Any) -> Any:
        """Read the data that joblib wrote behind an array's description."""
        if type(state) is not dict:
            raise ModelFileError("The file describes an array by something other than a dict.")
        shape, order, dtype = (state.get(key) for key in ("shape", "order", "dtype"))
        subclass = getattr(state.get("subclass"), "full_name", "")
        if subclass not in ("numpy.ndarray", "numpy.memmap") or not isinstance(dtype, np.dtype):
            raise ModelFileError("The file has an array of a class of its own; save plain numpy arrays.")
        if dtype.hasobject:
            array = PickleMachine(self._stream, self._workshop, self._depth + 1, self._allowance).load()
            if type(array) is not np.ndarray:
                raise ModelFileError("The file has an array of objects that is no array.")
            return array
        if state.get("numpy_array_alignment_bytes") is not None:
            self._stream.read((self._stream.read(1) or b"\0")[0])
        data = self._stream.read(check_shape(shape) * dtype.itemsize)
        array = array_from_bytes(data, dtype, shape, order)
        return array.astype(dtype.newbyteorder("="), copy=False)


def _is_plain_reconstruction(arguments: tuple[Any, ...]) -> bool:
    return len(arguments) == 3 and arguments[1] is object and arguments[2] is None


def _pairs(items: list[Any]) -> dict[Any, Any]:
    if len(items) % 2:
        raise ModelFileError("The pickle has a key without a value.")
    return {check_key(key): value for key, value in zip(items[::2], items[1::2], strict=True)}


def _construct(full: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return CONSTRUCTORS[full](*arguments)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"The file makes {full} of wrong arguments: {error!s:.200}.") from None


def _push(make: Callable[[PickleMachine], Any]) -> Callable[[PickleMachine, Any], None]:
    return lambda machine, _: machine._stack.append(make(machine))


_OPERATIONS: dict[str, Callable[[PickleMachine, Any], None]] = {
    "ADDITEMS": PickleMachine._add,
    "APPEND": PickleMachine._append,
    "APPENDS": PickleMachine._extend,
    "BUILD": PickleMachine._build,
    "DICT": _push(lambda machine: _pairs(machine._pop_to_mark())),
    "DUP": PickleMachine._duplicate,
    "EMPTY_DICT": _push(lambda _: {}),
    "EMPTY_LIST": _push(lambda _: []),
    "EMPTY_SET": _push(lambda _: set()),
    "EMPTY_TUPLE": _push(lambda _: ()),
    "FRAME": lambda machine, _: None,
    "FROZENSET": _push(lambda machine: frozenset(check_key(item) for item in machine._pop_to_mark())),
    "LIST": _push(lambda machine: machine._pop_to_mark()),
    "MARK": PickleMachine._mark,
    "NEWOBJ": PickleMachine._new,
    "POP": PickleMachine._discard,
    "POP_MARK": PickleMachine._discard_to_mark,
    "PROTO": lambda machine, _: None,
    "REDUCE": PickleMachine._reduce,
    "SETITEM": PickleMachine._set_item,
    "SETITEMS": PickleMachine._set_items,
    "TUPLE": _push(lambda machine: tuple(machine._pop_to_mark())),
    "TUPLE1": lambda machine, _: machine._tuple(1),
    "TUPLE2": lambda machine, _: machine._tuple(2),
    "TUPLE3": lambda machine, _: machine._tuple(3),
    **dict.fromkeys(("GLOBAL", "STACK_GLOBAL"), PickleMachine._name),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), PickleMachine._recall),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), PickleMachine._remember),
}

"""Read a .skops file by the rules of the pickle machine: plain instances, inert names, exact arrays.

The format is skops' own (a zip of ``schema.json`` and of the arrays' ``.npy`` files); its reader calls what
types the file names, and so it is not used.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn2rknn.errors import ModelFileError
from sklearn2rknn.model_files.inert import NamedStandIn, Record, Workshop, refuse_name
from sklearn2rknn.model_files.pickle_values import CONSTRUCTORS, array_from_bytes, check_key, check_shape

_CONTAINERS = {
    "DictNode": ("builtins.dict", "collections.OrderedDict", "sklearn.utils._bunch.Bunch"),
    "ListNode": ("builtins.list",),
    "SetNode": ("builtins.set",),
    "TupleNode": ("builtins.tuple",),
}
_MOST_SCHEMA = 128 << 20  # bytes; a tree takes 20 kB, and short texts 12 times as much in memory
_MOST_BRACKETS = 1 << 22  # of the schema: an empty list takes 3 bytes there and 64 in memory
_KEY_TYPES = (str, int, float, np.float32, np.float64, np.int32, np.int64, np.str_)


class SkopsFile:
    """The objects of one file.

    Parameters
    ----------
    archive : zipfile.ZipFile
    workshop : Workshop
    limit : int
        Bytes of arrays that are read at most.
    """

    def __init__(self, archive: zipfile.ZipFile, workshop: Workshop, limit: int) -> None:
        self._archive, self._workshop, self._limit, self._left = archive, workshop, limit, limit
        self._made: dict[int, Any] = {}

    def load(self) -> Any:
        """Return what the file holds."""
        schema = self._member("schema.json")
        if len(schema) > _MOST_SCHEMA or schema.count(b"{") + schema.count(b"[") > _MOST_BRACKETS:
            raise ModelFileError("The file's schema.json describes more objects than any model holds.")
        return self._construct(json.loads(schema))

    def _member(self, name: Any) -> bytes:
        if type(name) is not str:
            raise ModelFileError("The file refers to a part of itself by something other than a name.")
        try:
            member = self._archive.getinfo(name)
        except KeyError:
            raise ModelFileError(f"The file lacks its part {name[:80]!r}. Save the model again.") from None
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelFileError(
                "The file is compressed by another method than deflate. Save the model again."
            )
        self._left -= member.file_size
        if self._left < 0:
            raise ModelFileError(
                f"The file's parts hold more than {self._limit >> 20} MiB, which no model of its size does. "
                "Save the model again without compression."
            )
        with self._archive.open(member) as stream:
            return stream.read(member.file_size)  # no more than it says, whatever is in it

    def _construct(self, node: Any) -> Any:
        if type(node) is not dict:
            raise ModelFileError("The file describes an object by something other than a dict.")
        identity = node.get("__id__")
        if type(identity) is int and identity in self._made:
            return self._made[identity]
        loader = node.get("__loader__")
        read = _NODES.get(loader) if type(loader) is str else None
        if read is None:
            raise refuse_name(_full_name(node))
        if loader in _CONTAINERS and _full_name(node) not in _CONTAINERS[loader]:
            raise refuse_name(_full_name(node))
        value = read(self, node)
        if type(identity) is int:
            self._made[identity] = value
        return value

    def _items(self, node: dict[str, Any]) -> list[Any]:
        content = node.get("content")
        if type(content) is not list:
            raise ModelFileError("The file describes a list by something other than a list.")
        return [self._construct(item) for item in content]

    def _dict(self, node: dict[str, Any]) -> dict[Any, Any]:
        content, kinds = node.get("content"), self._construct(node.get("key_types"))
        if type(content) is not dict or type(kinds) is not list or len(kinds) != len(content):
            raise ModelFileError("The file describes a dict without its keys' types.")
        return {
            _key(kind, key): self._construct(value)
            for kind, (key, value) in zip(kinds, content.items(), strict=True)
        }

    def _named(self, node: dict[str, Any]) -> Any:
        return self._workshop.named(*_full_name(node).rsplit(".", 1))

    def _object(self, node: dict[str, Any]) -> Any:
        named = self._named(node)
        if type(named) is not NamedStandIn:
            raise refuse_name(_full_name(node))
        made = self._workshop.instance(named)
        content = node.get("content")
        state = None if content is None else self._construct(content)
        if type(made) is Record:
            made.state = state
        elif state is not None:
            self._workshop.set_attributes(made, state)
        return made

    def _compiled(self, node: dict[str, Any]) -> Record:
        reduce = node.get("__reduce__")
        arguments = self._construct(reduce.get("args") if type(reduce) is dict else None)
        if type(arguments) is not tuple:
            raise ModelFileError("The file gives a class arguments that are no tuple.")
        return Record(_full_name(node), arguments, self._construct(node.get("content")))

    def _partial(self, node: dict[str, Any]) -> Record:
        content = node.get("content")
        parts = (
            [content.get(key) for key in ("func", "args", "kwds", "namespace")]
            if type(content) is dict
            else []
        )
        return Record(_full_name(node), (), tuple(map(self._construct, parts)))

    def _record(self, node: dict[str, Any]) -> Record:
        return Record(
            _full_name(node), (), {key: node[key] for key in ("content", "__reduce__") if key in node}
        )

    def _array(self, node: dict[str, Any]) -> Any:
        if node.get("type") == "json":
            if _full_name(node) != "numpy.ndarray":
                raise refuse_name(_full_name(node))
            return _object_array(self._items(node), self._construct(node.get("shape")))
        array = _read_npy(self._member(node.get("file")))
        full = _full_name(node)
        if full == "numpy.ndarray":
            return array
        if array.shape != () or full != f"numpy.{array.dtype.type.__name__}":
            raise refuse_name(full)
        return array[()]

    def _dtype(self, node: dict[str, Any]) -> Any:
        array = self._construct(node.get("content"))
        if type(array) is not np.ndarray:
            raise ModelFileError("The file describes a dtype by something other than an array.")
        return array.dtype

    def _slice(self, node: dict[str, Any]) -> Any:
        content = node.get("content")
        ends = [content.get(end) for end in ("start", "stop", "step")] if type(content) is dict else []
        return CONSTRUCTORS["builtins.slice"](*ends)


def _full_name(node: dict[str, Any]) -> str:
    module, name = node.get("__module__"), node.get("__class__")
    if type(module) is not str or type(name) is not str:
        raise ModelFileError("The file names a class by something other than text.")
    return f"{module}.{name}"


def _key(kind: Any, key: str) -> Any:
    if kind not in _KEY_TYPES:
        raise ModelFileError("The file has a dict whose keys are neither text nor numbers.")
    return kind(key)


def _json(_: SkopsFile, node: dict[str, Any]) -> Any:
    value = json.loads(node["content"])
    if value is not None and type(value) not in (str, int, float, bool):
        raise ModelFileError("The file describes a number or text by something else.")
    return value


def _read_npy(data: bytes) -> npt.NDArray[Any]:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(
        version
    )
    if read is None:
        raise ModelFileError("The file has an array in an unknown version of numpy's format.")
    shape, fortran, dtype = read(stream)
    return array_from_bytes(data[stream.tell() :], dtype, shape, "F" if fortran else "C")


def _object_array(items: list[Any], shape: Any) -> npt.NDArray[Any]:
    count = check_shape(shape)
    for length in shape[1:]:
        if not all(type(row) is list and len(row) == length for row in items):
            raise ModelFileError(f"The file has an array of shape {shape} that lists other elements.")
        items = [item for row in items for item in row]
    if len(items) != count:
        raise ModelFileError(f"The file has an array of shape {shape} that lists other elements.")
    array: npt.NDArray[Any] = np.empty(count, dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    shaped: npt.NDArray[Any] = array.reshape(shape)
    return shaped


_NODES: dict[str, Callable[[SkopsFile, dict[str, Any]], Any]] = {
    "BytearrayNode": lambda file, node: bytearray(file._member(node.get("file"))),
    "BytesNode": lambda file, node: file._member(node.get("file")),
    "ConstructorFromReduceNode": SkopsFile._object,
    "DTypeNode": SkopsFile._dtype,
    "DictNode": SkopsFile._dict,
    "FunctionNode": SkopsFile._named,
    "JsonNode": _json,
    "ListNode": SkopsFile._items,
    "LossNode": SkopsFile._compiled,
    "MaskedArrayNode": SkopsFile._record,
    "NdArrayNode": SkopsFile._array,
    "ObjectNode": SkopsFile._object,
    "PartialNode": SkopsFile._partial,
    "RandomGeneratorNode": SkopsFile._record,
    "RandomStateNode": SkopsFile._record,
    "SetNode": lambda file, node: {check_key(item) for item in file._items(node)},
    "SliceNode": SkopsFile._slice,
    "TreeNode": SkopsFile._compiled,
    "TupleNode": lambda file, node: tuple(file._items(node)),
    "TypeNode": SkopsFile._named,
}

"""Read the ``.rknn`` container: header, flatbuffer, JSON trailer.

Observation (rknn-toolkit2 2.2.0, 2.3.0, 2.3.2, 2.5.0; the package rknncli names the same parts)::

    0    "RKNN" and four zero bytes
    8    u64 format version (6)
    16   u64 length L of the flatbuffer
    24   40 zero bytes
    64   flatbuffer, identifier "RKNN"
    64+L u64 length, then that many bytes of JSON; the file ends there

The field numbers below were found by observation too; no schema is published.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from virtual_npu.arrays import Array
from virtual_npu.errors import FileFormatError, UnsupportedFormat
from virtual_npu.rknn_file.flatbuffer import Flatbuffer, Table
from virtual_npu.rknn_file.model_file import GRAPH_ENDS, Node, Relocation, RknnFile, Task, Tensor

_MAGIC: Final = b"RKNN\0\0\0\0"
_HEADER_SIZE: Final = 64
_FORMAT: Final = 6
_OLDER: Final = {
    1: "the 64-byte header and the graph of format 6 (toolkits of 2021 and 2022 wrote it)",
    2: "a register program and its tasks (the runtime compiled the model on the board)",
    4: "a precompiled register program as toolkits 1.5.1 and later write it",
}
_MAX_TRAILER: Final = 16 << 20
_MAX_BRACKETS: Final = 1 << 18  # of the trailer: an empty list takes 3 bytes there and 64 in memory
_MAX_DIMENSIONS: Final = 256  # a split weight repeats its native shape
_MAX_OPERANDS: Final = 4096

_DTYPES: Final = {1: "float32", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 10: "float16", 13: "raw"}
_LAYOUTS: Final = {0: "plain", 64: "NC1HWC2", 65: "weight"}
_KINDS: Final = {
    1: "input",
    2: "output",
    3: "internal",
    4: "constant",
    5: "host constant",
    6: "lookup table",
    8: "constant",
    9: "regcmd",
    10: "task",
}

_TASK_WORDS: Final = "flags op_idx enable_mask int_mask int_clear int_status regcfg_amount regcfg_offset"
# struct rknpu_task of Rockchip's kernel driver (include/uapi/drm/rknpu_ioctl.h), packed, 40 bytes.
_TASK: Final = np.dtype([(name, "<u4") for name in _TASK_WORDS.split()] + [("regcmd_addr", "<u8")])
_RELOCATION: Final = np.dtype([("addend", "<i4"), ("command", "<u4")])

_in_use: weakref.WeakValueDictionary[bytes, RknnFile] = weakref.WeakValueDictionary()
"""Files by the sha256 of their bytes."""


def read(source: str | os.PathLike[str] | bytes) -> RknnFile:
    """Read a ``.rknn`` file of format 6.

    Parameters
    ----------
    source : path or bytes
        The file, or its content.

    Returns
    -------
    RknnFile
        Its content; large parts are views of the file's bytes. While somebody holds it, the same bytes read
        again give the same object.

    Raises
    ------
    FileFormatError
        The bytes are truncated, damaged or no ``.rknn`` file.
    UnsupportedFormat
        A ``.rknn`` file of another format.
    OSError
        The path cannot be read.
    """
    data = _content(source)
    digest = hashlib.sha256(data).digest()
    file = _in_use.get(digest)
    if file is None:
        _in_use[digest] = file = _parse(data)
    return file


def read_graph(source: str | os.PathLike[str] | bytes) -> RknnFile:
    """Read the tensors, layers and metadata of an older file (format 2 to 5).

    The result has no constants, no program and no tasks. Observation: format 2 (compiler 1.4.2) has the same
    header and the same field numbers for tensors and layers, and no table of buffers; format 4 was not seen.

    Raises
    ------
    FileFormatError
        The bytes are truncated, damaged or no ``.rknn`` file.
    UnsupportedFormat
        Format 1, which has another header.
    """
    return _parse(_content(source), graph_only=True)


def _content(source: str | os.PathLike[str] | bytes) -> bytes:
    return source if isinstance(source, bytes) else Path(source).read_bytes()


def _parse(data: bytes, *, graph_only: bool = False) -> RknnFile:
    if len(data) < 24 or data[:8] != _MAGIC:
        raise FileFormatError("not a .rknn file: it does not start with 'RKNN' and four zero bytes")
    version, length = struct.unpack_from("<QQ", data, 8)
    if version != _FORMAT and not (graph_only and 2 <= version < _FORMAT):
        if version in _OLDER or version < _FORMAT:
            raise UnsupportedFormat(version, _OLDER.get(version, "what this reader knows of format 6"))
        raise FileFormatError(f"format version {version} is not one that is known")
    trailer_at = _HEADER_SIZE + length
    if trailer_at + 8 > len(data):
        raise FileFormatError(f"the flatbuffer of {length} bytes runs past the end: the file is truncated")
    (trailer_length,) = struct.unpack_from("<Q", data, trailer_at)
    if trailer_at + 8 + trailer_length != len(data) or trailer_length > _MAX_TRAILER:
        raise FileFormatError(f"the JSON trailer of {trailer_length} bytes does not end where the file does")
    metadata = _trailer(data[trailer_at + 8 :])
    root = Flatbuffer(memoryview(data)[_HEADER_SIZE:trailer_at]).root(b"RKNN")
    return _file(root, version, metadata)


def _trailer(raw: bytes) -> dict[str, Any]:
    if raw.count(b"{") + raw.count(b"[") > _MAX_BRACKETS:
        raise FileFormatError(f"the JSON trailer has more than {_MAX_BRACKETS} lists and objects")
    try:
        value = json.loads(raw)
        json.dumps(value)  # what nests too deep to be written again is refused here
    except (ValueError, RecursionError) as error:
        raise FileFormatError("the JSON trailer cannot be read") from error
    if not isinstance(value, dict):
        raise FileFormatError("the JSON trailer is no object")
    return value


def _file(root: Table, version: int, metadata: dict[str, Any]) -> RknnFile:
    """Read format 6, or the graph of an older one, which has no program."""
    graph = next(root.tables(2), None)
    if graph is None:
        raise FileFormatError("the file holds no graph")
    has_program = version == _FORMAT
    buffers = tuple(_bytes(table) for table in root.tables(20)) if has_program else ()
    tensors = tuple(
        _tensor(i, t, len(buffers) if has_program else None) for i, t in enumerate(graph.tables(0))
    )
    nodes = tuple(_node(i, table, len(tensors)) for i, table in enumerate(graph.tables(1)))
    registers, tasks, memory = np.zeros(0, np.uint64), np.zeros(0, _TASK), None
    if has_program:
        registers = _program(tensors, buffers, "regcmd", np.dtype("<u8"))
        tasks, memory = _program(tensors, buffers, "task", _TASK), root.table(19)
    else:
        nodes = tuple(replace(node, task_counts=(0,) * 6) for node in nodes)
    file = RknnFile(
        format_version=version,
        compiler=root.text(7),
        target_platform=root.text(8),
        framework=root.text(9),
        custom_string=root.text(11),
        generator=root.text(3),
        tensors=tensors,
        nodes=nodes,
        input_indices=_indices(graph, 2, len(tensors)),
        output_indices=_indices(graph, 3, len(tensors)),
        buffers=buffers,
        registers=registers,
        task_table=_tasks(tasks, len(registers), len(nodes)),
        relocations=_relocations(graph, len(registers)) if has_program else (),
        internal_memory=memory.u64(1) if memory else 0,
        metadata=metadata,
    )
    for cores in (1, 2, 3):
        file.tasks(cores)
    return file


def _bytes(table: Table) -> npt.NDArray[np.uint8]:
    return table.vector(0, np.uint8).view(np.uint8)


def _indices(table: Table, field: int, limit: int, dropped: int | None = None) -> tuple[int, ...]:
    values = tuple(v for v in table.integers(field, _MAX_OPERANDS) if v != dropped)
    if any(not 0 <= v < limit for v in values):
        raise FileFormatError(f"a tensor index in {values} is outside the table of {limit}")
    return values


def _first(values: npt.NDArray[np.generic]) -> Any:
    return values[0].item() if len(values) else None


def _tensor(index: int, table: Table, buffers: int | None) -> Tensor:
    dtype, layout, kind = table.u8(0), table.u8(1), table.u8(2)
    buffer = 0 if buffers is None else table.u32(18)
    if buffer and buffer >= (buffers or 0):
        raise FileFormatError(f"tensor {index} names buffer {buffer} of {buffers}")
    return Tensor(
        index=index,
        name=table.text(5),
        dtype=_DTYPES.get(dtype, f"code {dtype}"),
        layout=_LAYOUTS.get(layout, f"layout {layout}"),
        kind=_KINDS.get(kind, f"kind {kind}"),
        native_shape=_shape(table, 3),
        shape=_shape(table, 4),
        scale=_first(table.vector(10, "<f4")),
        zero_point=_first(table.vector(11, "<i4")),
        size=table.u32(12),
        pool_offset=table.u32(13),
        buffer=buffer,
    )


def _shape(table: Table, field: int) -> tuple[int, ...]:
    shape = table.integers(field, _MAX_DIMENSIONS)
    if any(n < 0 for n in shape):
        raise FileFormatError(f"a tensor's shape is {shape}")
    return shape


def _node(index: int, table: Table, tensors: int) -> Node:
    kind, target = table.text(1), table.u8(3)
    counts = table.integers(10, _MAX_DIMENSIONS)
    if any(n < 0 for n in counts):
        raise FileFormatError(f"layer {index} has task counts {counts}")
    # Observation: 2 is the NPU, 0 the host (also for the graph's ends); 1 has not been seen.
    if target not in (0, 1, 2):
        raise FileFormatError(f"layer {index} runs on target {target}, which is not known")
    return Node(
        index=index,
        name=table.text(2),
        type=kind,
        placement="NPU" if target == 2 else "none" if kind in GRAPH_ENDS else "CPU",
        inputs=_indices(table, 4, tensors),
        # Observation: 2.5.0's Split has -1 for a result that nothing takes.
        outputs=_indices(table, 5, tensors, -1),
        task_counts=(counts + (0,) * 6)[:6],
    )


def _program(
    tensors: tuple[Tensor, ...], buffers: tuple[npt.NDArray[np.uint8], ...], kind: str, dtype: np.dtype[Any]
) -> Array:
    parts = [buffers[t.buffer] for t in tensors if t.kind == kind]
    if not parts:
        return np.zeros(0, dtype)
    if len(parts) > 1 or len(parts[0]) % dtype.itemsize:
        raise FileFormatError(f"{len(parts)} '{kind}' tensors, the first of {len(parts[0])} bytes")
    values: Array = np.frombuffer(parts[0].tobytes(), dtype)
    return values


def _tasks(table: Array, commands: int, nodes: int) -> tuple[Task, ...]:
    tasks: list[Task] = []
    for row in table.tolist():
        _flags, node, enable, int_mask, int_clear, _status, count, offset, address = row
        # Observation: `offset` counts a layer's commands up to the task where it has several with one set of
        # tables (RK3566, RK3568); the address says the same from the program's start, and is what is used.
        start, rest = divmod(address, 8)
        if rest or offset > start or start + count > commands or node >= nodes:
            raise FileFormatError(
                f"task {len(tasks)}: {count} commands from byte {address} (+{offset}) of layer {node}, in a "
                f"program of {commands} commands and {nodes} layers"
            )
        tasks.append(Task(node, enable, int_mask, int_clear, start, count))
    return tuple(tasks)


def _relocations(graph: Table, commands: int) -> tuple[Relocation, ...]:
    relocations = []
    allowed = commands + 1  # each command takes at most one address, or the table is not to be believed
    for table in graph.tables(7):
        name, entries = table.text(0), table.vector(1, _RELOCATION)
        allowed -= len(entries)
        if allowed < 0:
            raise FileFormatError("more relocations than register commands")
        for addend, command in entries.tolist():
            if command >= commands:
                raise FileFormatError(f"relocation of '{name}' names command {command} of {commands}")
            relocations.append(Relocation(name, addend, command))
    return tuple(relocations)

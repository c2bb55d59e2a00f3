"""Write flatbuffers and the container of ``.rknn`` files, sharing no code with the reader."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# ("u8" or "u32" or "u64", int), ("vector", items, bytes), str, a dict for a table, a list of dicts for many
Value = Any


def u8(value: int) -> Value:
    return ("u8", value)


def u32(value: int) -> Value:
    return ("u32", value)


def u64(value: int) -> Value:
    return ("u64", value)


def vector(array: Array) -> Value:
    return ("vector", len(array), array.tobytes())


def ints(values: Sequence[int]) -> Value:
    return vector(np.array(values, "<i4"))


class _Builder:
    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, to: int) -> None:
        self.data += bytes(-len(self.data) % to)

    def point(self, at: int) -> None:
        struct.pack_into("<I", self.data, at, len(self.data) - at)

    def table(self, fields: dict[int, Value]) -> None:
        """Write a vtable and its table; the table is where the data stood, rounded up, plus the vtable."""
        count = max(fields, default=-1) + 1
        offsets, size = [0] * count, 4
        for number, value in sorted(fields.items()):
            width = {"u8": 1, "u64": 8}.get(value[0], 4) if isinstance(value, tuple) else 4
            size += -size % width
            offsets[number] = size
            size += width
        vtable = len(self.data)
        self.data += struct.pack(f"<HH{count}H", 4 + 2 * count, size, *offsets)
        self.align(4)
        start = len(self.data)
        self.data += struct.pack("<i", start - vtable) + bytes(size - 4)
        for number, value in sorted(fields.items()):
            self._field(start + offsets[number], value)

    def _field(self, at: int, value: Value) -> None:
        if isinstance(value, tuple) and value[0] != "vector":
            struct.pack_into({"u8": "<B", "u32": "<I", "u64": "<Q"}[value[0]], self.data, at, value[1])
        elif isinstance(value, dict):
            self._child(at, value)
        elif isinstance(value, list):
            self.align(4)
            self.point(at)
            self.data += struct.pack("<I", len(value)) + bytes(4 * len(value))
            first = len(self.data) - 4 * len(value)
            for i, child in enumerate(value):
                self._child(first + 4 * i, child)
        else:
            count, raw = (value[1], value[2]) if isinstance(value, tuple) else (len(value), value.encode())
            self.align(4)
            self.point(at)
            self.data += struct.pack("<I", count) + raw

    def _child(self, at: int, fields: dict[int, Value]) -> None:
        self.align(4)
        count = max(fields, default=-1) + 1
        target = len(self.data) + 4 + 2 * count + -(4 + 2 * count) % 4
        struct.pack_into("<I", self.data, at, target - at)
        self.table(fields)


def flatbuffer(root: dict[int, Value], identifier: bytes = b"RKNN") -> bytes:
    builder = _Builder()
    builder.data += bytes(4) + identifier
    builder._child(0, root)
    return bytes(builder.data)


def container(body: bytes, trailer: bytes = b'{"version": "test"}', version: int = 6) -> bytes:
    head = b"RKNN" + bytes(4) + struct.pack("<QQ", version, len(body)) + bytes(40)
    return head + body + struct.pack("<Q", len(trailer)) + trailer

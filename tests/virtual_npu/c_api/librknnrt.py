"""Rockchip's C API through ctypes, as the tests call it: our own library, compiled into a folder."""

from __future__ import annotations

import ctypes as c
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scirknn.devices.native.declarations import (
    NHWC,
    SIGNATURES,
    Input,
    Memory,
    Output,
    TensorAttribute,
)

Array = npt.NDArray[Any]

SOURCES = Path(__file__).parents[3] / "virtual_npu" / "librknnrt"
TYPES = {"float32": 0, "float16": 1, "int8": 2, "uint8": 3, "int16": 4, "uint16": 5, "int32": 6, "uint32": 7}
TYPES |= {"int64": 8, "bool": 9}


class InitExtend(c.Structure):
    _fields_ = (
        ("ctx", c.c_uint64),
        ("real_model_offset", c.c_int32),
        ("real_model_size", c.c_uint32),
        ("model_buffer_fd", c.c_int32),
        ("model_buffer_flags", c.c_uint32),
        ("reserved", c.c_uint8 * 112),
    )


_CONTEXT, _SOME_MEMORY = c.c_uint64, c.POINTER(Memory)
_SIGNATURES: dict[str, tuple[list[Any], Any]] = {
    **SIGNATURES,
    "rknn_set_batch_core_num": ([_CONTEXT, c.c_int], c.c_int),
    "rknn_set_input_shapes": ([_CONTEXT, c.c_uint32, c.c_void_p], c.c_int),
    "rknn_wait": ([_CONTEXT, c.c_void_p], c.c_int),
    "rknn_create_mem2": ([_CONTEXT, c.c_uint64, c.c_uint64], _SOME_MEMORY),
    "rknn_create_mem_from_fd": (
        [_CONTEXT, c.c_int32, c.c_void_p, c.c_uint32, c.c_int32],
        _SOME_MEMORY,
    ),
    "rknn_set_weight_mem": ([_CONTEXT, _SOME_MEMORY], c.c_int),
    "rknn_set_internal_mem": ([_CONTEXT, _SOME_MEMORY], c.c_int),
}


def missing(compiler: str = "gcc") -> str:
    """What compiling needs and is not here, in words; empty when nothing is."""
    absent = [name for name in (compiler, "make") if not shutil.which(name)]
    return f"{' and '.join(absent)} not found: librknnrt.so cannot be compiled" if absent else ""


def build(folder: Path, compiler: str = "gcc", flags: str = "-O2") -> Path:
    settings = [f"BUILD={folder}", f"CC={compiler}", f"CFLAGS={flags}"]
    subprocess.run(["make", "-s", "-C", os.fspath(SOURCES), *settings], check=True)
    return folder / "librknnrt.so"


@contextmanager
def serving(socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "virtual_npu.c_api.server", os.fspath(socket), "--while-stdin"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the server ended before it was ready"
        yield process
    finally:
        process.kill()
        process.communicate()


def load(path: Path) -> Any:
    library = c.CDLL(os.fspath(path))
    for name, (arguments, result) in _SIGNATURES.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, result
    return library


class Context:
    """One context; every method but those that return data gives the library's code."""

    def __init__(self, library: Any, model: bytes | None = None, flags: int = 0) -> None:
        self.library = library
        self.id = c.c_uint64(0)
        self.code = 0
        if model is not None:
            self.code = library.rknn_init(c.byref(self.id), model, len(model), flags, None)

    def close(self) -> int:
        return int(self.library.rknn_destroy(self.id))

    def query(self, command: int, size: int, start: bytes = b"") -> tuple[int, bytes]:
        room = c.create_string_buffer(start, size)
        return int(self.library.rknn_query(self.id, command, room, size)), room.raw

    def attr(self, command: int, index: int = 0) -> TensorAttribute:
        attr = TensorAttribute(index=index)
        assert self.library.rknn_query(self.id, command, c.byref(attr), c.sizeof(attr)) == 0
        return attr

    def set_input(self, data: Array, fmt: int = NHWC, pass_through: bool = False, **other: int) -> int:
        data = np.ascontiguousarray(data)
        fields = {"index": 0, "size": data.nbytes, "type": TYPES[data.dtype.name]} | other
        given = Input(buf=data.ctypes.data, fmt=fmt, pass_through=pass_through, **fields)
        return int(self.library.rknn_inputs_set(self.id, 1, c.byref(given)))

    def run(self) -> int:
        return int(self.library.rknn_run(self.id, None))

    def output(self, dtype: str = "float32") -> Array:
        got = Output(want_float=dtype == "float32")
        assert self.library.rknn_outputs_get(self.id, 1, c.byref(got), None) == 0
        values: Array = np.frombuffer(c.string_at(got.buf, got.size), dtype).copy()
        assert self.library.rknn_outputs_release(self.id, 1, c.byref(got)) == 0
        return values

    def infer(self, data: Array, dtype: str = "float32", **how: Any) -> Array:
        assert self.set_input(data, **how) == 0
        assert self.run() == 0
        return self.output(dtype)

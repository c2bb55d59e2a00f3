"""A context of the C API: one model, its inputs and outputs."""

from __future__ import annotations

import contextlib
import secrets
import struct
import time
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from virtual_npu.arrays import Array
from virtual_npu.c_api.host_data import (
    NC1HWC2,
    NCHW,
    NHWC,
    TYPES,
    UNDEFINED,
    host_from_stored,
    host_size,
    stored_from_host,
)
from virtual_npu.errors import FileFormatError, InputError, UnsupportedFormat, UnsupportedProgram
from virtual_npu.execute.virtual_npu import VirtualNpu
from virtual_npu.rknn_file.model_file import RknnFile, Tensor
from virtual_npu.rknn_file.reader import read

MODEL_LIMIT: Final = 1 << 28
"""Largest model file taken, bytes."""

# Codes of Rockchip's C API, reference guide, "RKNN error codes".
FAIL: Final = -1
MALLOC_FAIL: Final = -4
_PARAM, _MODEL, _INPUT, _OUTPUT, _PLATFORM = -5, -6, -8, -9, -13

# Requests, as ``librknnrt/exchange.h`` numbers them.
_LOAD, _JOIN, _CORES, _INPUT_SET, _RUN, _OUTPUT_GET = range(1, 7)
_SMALL: Final = 64  # bytes; more than any request needs but a model or an input

_CORES_OF_MASK: Final = {0: 1, 1: 1, 2: 1, 4: 1, 3: 2, 7: 3, 0xFFFF: 3}  # RKNN_NPU_CORE_*
_ATTRIBUTES: Final = struct.Struct("<II16I256sII3ib3xif2IB3xI")  # rknn_tensor_attr
_AFFINE: Final = 2  # RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC


class Refused(Exception):
    """A request that gets a `code` of the C API other than 0."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)  # not slotted: contexts share it by weak reference
class Model:
    """A model file and the secret by which another context may share it."""

    key: bytes
    file: RknnFile


class Context:
    """One context, for one caller at a time.

    `models` are those that other contexts have loaded.
    """

    def __init__(self, models: MutableMapping[bytes, Model]) -> None:
        self._models = models
        self._model: Model | None = None
        self._npu: VirtualNpu | None = None
        self._cores = 1
        self._inputs: dict[int, Array] = {}
        self._outputs: list[Array] = []

    @property
    def has_model(self) -> bool:
        """Whether the caller has shown that it is one: it may be idle from then on."""
        return self._model is not None

    def limit(self, operation: int) -> int:
        """Return how many bytes of payload a request may have."""
        if operation == _LOAD:
            return MODEL_LIMIT
        if operation == _INPUT_SET and self._model:
            # Nothing is wider than 8 bytes, no layout larger than both of the tensor's shapes.
            sizes = (_elements(tensor) for tensor in self._model.file.inputs)
            return _SMALL + 8 * max(sizes, default=0)
        return _SMALL

    def answer(self, operation: int, size: int, payload: bytearray | None) -> bytes:
        """Do what a request asks for.

        `size` is the length of the payload as it was sent, which is None when it is longer than `limit`.

        Raises
        ------
        Refused
        """
        if operation in (_LOAD, _JOIN):
            if self._model:
                raise Refused(_PARAM, "this context has a model already")
            if payload is None:
                raise Refused(_MODEL, f"a model of {size} bytes is more than {MODEL_LIMIT}")
            return self._open(operation, payload)
        if not self._model or not self._npu:
            raise Refused(_PARAM, "no model has been loaded")
        if operation == _INPUT_SET:
            return self._set_input(self._model.file, size, payload)
        if payload is None:
            raise Refused(_PARAM, f"{size} bytes are too many for request {operation}")
        if operation == _CORES:
            return self._set_cores(self._model.file, payload)
        if operation == _RUN:
            return self._run(self._model.file, self._npu)
        if operation == _OUTPUT_GET:
            return self._get_output(self._model.file, payload)
        raise Refused(_PARAM, f"there is no request {operation}")

    def _open(self, operation: int, payload: bytearray) -> bytes:
        if operation == _JOIN:
            model = self._models.get(bytes(payload))
            if model is None:
                raise Refused(_PARAM, "no such model is loaded")
        else:
            with _model_refused():
                model = Model(secrets.token_bytes(16), read(bytes(payload)))
            platform = model.file.target_platform.lower()
            if not platform.startswith("rk3588"):
                raise Refused(_PLATFORM, f"the model is for {platform!r}, this is an rk3588")
        with _model_refused():
            self._npu = VirtualNpu(model.file, self._cores)
            description = _description(model)
        self._model = model
        self._models[model.key] = model
        return description

    def _set_cores(self, file: RknnFile, payload: bytearray) -> bytes:
        (mask,) = _fields(payload, 1)
        if mask not in _CORES_OF_MASK:
            raise Refused(_PARAM, f"{mask:#x} is no core mask of an rk3588")
        if _CORES_OF_MASK[mask] != self._cores:
            with _model_refused():
                self._npu = VirtualNpu(file, _CORES_OF_MASK[mask])
            self._cores = _CORES_OF_MASK[mask]
        return b""

    def _set_input(self, file: RknnFile, size: int, payload: bytearray | None) -> bytes:
        if payload is None:
            raise Refused(_INPUT, f"{size} bytes are too many for any input")
        index, code, layout, pass_through = _fields(payload[:16], 4)
        if index >= len(file.inputs):
            raise Refused(_INPUT, f"there is no input {index}")
        tensor = file.inputs[index]
        if pass_through:
            dtype = np.dtype(tensor.dtype)  # stored values, whatever the type says
        elif code < len(TYPES):
            dtype = TYPES[code]
        else:
            raise Refused(_INPUT, f"type {code} is not converted for '{tensor.name}'")
        if layout == UNDEFINED:
            layout = _nhwc_layout(tensor)
        try:
            self._inputs[index] = stored_from_host(payload[16:], tensor, dtype, layout)
        except InputError as error:
            raise Refused(_INPUT, str(error)) from error
        return b""

    def _run(self, file: RknnFile, npu: VirtualNpu) -> bytes:
        missing = [tensor.name for i, tensor in enumerate(file.inputs) if i not in self._inputs]
        if missing:
            raise Refused(_INPUT, f"the input '{missing[0]}' has not been set")
        started = time.perf_counter()
        try:
            self._outputs = [npu.run_native(self._inputs[0])]
        except UnsupportedProgram as error:
            raise Refused(FAIL, str(error)) from error
        return struct.pack("<q", round((time.perf_counter() - started) * 1e6))

    def _get_output(self, file: RknnFile, payload: bytearray) -> bytes:
        index, code, layout = _fields(payload, 3)
        if index >= len(self._outputs):
            raise Refused(_OUTPUT, f"there is no output {index}, or the model has not been run")
        if code >= len(TYPES):
            raise Refused(_OUTPUT, f"no output comes as type {code}")
        try:
            return host_from_stored(self._outputs[index], file.outputs[index], TYPES[code], layout)
        except InputError as error:
            raise Refused(_OUTPUT, str(error)) from error


@contextlib.contextmanager
def _model_refused() -> Iterator[None]:
    """Turn what the reader and the executor say of a model into a code."""
    try:
        yield
    except (FileFormatError, UnsupportedFormat, struct.error) as error:  # the last: numbers beyond 32 bits
        raise Refused(_MODEL, str(error)) from error
    except UnsupportedProgram as error:
        raise Refused(FAIL, str(error)) from error


def _fields(payload: bytes | bytearray, count: int) -> tuple[int, ...]:
    if len(payload) != 4 * count:
        raise Refused(_PARAM, f"a request of {len(payload)} bytes where {4 * count} are needed")
    return struct.unpack(f"<{count}I", payload)


def _elements(tensor: Tensor) -> int:
    return int(max(np.prod(tensor.shape, dtype=np.int64), np.prod(tensor.native_shape, dtype=np.int64)))


def _nhwc_layout(tensor: Tensor) -> int:
    """Return the layout that the runtime reports for an input, and for either where NHWC is asked for."""
    return NHWC if len(tensor.shape) == 4 else UNDEFINED


def _description(model: Model) -> bytes:
    """Return a description (``librknnrt/context.h``) and every tensor's attributes."""
    file = model.file
    weights = sum(len(buffer) for buffer in file.buffers)
    head = struct.pack(
        "<16s4I1024s",
        model.key,
        len(file.inputs),
        len(file.outputs),
        weights,
        file.internal_memory,
        file.custom_string.encode(errors="replace")[:1023],
    )
    inputs = [
        _attributes(i, t, layout)
        for i, t in enumerate(file.inputs)
        for layout in (_nhwc_layout(t), NC1HWC2, _nhwc_layout(t))
    ]
    outputs = [
        _attributes(i, t, layout)
        for i, t in enumerate(file.outputs)
        for layout in (NCHW if len(t.shape) == 4 else UNDEFINED, NC1HWC2, _nhwc_layout(t))
    ]
    return head + b"".join(inputs + outputs)


def _attributes(index: int, tensor: Tensor, layout: int) -> bytes:
    shape: Sequence[int] = tensor.shape
    if layout == NC1HWC2 and len(tensor.native_shape) == 5:
        shape = tensor.native_shape
    elif layout == NC1HWC2:
        layout = _nhwc_layout(tensor)
    if layout == NHWC:
        shape = (shape[0], shape[2], shape[3], shape[1])
    if len(shape) > 16:
        raise Refused(_MODEL, f"'{tensor.name}' has {len(shape)} axes")
    dtype = np.dtype(tensor.dtype)
    size = host_size(tensor, dtype, layout)
    return _ATTRIBUTES.pack(
        index,
        len(shape),
        *shape,
        *(0,) * (16 - len(shape)),
        tensor.name.encode(errors="replace")[:255],
        size // dtype.itemsize,
        size,
        layout,
        TYPES.index(dtype),
        0 if tensor.scale is None else _AFFINE,
        0,
        tensor.zero_point or 0,
        1.0 if tensor.scale is None else tensor.scale,
        0,
        size,
        0,
        0,
    )

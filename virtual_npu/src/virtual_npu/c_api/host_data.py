"""Convert between a caller's bytes and stored values, as the vendor does.

Types and layouts are those of Rockchip's C API (its reference guide, "RKNN tensor type" and "format").
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from virtual_npu.arrays import Array
from virtual_npu.errors import InputError
from virtual_npu.execute.quantization import dequantize, quantize
from virtual_npu.rknn_file.model_file import Tensor

TYPES: Final = tuple(
    np.dtype(name)
    for name in (
        "float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool"
    )
)  # fmt: skip
"""``RKNN_TENSOR_*`` by number: each dtype at the place of its code."""

NCHW, NHWC, NC1HWC2, UNDEFINED = range(4)
"""``RKNN_TENSOR_*`` formats; UNDEFINED is the model's own order of axes, for tensors without four of them."""


def host_size(tensor: Tensor, dtype: np.dtype[Any], layout: int) -> int:
    """Return how many bytes a tensor takes outside the model."""
    shape = tensor.native_shape if layout == NC1HWC2 else tensor.shape
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize


def stored_from_host(data: bytes | bytearray, tensor: Tensor, dtype: np.dtype[Any], layout: int) -> Array:
    """Convert a caller's data to stored values, in the tensor's logical shape.

    The tensor's own type is taken as stored values; any other `dtype` as real numbers, which are quantized
    where the tensor is: ``rint(x / scale) + zero_point``, saturated.

    Raises
    ------
    InputError
        The data have another size, or the tensor has no such layout.
    """
    if layout not in _layouts(tensor):
        raise InputError(f"format {layout} does not exist for '{tensor.name}' of shape {tensor.shape}")
    expected = host_size(tensor, dtype, layout)
    if len(data) != expected:
        raise InputError(f"'{tensor.name}' takes {expected} bytes of {dtype}, {len(data)} were given")
    values = np.frombuffer(data, dtype)
    if layout == NHWC:
        batch, channels, height, width = tensor.shape
        values = values.reshape(batch, height, width, channels).transpose(0, 3, 1, 2)
    elif layout == NC1HWC2:
        batch, groups, height, width, group = tensor.native_shape
        values = values.reshape(tensor.native_shape).transpose(0, 1, 4, 2, 3)
        values = values.reshape(batch, groups * group, height, width)[:, : tensor.shape[1]]
    else:
        values = values.reshape(tensor.shape)
    return _stored(values, tensor)


def host_from_stored(values: Array, tensor: Tensor, dtype: np.dtype[Any], layout: int) -> bytes:
    """Convert a model's output to what a caller wants.

    `values` are stored ones, in the logical shape. `dtype` is the tensor's own for stored values, or
    float32 for real numbers.

    Raises
    ------
    InputError
        It cannot be had in that type or layout.
    """
    if layout not in _layouts(tensor):
        raise InputError(f"format {layout} does not exist for '{tensor.name}' of shape {tensor.shape}")
    if dtype == np.float32:
        values = dequantize(values, tensor)
    elif dtype != values.dtype:
        raise InputError(f"'{tensor.name}' comes as {values.dtype} or float32, not as {dtype}")
    if layout == NHWC:
        values = values.transpose(0, 2, 3, 1)
    elif layout == NC1HWC2:
        batch, groups, height, width, group = tensor.native_shape
        full = np.zeros((batch, groups * group, height, width), values.dtype)
        full[:, : tensor.shape[1]] = values
        values = full.reshape(batch, groups, group, height, width).transpose(0, 1, 3, 4, 2)
    return values.tobytes()


def _layouts(tensor: Tensor) -> tuple[int, ...]:
    if len(tensor.shape) != 4:
        return (UNDEFINED,)
    native = tensor.native_shape
    fits = len(native) == 5 and (native[0], *native[2:4]) == (tensor.shape[0], *tensor.shape[2:])
    padded = fits and native[1] * native[4] >= tensor.shape[1]
    return (NCHW, NHWC, NC1HWC2) if padded else (NCHW, NHWC)


def _stored(values: Array, tensor: Tensor) -> Array:
    dtype = np.dtype(tensor.dtype)
    if values.dtype == dtype:
        return np.ascontiguousarray(values)
    if dtype.kind != "f":
        return quantize(np.ascontiguousarray(values), tensor)
    with np.errstate(over="ignore"):  # to infinity
        return np.ascontiguousarray(values).astype(dtype)

"""Between real numbers and the integers that a quantized tensor stores."""

from __future__ import annotations

import numpy as np

from virtual_npu.arrays import Array, Float32Array
from virtual_npu.rknn_file.model_file import Tensor


def quantize(values: Array, tensor: Tensor) -> Array:
    """Quantize to the tensor's integer type.

    It is ``round(value / scale) + zero point``, saturated. Rounding is to nearest, halves to even, in
    float32. NaN, which no integer can hold, becomes 0.
    """
    dtype = np.dtype(tensor.dtype)
    limits = np.iinfo(dtype)
    with np.errstate(over="ignore"):  # to infinity, which then saturates
        scaled = np.rint(values.astype(np.float32) / np.float32(tensor.scale or 1)) + (tensor.zero_point or 0)
    stored: Array = np.nan_to_num(np.clip(scaled, limits.min, limits.max)).astype(dtype)
    return stored


def dequantize(values: Array, tensor: Tensor) -> Float32Array:
    """Return ``(stored - zero point) * scale`` in float32; floats as they are."""
    real: Float32Array = values.astype(np.float32, copy=False)
    if values.dtype.kind != "f" and tensor.scale is not None:
        real = (real - np.float32(tensor.zero_point or 0)) * np.float32(tensor.scale)
    return real

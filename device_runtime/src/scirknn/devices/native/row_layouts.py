"""Between rows of float32 and a bound tensor's memory, for any number of threads.

One row in NC1HWC2 is the row itself, padded. N rows are C1 planes of N atoms, 16 bytes each (C2 channels, one
row): to lay them out is to transpose atoms, which complex128, 16 bytes wide, carries as they are.
"""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Array, Float32Array
from scirknn.devices.native.declarations import (
    AFFINE,
    DTYPES,
    FIXED_POINT,
    NC1HWC2,
    NOT_QUANTIZED,
    TensorAttribute,
)

_ATOM = np.dtype(np.complex128)


def unexpected_layout(attribute: TensorAttribute, rows: int, columns: int) -> str:
    """Say how a native attribute differs from what this module lays out; empty where it does not.

    Expected is ``[1, C1, rows, 1, C2]`` or ``[1, C1, 1, rows, C2]`` in atoms of 16 bytes, with room for
    `columns` and no padding between planes.
    """
    dims = tuple(attribute.dims[: attribute.n_dims])
    dtype = DTYPES.get(attribute.type)
    if attribute.fmt != NC1HWC2 or len(dims) != 5 or dtype is None:
        return f"format {attribute.fmt}, type {attribute.type}, shape {dims}"
    batch, planes, height, width, channels = dims
    if batch != 1 or height * width != rows or planes * channels < columns:
        return f"shape {dims} for {rows} rows of {columns}"
    size = planes * rows * channels * dtype.itemsize
    if channels * dtype.itemsize != _ATOM.itemsize or attribute.size_with_stride != size:
        return f"{attribute.size_with_stride} bytes for shape {dims} of {dtype}"
    quantized = (AFFINE, FIXED_POINT) if dtype.kind == "i" else (NOT_QUANTIZED,)
    return "" if attribute.qnt_type in quantized else f"quantization {attribute.qnt_type} of {dtype}"


class FloatRows:
    """An input bound as float32 in NHWC: the same bytes as rows, which the library converts."""

    def __init__(self, rows: int, columns: int) -> None:
        self.size = 4 * rows * columns

    def write(self, rows: Float32Array, memory: Array) -> None:
        """Write rows of float32, shape (N, C), to memory of uint8."""
        memory[: self.size].view(np.float32).reshape(rows.shape)[...] = rows


class FloatAnswers:
    """An output bound as float32 in NCHW, which the library converts to."""

    def __init__(self, rows: int, columns: int) -> None:
        self._shape, self._size = (columns, rows), 4 * rows * columns

    def read(self, memory: Array) -> Float32Array:
        """Return the rows of float32, shape (N, K), of memory of uint8; they are the caller's."""
        rows: Float32Array = memory[: self._size].view(np.float32).reshape(self._shape).T.copy()
        return rows


class _NativeTensor:
    """A tensor of N rows in NC1HWC2, beside an array of its rows; those of one row are its memory itself."""

    def __init__(self, attribute: TensorAttribute, rows: int, columns: int) -> None:
        self.dtype = DTYPES[attribute.type]
        self.size, self.rows, self.columns = attribute.size_with_stride, rows, columns
        by_power = attribute.qnt_type == FIXED_POINT
        self.is_quantized = self.dtype.kind == "i"
        self.scale = np.float32(2.0**-attribute.fl if by_power else attribute.scale)
        self.zero_point = np.float32(0 if by_power else attribute.zp)

    def planes(self, memory: Array) -> Array:
        """Return memory as atoms, shape (C1, N)."""
        planes: Array = memory[: self.size].view(_ATOM).reshape(-1, self.rows)
        return planes


class NativeRows(_NativeTensor):
    """An input in the NPU's own type and layout: numpy casts or quantizes."""

    def write(self, rows: Float32Array, memory: Array) -> None:
        """Write rows of float32, shape (N, C), to memory of uint8 whose channels of padding are 0.

        Integers are ``rint(row / scale) + zero point`` in float32, saturated, as the library computes them.
        """
        is_one_row, bare = self.rows == 1, memory[: self.size]
        stored = (
            (bare if is_one_row else np.zeros(self.size, np.uint8)).view(self.dtype).reshape(self.rows, -1)
        )
        with np.errstate(over="ignore"):  # to infinity, as the library casts; integers saturate
            stored[:, : self.columns] = self._quantized(rows) if self.is_quantized else rows
        if not is_one_row:
            self.planes(memory)[...] = stored.view(_ATOM).T

    def _quantized(self, rows: Float32Array) -> Float32Array:
        limits = np.iinfo(self.dtype)
        scaled = np.divide(rows, self.scale)
        np.rint(scaled, out=scaled)
        if self.zero_point:
            scaled += self.zero_point
        np.maximum(scaled, np.float32(limits.min), out=scaled)
        quantized: Float32Array = np.minimum(scaled, np.float32(limits.max), out=scaled)
        return quantized


class NativeAnswers(_NativeTensor):
    """An output in the NPU's own type and layout: numpy converts."""

    def read(self, memory: Array) -> Float32Array:
        """Return the rows of float32, shape (N, K), of memory of uint8; they are the caller's.

        Of integers ``(q - zero point) * scale`` in float32, as the library computes it.
        """
        atoms = np.ascontiguousarray(self.planes(memory).T)
        answer: Float32Array = atoms.view(self.dtype)[:, : self.columns].astype(np.float32)
        if self.is_quantized:
            if self.zero_point:
                answer -= self.zero_point
            answer *= self.scale
        return answer

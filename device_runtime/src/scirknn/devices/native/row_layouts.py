"""Between rows of float32 and a bound tensor's memory.

One row in NC1HWC2 is the row itself, padded. N rows are C1 planes of N atoms, 16 bytes each (C2 channels, one
row): to lay them out is to transpose atoms, which complex128, 16 bytes wide, carries as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scirknn.devices.native.declarations import (
    AFFINE,
    DTYPES,
    FIXED_POINT,
    NC1HWC2,
    NOT_QUANTIZED,
    TensorAttribute,
)

if TYPE_CHECKING:
    from scirknn.arrays import Array, Float32Array

__all__ = ["FloatAnswers", "FloatRows", "NativeAnswers", "NativeRows", "unexpected_layout"]

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

    def __init__(self, data: Array, rows: int, columns: int) -> None:
        self._rows = data[: 4 * rows * columns].view(np.float32).reshape(rows, columns)

    def write(self, rows: Float32Array) -> None:
        """Write rows of float32, shape (N, C)."""
        self._rows[...] = rows


class FloatAnswers:
    """An output bound as float32 in NCHW, which the library converts to."""

    def __init__(self, data: Array, rows: int, columns: int) -> None:
        self._columns = data[: 4 * rows * columns].view(np.float32).reshape(columns, rows)

    def read(self) -> Float32Array:
        """Return rows of float32, shape (N, K), that are the caller's."""
        rows: Float32Array = self._columns.T.copy()
        return rows


class _Planes:
    """A tensor's memory in NC1HWC2 beside an array of rows; for one row they are the same."""

    def __init__(self, attribute: TensorAttribute, data: Array, rows: int) -> None:
        dtype = DTYPES[attribute.type]
        memory = data[: attribute.size_with_stride]
        self.planes = memory.view(_ATOM).reshape(-1, rows)
        width = len(self.planes) * _ATOM.itemsize // dtype.itemsize
        self.is_one_row = rows == 1
        self.rows = memory.view(dtype).reshape(1, -1) if self.is_one_row else np.zeros((rows, width), dtype)
        self.atoms = self.rows.view(_ATOM)
        by_power = attribute.qnt_type == FIXED_POINT
        self.is_quantized = dtype.kind == "i"
        self.scale = np.float32(2.0**-attribute.fl if by_power else attribute.scale)
        self.zero_point = np.float32(0 if by_power else attribute.zp)


class NativeRows:
    """An input in the NPU's own type and layout: numpy casts or quantizes."""

    def __init__(self, attribute: TensorAttribute, data: Array, rows: int, columns: int) -> None:
        self._tensor = tensor = _Planes(attribute, data, rows)
        tensor.rows[...] = 0  # channels of padding stay 0
        self._columns = tensor.rows[:, :columns]
        if tensor.is_quantized:
            limits = np.iinfo(tensor.rows.dtype)
            self._least, self._greatest = np.float32(limits.min), np.float32(limits.max)
            self._scaled = np.empty((rows, columns), np.float32)

    def write(self, rows: Float32Array) -> None:
        """Write rows of float32, shape (N, C).

        Integers are ``rint(row / scale) + zero point`` in float32, saturated, as the library computes them.
        """
        tensor = self._tensor
        with np.errstate(over="ignore"):  # to infinity, as the library casts; integers saturate
            if tensor.is_quantized:
                scaled = np.divide(rows, tensor.scale, out=self._scaled)
                np.rint(scaled, out=scaled)
                if tensor.zero_point:
                    scaled += tensor.zero_point
                np.maximum(scaled, self._least, out=scaled)
                np.minimum(scaled, self._greatest, out=scaled)
                rows = scaled
            self._columns[...] = rows
        if not tensor.is_one_row:
            tensor.planes[...] = tensor.atoms.T


class NativeAnswers:
    """An output in the NPU's own type and layout: numpy converts."""

    def __init__(self, attribute: TensorAttribute, data: Array, rows: int, columns: int) -> None:
        self._tensor = _Planes(attribute, data, rows)
        self._columns = self._tensor.rows[:, :columns]

    def read(self) -> Float32Array:
        """Return rows of float32, shape (N, K), that are the caller's.

        Of integers ``(q - zero point) * scale`` in float32, as the library computes it.
        """
        tensor = self._tensor
        if not tensor.is_one_row:
            tensor.atoms[...] = tensor.planes.T
        answer: Float32Array = self._columns.astype(np.float32)
        if tensor.is_quantized:
            if tensor.zero_point:
                answer -= tensor.zero_point
            answer *= tensor.scale
        return answer

"""How sums of float16 products are formed, of which the register program says nothing.

A product of two float16 values fits float32. Three rules for their sum:

``"exact"``
    The sum itself, rounded once to float32: what an accumulator wide enough gives, in whatever order. It is
    formed in float64, where BLAS may choose the order because nothing is lost: a row's products are multiples
    of one power of two and their sum stays below 2**53 of it. A row that spans more (its own values and
    the layer's weights tell) is summed in float64 channel after channel.
``"simulator"``
    The order in which the vendor's simulator sums, to compare bits with it: see `_simulator`.
``"fast"``
    float32 in whatever order BLAS takes: it depends on the library, its threads and the number of rows.

By the first two a row's sums depend on the row and the weights alone (the second: and on how many rows there
are), on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["SUMS", "SumRule", "Summation", "summation"]

SumRule = Literal["exact", "simulator", "fast"]
SUMS: Final = ("exact", "simulator", "fast")

_Array = npt.NDArray[Any]
_Halves = npt.NDArray[np.float16]
Summation = Callable[[_Array], _Array]
"""Rows, shape (points, channels), to sums, shape (points, kernels)."""

_LOWEST: Final = -24  # exponent of the least float16 above 0, of which every float16 is a multiple


def summation(rule: SumRule, weights: _Halves) -> Summation:
    """Return the function that sums rows of float16 times `weights`, shape (channels, kernels), to float32.

    The simulator's order depends on how many kernels there are: the model's own, none to fill up.
    """
    if rule == "exact":
        return _exact(weights)
    kernels = weights.astype(np.float32)
    if rule == "fast":
        return lambda rows: rows.astype(np.float32) @ kernels
    return lambda rows: _simulator(rows.astype(np.float32), kernels)


def _exact(weights: _Halves) -> Summation:
    kernels = weights.astype(np.float64)
    step = float(_steps(weights).min(initial=np.inf))
    with np.errstate(invalid="ignore"):  # a model may hold NaN
        length = float(np.sqrt(np.square(kernels).sum(axis=0).max(initial=0)))

    def sums(rows: _Halves) -> npt.NDArray[np.float32]:
        values = rows.astype(np.float64)
        result: _Array = values @ kernels
        # |x||w| bounds the sum of magnitudes (Cauchy and Schwarz), so every partial sum; with some to spare.
        bound = np.sqrt(np.einsum("ij,ij->i", values, values)) * (length * 1.001)
        for row in np.flatnonzero(~(bound < _steps(rows) * (step * 2.0**53))):
            result[row] = _in_order(values[row : row + 1], kernels, len(kernels))[0]
        result[np.isnan(result)] = np.nan  # which of several NaN comes through is a matter of order
        result += 0.0  # and so is the sign of zero
        return result.astype(np.float32)

    return sums


def _steps(rows: _Halves) -> npt.NDArray[np.float64]:
    """Return for each row a power of two of which its values are multiples; infinity where all are 0."""
    # 0 becomes the largest unsigned integer, so that the least is that of the other values.
    least = ((rows.view(np.uint16) & 0x7FFF) - np.uint16(1)).min(axis=1, initial=0xFFFF)
    exponents = np.maximum((least.astype(np.int64) + 1) >> 10, 1) - 1 + _LOWEST
    return np.where(least == 0xFFFF, np.inf, np.ldexp(1.0, exponents))


def _simulator(rows: _Array, weights: _Array) -> _Array:
    """Sum in float32 as the vendor's simulator does.

    It runs ONNX Runtime, whose matrix product (``onnxruntime/core/mlas/lib/sgemm.cpp``, `MlasSgemmOperation`)
    sums channel after channel in blocks, and the blocks in order. A block is 128 channels, and the fewer the
    rows the longer: 256 up to 64 rows, 512 up to 32, 1,024 up to 16. A matrix with one row or one column
    takes kernels of its own (``SgemmKernelM1Avx.S``, ``SgemmKernelM1TransposeBAvx.S`` in the same folder).
    Experiment (2.3.2; 2,048, 1,000 and 300 channels, 2 to 1,030 rows): 100 % of the values, any other block
    99.4 to 99.9 %.
    """
    if weights.shape[1] == 1:
        return _by_fours(rows, weights)
    if len(rows) == 1:
        return _by_eights(rows, weights)
    block = 128
    for limit in (64, 32, 16):
        block *= 1 + (len(rows) <= limit)
    return _in_order(rows, weights, block)


def _in_order(rows: _Array, weights: _Array, block: int) -> _Array:
    """Sum channel after channel within blocks, then the blocks, in the operands' precision."""
    total = np.zeros((len(rows), weights.shape[1]), rows.dtype)
    product = np.empty_like(total)
    for first in range(0, len(weights), block):
        part = np.zeros_like(total)
        for channel in range(first, min(first + block, len(weights))):
            part += np.multiply(rows[:, channel, None], weights[channel], out=product)
        total += part
    return total


def _by_fours(rows: _Array, weights: _Array) -> _Array:
    """Sum for one kernel: four channels' products in order, then what came before; at last two, then one."""
    total = np.zeros((len(rows), 1), rows.dtype)
    first = 0
    for count in (4, 2, 1):
        while first + count <= len(weights):
            part = rows[:, first, None] * weights[first]
            for channel in range(first + 1, first + count):
                part += rows[:, channel, None] * weights[channel]
            total += part
            first += count
    return total


def _by_eights(rows: _Array, weights: _Array) -> _Array:
    """Sum one row: channels modulo 8 in order, then the eight sums, folded as the kernels' number has it."""
    channels, kernels = weights.shape
    lanes = np.zeros((8, kernels), rows.dtype)
    for first in range(0, channels, 8):
        part = weights[first : first + 8]
        lanes[: len(part)] += rows[0, first : first + 8, None] * part
    a, b, c, d = (lanes[i::4] for i in range(4))  # each the lower and the upper half's
    low, high = ((a + b) + c) + d
    total: _Array = (low + high)[None]
    fours = kernels // 4 * 4
    if kernels & 2:
        pairs = (lanes[0:2] + lanes[2:4]) + (lanes[4:6] + lanes[6:8])
        total[:, fours : fours + 2] = (pairs[0] + pairs[1])[fours : fours + 2]
    if kernels & 1:
        low, high = (a + b) + (c + d)
        total[:, -1] = (low + high)[-1]
    return total

"""How sums of float16 products are formed.

The register program says nothing of it. A product of two float16 values fits float32. Rules for their sum:

``"exact"``
    The sum itself, rounded once to float32. It is formed in float64, in any order: a row's products are
    multiples of one power of two and their sum stays below 2**53 of it. Where a row spans more, its large and
    small values are summed apart; where that is not enough, channel after channel.
``"simulator"``
    The order in which the vendor's simulator sums: see `simulator_sums`.
``"fast"``
    float32 in BLAS's order, which depends on the library, its threads and the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from virtual_npu.arrays import Array
from virtual_npu.execute.half_precision import magnitude_bits

__all__ = ["SUMS", "SumRule", "Summation", "simulator_sums", "starts_from_bias", "summation"]

SumRule = Literal["exact", "simulator", "fast"]
SUMS: Final = ("exact", "simulator", "fast")

_Halves = npt.NDArray[np.float16]
Summation = Callable[[Array], Array]
"""Rows, shape (points, channels), to sums, shape (points, kernels); float16 values are held in float32."""

_LOWEST: Final = -24  # exponent of the least float16 above 0, of which every float16 is a multiple
_CONVOLUTION: Final = 1 << 19  # weights up to which the simulator runs a layer of one row as a convolution


def starts_from_bias(weights: Array, samples: int) -> bool:
    """Whether the simulator's sums start from the bias: one row, over 2**19 weights."""
    return samples == 1 and weights.size > _CONVOLUTION


def summation(rule: SumRule, weights: _Halves, samples: int, biases: Array | None = None) -> Summation:
    """Return the function that sums rows of float16 times `weights` to float32.

    `weights` has shape (channels, kernels). The simulator's order depends on how many kernels there are,
    without padding, and on how many rows the layer has in all, `samples`; with `biases` it adds them, where
    the simulator does.
    """
    with np.errstate(invalid="ignore"):  # a model may hold NaN
        return _rule(rule, weights.astype(np.float32), samples, biases)


def _rule(rule: SumRule, kernels: Array, samples: int, biases: Array | None) -> Summation:
    if rule == "exact":
        return _exact(kernels)
    if rule == "fast":
        return lambda rows: rows @ kernels
    return lambda rows: simulator_sums(rows, kernels, samples, biases)


def _exact(weights: Array) -> Summation:
    kernels = np.asfortranarray(weights, np.float64)  # a seventh faster than in C's order
    # Both bound the sum of magnitudes, so every partial sum, of a row x: the first times the largest |x|, the
    # second times the length of x (Cauchy and Schwarz). What is added is far more than their own rounding.
    reaches = np.abs(weights).sum(axis=0) * np.float32(1.001)
    finite = np.isfinite(reaches)
    reach = float(reaches[finite].max(initial=0))
    length = 1.001 * float(np.sqrt(np.einsum("ij,ij->j", weights, weights)[finite].max(initial=0)))
    room = float(_steps(magnitude_bits(weights)).min(initial=np.inf)) * 2.0**53

    def sums(rows: Array) -> Array:
        values = rows.astype(np.float64)
        magnitudes = magnitude_bits(rows)
        largest = magnitudes.max(axis=1, initial=0).view(np.float32)
        usual = np.isfinite(largest)
        steps = _steps(magnitudes) * room
        wide = np.flatnonzero(usual & ~(largest * reach < steps))
        if len(wide):
            sizes = _lengths(values[wide]) * length
            wide, sizes = wide[sizes >= steps[wide]], sizes[sizes >= steps[wide]]
        if not len(wide):
            result: Array = values @ kernels
        else:  # large values and small ones apart, both in one product
            # A value of at least 2**e is a multiple of 2**(e - 10).
            least = 2.0 ** (np.ceil(np.log2(sizes / room)) + 11)
            rows_apart = values[wide]
            values[wide] = np.where(np.abs(rows_apart) >= least[:, None], rows_apart, 0)
            small = rows_apart - values[wide]
            both = np.concatenate([values, small]) @ kernels
            result = both[: len(rows)]
            result[wide] += both[len(rows) :]
            for index in np.flatnonzero(_lengths(small) * length >= 2.0**_LOWEST * room):
                result[wide[index]] = _in_order(rows_apart[index, None], kernels, len(kernels))[0]
        single: Array = result.astype(np.float32)
        if not (usual.all() and finite.all()):
            single[np.isnan(single)] = np.nan  # which of several NaN comes through is a matter of order
        single += 0.0  # and so is the sign of zero
        return single

    return sums


def _lengths(rows: Array) -> Array:
    lengths: Array = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return lengths


def _steps(magnitudes: npt.NDArray[np.uint32]) -> npt.NDArray[np.float64]:
    """Return for each row a power of two that divides it; infinity if all are 0."""
    # 0 becomes the largest unsigned integer, so that the least is that of the other values.
    least = (magnitudes - np.uint32(1)).min(axis=1, initial=0xFFFFFFFF) + np.uint32(1)
    exponents = np.maximum((least >> 23).astype(np.int64) - 127, _LOWEST + 10) - 10
    steps: npt.NDArray[np.float64] = np.where(least == 0, np.inf, np.ldexp(1.0, exponents))
    return steps


def simulator_sums(
    rows: Array, weights: Array, samples: int, biases: Array | None = None, *, fused: bool = False
) -> Array:
    """Sum products of float32 as the vendor's simulator does, in ONNX Runtime.

    Its matrix product (``onnxruntime/core/mlas/lib/sgemm.cpp``, `MlasSgemmOperation`) sums channel after
    channel in blocks, and the blocks in order. A block is 128 channels, 256 up to 64 rows, 512 up to 32,
    1,024 up to 16. A matrix with one row or one column takes kernels of its own (``SgemmKernelM1Avx.S``,
    ``SgemmKernelM1TransposeBAvx.S``). One row through more than 2**19 weights runs as Gemm, whose sums start
    from the bias. [simulator; ``docs/virtual-npu-agreement.md`` has the shapes and shares of equal bits]

    Parameters
    ----------
    rows, weights : ndarray of float32, shapes (points, channels) and (channels, kernels)
    samples : int
        Points of the layer, of one row of a batch.
    biases : ndarray of float32, shape (kernels,), optional
        Added, where the simulator adds them. Without them it is for the caller to add them, at the end.
    fused : bool
        Multiply and add with one rounding where the simulator does: products of float16 values need none.
    """
    if samples == 1 and len(rows) > 1:  # of a batch, one after the other
        sums = [simulator_sums(row[None], weights, 1, biases, fused=fused) for row in rows]
        return np.concatenate(sums)
    start: Array = np.zeros(weights.shape[1], rows.dtype) if biases is None else biases
    if starts_from_bias(weights, samples):
        return _by_fours(rows, weights, start)
    if weights.shape[1] == 1:
        return _by_fours(rows, weights, np.zeros_like(start)) + start
    if samples == 1:
        return _by_eights(rows, weights) + start
    block = 128
    for limit in (64, 32, 16):
        block *= 1 + (samples <= limit)
    return _in_order(rows, weights, block, fused=fused) + start


def _in_order(rows: Array, weights: Array, block: int, *, fused: bool = False) -> Array:
    """Sum channel after channel within blocks, then the blocks."""
    total = np.zeros((len(rows), weights.shape[1]), rows.dtype)
    if fused:  # a product of float32 values is exact in float64
        rows, weights = rows.astype(np.float64), weights.astype(np.float64)
    product = np.empty(total.shape, rows.dtype)
    for first in range(0, len(weights), block):
        part = np.zeros_like(total)
        for channel in range(first, min(first + block, len(weights))):
            np.multiply(rows[:, channel, None], weights[channel], out=product)
            np.add(part, product, out=part, dtype=rows.dtype, casting="same_kind")
        total += part
    return total


def _by_fours(rows: Array, weights: Array, start: Array) -> Array:
    """Add to `start` the sums of four, at last two and one channels' products."""
    total = np.tile(start, (len(rows), 1))
    first = 0
    for count in (4, 2, 1):
        while first + count <= len(weights):
            part = rows[:, first, None] * weights[first]
            for channel in range(first + 1, first + count):
                part += rows[:, channel, None] * weights[channel]
            total += part
            first += count
    return total


def _by_eights(rows: Array, weights: Array) -> Array:
    """Sum one row: channels modulo 8 in order, then the eight sums."""
    channels, kernels = weights.shape
    lanes = np.zeros((8, kernels), rows.dtype)
    for first in range(0, channels, 8):
        part = weights[first : first + 8]
        lanes[: len(part)] += rows[0, first : first + 8, None] * part
    a, b, c, d = (lanes[i::4] for i in range(4))  # each the lower and the upper half's
    low, high = ((a + b) + c) + d
    total: Array = (low + high)[None]
    fours = kernels // 4 * 4
    if kernels & 2:
        pairs = (lanes[0:2] + lanes[2:4]) + (lanes[4:6] + lanes[6:8])
        total[:, fours : fours + 2] = (pairs[0] + pairs[1])[fours : fours + 2]
    if kernels & 1:
        low, high = (a + b) + (c + d)
        total[:, -1] = (low + high)[-1]
    return total

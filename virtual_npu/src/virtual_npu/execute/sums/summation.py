"""How sums of float16 products are formed.

The register program says nothing of it. A product of two float16 values fits float32. Rules for their sum:

``"silicon"``
    In groups of 32 channels, as chips were measured to: see `grouped_sums`.
``"simulator"``
    The order in which the vendor's simulator sums: see `simulator_sums`.
``"fast"``
    float32 in BLAS's order, which depends on the library, its threads and the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu.arrays import Array
from virtual_npu.execute.arithmetic import Arithmetic
from virtual_npu.execute.sums.grouped_sums import GroupedSums

_Halves = npt.NDArray[np.float16]
Summation = Callable[[Array], Array]
"""Rows, shape (points, channels), to sums, shape (points, kernels); float16 values are held in float32."""

_CONVOLUTION: Final = 1 << 19  # weights up to which the simulator runs a layer of one row as a convolution


def starts_from_bias(weights: Array, samples: int) -> bool:
    """Whether the simulator's sums start from the bias: one row, over 2**19 weights."""
    return samples == 1 and weights.size > _CONVOLUTION


def summation(rule: Arithmetic, weights: _Halves, samples: int, biases: Array | None = None) -> Summation:
    """Return the function that sums rows of float16 times `weights` to float32.

    `weights` has shape (channels, kernels). The simulator's order depends on how many kernels there are,
    without padding, and on how many rows the layer has in all, `samples`; with `biases` it adds them, where
    the simulator does.
    """
    with np.errstate(invalid="ignore"):  # a model may hold NaN
        return _rule(rule, weights.astype(np.float32), samples, biases)


def _rule(rule: Arithmetic, kernels: Array, samples: int, biases: Array | None) -> Summation:
    if rule == "silicon":
        return GroupedSums(kernels)
    if rule == "fast":
        return lambda rows: rows @ kernels
    return lambda rows: simulator_sums(rows, kernels, samples, biases)


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

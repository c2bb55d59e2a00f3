"""The convolution units: CNA feeds features and weights, CORE multiplies and accumulates.

Only 1x1 kernels: that is what a dense layer compiles to.

Observations that fix what the public description leaves open (all from files of 2.2.0 to 2.5.0):

- A surface is ``(LINE_STRIDE + SURF_STRIDE) * 16`` bytes, a line ``LINE_STRIDE * 4``.
- ``DATAIN_CHANNEL_REAL`` holds ``(channels - 1) mod 64``; ``DATAIN_CHANNEL`` is rounded up to whole atoms.
- Weights lie in groups of 16 kernels (32 in int8), each in blocks of 32 channels, kernels within a block.
- Image mode (``ARGB_IN`` 8 to 11: 1 to 4 channels) reads packed points; a line is ``LINE_STRIDE`` times 16
  bytes for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import registers as r
from .errors import UnsupportedProgram
from .memory import ATOM, Cube, Memory
from .program import LoadedTask

__all__ = ["DTYPES", "Convolution"]

DTYPES: Final[dict[int, np.dtype[Any]]] = {
    0: np.dtype(np.int8),
    1: np.dtype(np.int16),
    2: np.dtype(np.float16),
}
"""Element type by the code in the precision fields."""

_CHANNEL_BLOCK: Final = 32
_EXACT_IN_FLOAT32: Final = 1 << 24
_SUM_BLOCK: Final = 256  # channels summed before their sum is added to the others'


@dataclass(frozen=True, slots=True)
class Convolution:
    """One decoded 1x1 convolution.

    Attributes
    ----------
    source : Cube
        Its features.
    weights : ndarray, shape (channels, kernels)
        float32 where float32 sums are what is meant or are exact, else float64.
    outputs : int
        Channels handed to the DPU; those past the kernels are 0.
    integer : bool
        Whether sums are integers.
    """

    source: Cube
    weights: npt.NDArray[Any]
    outputs: int
    integer: bool

    @classmethod
    def decode(
        cls, task: LoadedTask, memory: Memory, kernel_offsets: npt.NDArray[np.int64] | None
    ) -> Convolution:
        """Decode the registers of CNA and CORE and unpack the weights.

        Adding a kernel's offset to each of its weights is what the DPU's addition of the offset times the
        sum of features comes to, exactly.
        """
        precision = task.require(r.CNA_PROC_PRECISION, *DTYPES)
        task.require(r.CNA_IN_PRECISION, precision)
        task.require(r.CORE_PROC_PRECISION, precision)
        for field in (r.CONV_MODE, r.DECONV, r.FC_SKIP_EN, r.PADDING, r.DECOMP_CONTROL, r.DW_EN):
            task.require(field, 0)
        for field in (r.WEIGHT_WIDTH, r.WEIGHT_HEIGHT, r.CVT_BYPASS):
            task.require(field, 1)
        task.require(r.CONV_STRIDES_AND_DILATION, 0b001_001)
        task.require(r.CLIP_TRUNCATE, 0)
        dtype = DTYPES[precision]
        source = _source(task, dtype)
        weights = _weights(task, memory, dtype)[:, : source.channels]
        if weights.shape[1] < source.channels:
            raise UnsupportedProgram("CNA", "WEIGHT_BYTES_PER_KERNEL", task[r.WEIGHT_BYTES_PER_KERNEL])
        outputs = task[r.DATAOUT_CHANNEL] + 1
        points = (task[r.DATAOUT_WIDTH] + 1) * (task[r.DATAOUT_HEIGHT] + 1)
        if points != source.width * source.height:
            raise UnsupportedProgram("CORE", "DATAOUT_SIZE_0", points, "not as many points as are read")
        if not 0 <= outputs - len(weights) < 64:
            raise UnsupportedProgram("CORE", "DATAOUT_CHANNEL", outputs - 1, f"{len(weights)} kernels")
        full = np.zeros((source.channels, outputs), np.float64)
        full[:, : len(weights)] = weights.T
        if kernel_offsets is not None:
            full[:, : len(weights)] += kernel_offsets[: len(weights)]
        with np.errstate(invalid="ignore"):  # a model may hold NaN
            packed = full.astype(_accumulator(full, dtype))
        return cls(source, packed, outputs, dtype.kind == "i")

    def apply(self, features: npt.NDArray[Any], *, sequential: bool = False) -> npt.NDArray[Any]:
        """Sum products; `features` has shape (points, at least channels).

        With `sequential`, float sums are formed channel after channel in blocks of 256: slow, and equal to
        the vendor's simulator to the last bit (experiment: single layers of 8, 64, 256, 512 and 2,048 inputs,
        100 % of 4,096 to 81,920 values each; any other block length gives 99.6 to 99.9 %). Otherwise only
        the blocks are kept and BLAS orders the sums within them. float16 products are exact in float32, so
        fused and separate additions agree.
        """
        rows: npt.NDArray[Any] = features[:, : self.source.channels].astype(self.weights.dtype)
        if sequential and not self.integer:
            return _sum_in_order(rows, self.weights)
        sums: npt.NDArray[Any] = rows[:, :_SUM_BLOCK] @ self.weights[:_SUM_BLOCK]
        for first in range(_SUM_BLOCK, len(self.weights), _SUM_BLOCK):
            sums += rows[:, first : first + _SUM_BLOCK] @ self.weights[first : first + _SUM_BLOCK]
        return sums


def _sum_in_order(rows: npt.NDArray[Any], weights: npt.NDArray[Any]) -> npt.NDArray[Any]:
    total = np.zeros((len(rows), weights.shape[1]), np.float32)
    product = np.empty_like(total)
    for first in range(0, len(weights), _SUM_BLOCK):
        block = np.zeros_like(total)
        for channel in range(first, min(first + _SUM_BLOCK, len(weights))):
            block += np.multiply(rows[:, channel, None], weights[channel], out=product)
        total += block
    return total


def _accumulator(weights: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """Return the type to sum in.

    float16 products are summed in float32 (see `Convolution.apply`). Integer sums must be exact: float32
    does if no sum can pass 2**24, float64 always (65,535 products of int16 stay below 2**46).
    """
    if dtype.kind == "f":
        return np.float32
    largest = float(np.abs(weights).sum(axis=0).max(initial=0)) * -np.iinfo(dtype).min
    return np.float32 if largest <= _EXACT_IN_FLOAT32 else np.float64


def _source(task: LoadedTask, dtype: np.dtype[Any]) -> Cube:
    width, height = task[r.DATAIN_WIDTH], task[r.DATAIN_HEIGHT]
    address = task[r.FEATURE_BASE_ADDR]
    image = task.require(r.ARGB_IN, 0, 8, 9, 10, 11)
    if image:
        channels = image - 7
        line = task[r.LINE_STRIDE] * ATOM * channels
        return Cube(address, width, height, channels, line, 0, dtype, channels * dtype.itemsize)
    aligned = task[r.DATAIN_CHANNEL]
    channels = (max(aligned, 1) - 1) // 64 * 64 + task[r.DATAIN_CHANNEL_REAL] + 1
    if not 0 < channels <= aligned or not width or not height:
        raise UnsupportedProgram("CNA", "DATA_SIZE1", task.registers.get(r.DATAIN_CHANNEL.address, 0))
    line, surface = task[r.LINE_STRIDE] * 4, (task[r.LINE_STRIDE] + task[r.SURF_STRIDE]) * ATOM
    return Cube(address, width, height, channels, line, surface, dtype)


def _weights(task: LoadedTask, memory: Memory, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Unpack the weights to shape (kernels, channels as stored)."""
    kernels, row = task[r.WEIGHT_KERNELS], task[r.WEIGHT_BYTES_PER_KERNEL]
    stored, rest = divmod(row, dtype.itemsize)
    if rest or task[r.WEIGHT_BYTES] < kernels * row:
        raise UnsupportedProgram("CNA", "WEIGHT_SIZE0", task[r.WEIGHT_BYTES], f"{kernels} kernels of {row}")
    packed = memory.constant(task[r.DECOMPRESS_ADDR0], kernels * row, dtype)
    group = 32 if dtype.itemsize == 1 else 16
    blocks = stored // _CHANNEL_BLOCK * _CHANNEL_BLOCK
    unpacked = np.empty((kernels, stored), dtype)
    for first in range(0, kernels, group):
        count = min(group, kernels - first)
        part = packed[first * stored : (first + count) * stored]
        whole = part[: count * blocks].reshape(-1, count, _CHANNEL_BLOCK)
        unpacked[first : first + count, :blocks] = whole.transpose(1, 0, 2).reshape(count, blocks)
        unpacked[first : first + count, blocks:] = part[count * blocks :].reshape(count, stored - blocks)
    return unpacked

"""The convolution units: CNA feeds features and weights, CORE multiplies and sums.

Only 1x1 kernels: that is what a dense layer compiles to. Observations (files of 2.2.0 to 2.5.0) that fix
what the public description leaves open:

- A surface is ``(LINE_STRIDE + SURF_STRIDE) * 16`` bytes, a line ``LINE_STRIDE * 4``; with GROUP_LINE_OFF
  ``(width + SURF_STRIDE) * 16`` and ``LINE_STRIDE * 16``.
- ``DATAIN_CHANNEL_REAL`` holds ``(channels - 1) mod 64``; ``DATAIN_CHANNEL`` is rounded up to full atoms.
- Weights lie in groups of 16 kernels (32 in int8), each in blocks of 32 channels, kernels within a block.
- ``CLIP_TRUNCATE`` shortens sums before the bias is added; ``ROUND_TYPE`` 0 rounds halves to even.
- Image mode (``ARGB_IN`` 8 to 11: 1 to 4 channels) reads packed points. A line of the model's input is
  ``LINE_STRIDE`` points filled up to full atoms, as the input's size and the images of a batch have it.
  Softmax reads its maxima in this mode too; there a line is ``LINE_STRIDE`` points, as the shares of the
  task that writes them have it. Which register separates the two is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.arrays import Array, Float32Array
from virtual_npu.errors import UnsupportedProgram
from virtual_npu.evidence import follows
from virtual_npu.execute.arithmetic import Arithmetic
from virtual_npu.execute.half_precision import BFLOAT16, widened
from virtual_npu.execute.sums.summation import Summation, starts_from_bias, summation
from virtual_npu.program import registers as r
from virtual_npu.program.chips.chip import RK3588_ATOM
from virtual_npu.program.loader import LoadedTask
from virtual_npu.program.memory import Cube, Memory

DTYPES: Final[dict[int, np.dtype[Any]]] = {
    r.INT8: np.dtype(np.int8),
    r.INT16: np.dtype(np.int16),
    r.FLOAT16: np.dtype(np.float16),
    r.BFLOAT16: BFLOAT16,
}
"""Element type by the code in the precision fields."""

_EXACT_IN_FLOAT32: Final = 1 << 24
_INT32: Final = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class SumOrder:
    """How products are summed: a rule, and the points that the layer has in all."""

    rule: Arithmetic
    samples: int


@dataclass(frozen=True, slots=True)
class KernelOperands:
    """What the DPU adds to a kernel's weights and to its sums, or None."""

    offsets: npt.NDArray[np.int64] | None = None
    addends: Float32Array | None = None

    @property
    def has_offsets(self) -> bool:
        """Whether an offset is not 0."""
        return self.offsets is not None and bool(self.offsets.any())


NO_OPERANDS: Final = KernelOperands()


@dataclass(frozen=True, slots=True)
class Convolution:
    """One decoded 1x1 convolution.

    Attributes
    ----------
    source : Cube
        Its features.
    outputs : int
        Channels handed to the DPU; those past the kernels are 0.
    sums : function
        Sums products: features, shape (points, channels), to shape (points, kernels).
    spread : int
        Points of a line made of each one read.
    integers : ndarray or None
        Integer weights with their offsets, shape (kernels, channels); None where there are none to sum.
    has_addends : bool
        Whether the DPU's addends are in the sums already.
    floats : ndarray or None
        Weights of float16, shape (channels, kernels); None where there are none to sum.
    """

    source: Cube
    outputs: int
    sums: Summation
    spread: int = 1
    integers: npt.NDArray[np.float64] | None = None
    has_addends: bool = False
    floats: npt.NDArray[np.float16] | None = None

    @classmethod
    def decode(
        cls, task: LoadedTask, memory: Memory, order: SumOrder, operands: KernelOperands = NO_OPERANDS
    ) -> Convolution:
        """Decode the registers of CNA and CORE and unpack the weights.

        Adding a kernel's offset to each of its weights is what the DPU's addition of the offset times the
        sum of features comes to, exactly. Sums of a float program start from the DPU's addends where the
        simulator's do.
        """
        dtype, depthwise = _check_mode(task)
        source = _source(task, memory, dtype)
        weights = _weights(task, memory, dtype)[:, : source.channels]
        if weights.shape[1] < source.channels:
            raise UnsupportedProgram("CNA", "WEIGHT_BYTES_PER_KERNEL", task[r.WEIGHT_BYTES_PER_KERNEL])
        outputs = task[r.DATAOUT_CHANNEL] + 1
        if task.chip.even_kernels and len(weights) == outputs + 1:
            weights = weights[:outputs]
        if depthwise:
            return cls._depthwise(task, source, weights, operands)
        task.require(r.CONV_STRIDES_AND_DILATION, 0b001_001)
        points = _points(task)
        if points != source.width * source.height:
            raise UnsupportedProgram("CORE", "DATAOUT_SIZE_0", points, "not as many points as are read")
        if not 0 <= outputs - len(weights) < 64:
            raise UnsupportedProgram("CORE", "DATAOUT_CHANNEL", outputs - 1, f"{len(weights)} kernels")
        for values in (operands.offsets, operands.addends):
            if values is not None and len(values) < len(weights):
                raise UnsupportedProgram("DPU", "CHANNEL", len(values) - 1, f"{len(weights)} kernels")
        if dtype == BFLOAT16:
            return cls(source, outputs, _bfloat16_sums(weights))
        if dtype.kind == "f":
            return cls._of_floats(source, weights, outputs, order, operands)
        full = weights.astype(np.float64)
        if operands.offsets is not None:
            full += operands.offsets[: len(weights), None]
        sums = _shorten(_integer_sums(full, dtype), task[r.CLIP_TRUNCATE])
        if order.rule != "simulator":
            sums = _saturate(sums, _largest_sum(full, dtype), task[r.CLIP_TRUNCATE])
        return cls(source, outputs, sums, integers=full)

    @classmethod
    def _of_floats(
        cls, source: Cube, weights: Array, outputs: int, order: SumOrder, operands: KernelOperands
    ) -> Convolution:
        if operands.has_offsets:
            raise UnsupportedProgram("DPU", "OD_BYPASS", 0, "kernel offsets of float16")
        rule, samples, addends = order.rule, order.samples, operands.addends
        packed = np.ascontiguousarray(weights.T)
        if addends is None or rule != "simulator" or not starts_from_bias(packed, samples):
            return cls(source, outputs, summation(rule, packed, samples), floats=packed)
        start = addends[: len(weights)]
        sums = summation(rule, packed, samples, start)
        return cls(source, outputs, sums, has_addends=True, floats=packed)

    @classmethod
    @follows(evidence.SPREAD_POINT)
    def _depthwise(
        cls, task: LoadedTask, source: Cube, weights: Array, operands: KernelOperands
    ) -> Convolution:
        """Decode the multiplication of each channel by itself, which spreads one point.

        Observation: Mul of a constant row and a column compiles to it, with weights of one and stride 0.
        """
        task.require(r.CONV_STRIDES_AND_DILATION, 0b001_000)
        if source.width * source.height != 1 or len(weights) != 1 or source.packed:
            raise UnsupportedProgram("CNA", "CONV_MODE", r.DEPTHWISE, "but of one point and one kernel")
        outputs, points = task[r.DATAOUT_CHANNEL] + 1, _points(task)
        if outputs < source.channels or operands.has_offsets:
            raise UnsupportedProgram("CORE", "DATAOUT_CHANNEL", outputs - 1)
        factors = weights[0].astype(np.float32 if weights.dtype.kind == "f" else np.float64)
        return cls(source, outputs, lambda rows: np.repeat(rows * factors, points, axis=0), points)

    def apply(self, features: Array) -> Array:
        """Sum products of `features` (points, channels) to (points, outputs)."""
        sums = self.sums(features[:, : self.source.channels])
        if sums.shape[1] == self.outputs:
            return sums
        full = np.zeros((len(sums), self.outputs), sums.dtype)
        full[:, : sums.shape[1]] = sums
        return full


def _check_mode(task: LoadedTask) -> tuple[np.dtype[Any], bool]:
    """Check the modes; return the dtype and whether channels stay apart."""
    precision = task.require(r.CNA_PROC_PRECISION, *DTYPES)
    task.require(r.CNA_IN_PRECISION, precision)
    task.require(r.CORE_PROC_PRECISION, precision)
    for field in (r.DECONV, r.FC_SKIP_EN, r.PADDING, r.DECOMP_CONTROL, r.CLIP_ROUND_TYPE):
        task.require(field, 0)
    for field in (r.WEIGHT_WIDTH, r.WEIGHT_HEIGHT, r.CVT_BYPASS):
        task.require(field, 1)
    depthwise = task.require(r.CONV_MODE, 0, r.DEPTHWISE) == r.DEPTHWISE
    task.require(r.DW_EN, int(depthwise))
    task.require(r.DPU_CONV_MODE, task[r.CONV_MODE])
    dtype = DTYPES[precision]
    if dtype.kind != "i" or depthwise:
        task.require(r.CLIP_TRUNCATE, 0)
    if dtype == BFLOAT16:
        task.require(r.CONV_MODE, 0)
    return dtype, depthwise


def _bfloat16_sums(weights: Array) -> Summation:
    """Return the function that sums bfloat16 products in float64 and rounds once to float32.

    [assumed: no measurement of these sums is published; only layer normalization's sum of squares has them]
    """
    packed = widened(weights).T.astype(np.float64)
    return lambda rows: (rows.astype(np.float64) @ packed).astype(np.float32)


def _points(task: LoadedTask) -> int:
    """Return how many points CORE hands on."""
    return (task[r.DATAOUT_WIDTH] + 1) * (task[r.DATAOUT_HEIGHT] + 1)


@follows(evidence.INTEGER_SUMS)
def _integer_sums(weights: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> Summation:
    """Return the function that sums integers exactly, in the cheapest type that can.

    float32 does if no sum can pass 2**24, float64 always (65,535 products of int16 stay below 2**46).
    """
    is_small = _largest_sum(weights, dtype) <= _EXACT_IN_FLOAT32
    packed = weights.T.astype(np.float32 if is_small else np.float64)
    return lambda rows: rows.astype(packed.dtype) @ packed


def _largest_sum(weights: npt.NDArray[np.float64], dtype: np.dtype[Any]) -> float:
    """Return what no sum of products with these weights can pass, whatever the features."""
    return float(np.abs(weights).sum(axis=1).max(initial=0)) * -np.iinfo(dtype).min


@follows(evidence.SHORTENED_SUMS)
def _shorten(sums: Summation, bits: int) -> Summation:
    """Drop the lowest bits of every sum, halves to even.

    Observation: where a kernel's bias passes 32 bits, int8 files hold all biases of the layer divided by
    ``2**bits`` and an output factor as much larger. So sums are shortened before the bias is added.
    """
    if not bits:
        return sums
    factor = 0.5**bits
    return lambda rows: np.rint(sums(rows).astype(np.float64) * factor)


@follows(evidence.INTEGER_SUMS)
def _saturate(sums: Summation, largest: float, bits: int) -> Summation:
    """Hold sums at the ends of int32, which only those of int16 can pass.

    [silicon: github.com/gregordinary/rockchip-npu-notes, encodings/output-transpose-int16.md at 224b1390,
    September 2026, RK3588: sums up to 2**35.5 are exact within int32 and held at its ends beyond, before a
    16-bit writer takes their low bits] That it happens before the DPU's bias, where CLIP_TRUNCATE acts, is
    [assumed, as NVDLA's CACC rounds and saturates to 32 bits]: no int16 task with a bias was measured.
    """
    if largest * 0.5**bits < _INT32.max:
        return sums
    return lambda rows: np.clip(sums(rows), _INT32.min, _INT32.max)


def _source(task: LoadedTask, memory: Memory, dtype: np.dtype[Any]) -> Cube:
    width, height = task[r.DATAIN_WIDTH], task[r.DATAIN_HEIGHT]
    address = task[r.FEATURE_BASE_ADDR]
    image = task.require(r.ARGB_IN, 0, 8, 9, 10, 11)
    if image:
        channels = image - 7
        point = channels * dtype.itemsize
        line = task.image_line if memory.is_input(address) else task[r.LINE_STRIDE] * point
        return Cube(address, width, height, channels, line, 0, dtype, point)
    aligned = task[r.DATAIN_CHANNEL]
    channels = (max(aligned, 1) - 1) // 64 * 64 + task[r.DATAIN_CHANNEL_REAL] + 1
    if not 0 < channels <= aligned or not width or not height:
        raise UnsupportedProgram("CNA", "DATA_SIZE1", task.registers.get(r.DATAIN_CHANNEL.address, 0))
    if task[r.GROUP_LINE_OFF]:
        line, surface = task[r.LINE_STRIDE], width + task[r.SURF_STRIDE]
        return Cube.of_atoms(task.chip, address, (width, height, channels), (line, surface), dtype)
    line, surface = task[r.LINE_STRIDE] * 4, (task[r.LINE_STRIDE] + task[r.SURF_STRIDE]) * RK3588_ATOM
    return Cube(address, width, height, channels, line, surface, dtype)


def _weights(task: LoadedTask, memory: Memory, dtype: np.dtype[Any]) -> Array:
    """Unpack the weights to shape (kernels, channels as stored)."""
    kernels, row = task[r.WEIGHT_KERNELS], task[r.WEIGHT_BYTES_PER_KERNEL]
    stored, rest = divmod(row, dtype.itemsize)
    if rest or task[r.WEIGHT_BYTES] < kernels * row:
        raise UnsupportedProgram("CNA", "WEIGHT_SIZE0", task[r.WEIGHT_BYTES], f"{kernels} kernels of {row}")
    packed = memory.constant(task[r.DECOMPRESS_ADDR0], kernels * row, dtype)
    group = task.chip.kernel_groups[dtype.itemsize]
    block = task.chip.channel_blocks[dtype.itemsize]
    blocks = stored // block * block
    unpacked = np.empty((kernels, stored), dtype)
    for first in range(0, kernels, group):
        count = min(group, kernels - first)
        part = packed[first * stored : (first + count) * stored]
        full = part[: count * blocks].reshape(-1, count, block)
        unpacked[first : first + count, :blocks] = full.transpose(1, 0, 2).reshape(count, blocks)
        unpacked[first : first + count, blocks:] = part[count * blocks :].reshape(count, stored - blocks)
    return unpacked

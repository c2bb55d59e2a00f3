"""The data processing unit (DPU): what happens to values before they are written.

In order: BS (bias, scale, ReLU), BN (the same with other operands), EW (a second cube, or the lookup table),
output conversion. Float programs work in float32. Integer programs work on integers, held here in float64:
every value is an integer or a dyadic fraction below 2**53, so all of it is exact.

The order of stages and the operands follow NVDLA's SDP, whose relative this unit is (nvdla.org, hw/v1/ias).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.arrays import Array, Float32Array
from virtual_npu.errors import UnsupportedProgram
from virtual_npu.evidence import follows
from virtual_npu.execute.arithmetic import Rules
from virtual_npu.execute.data_processor_operands import (
    BN,
    BOTH_READERS,
    BS,
    MAX_OF_CHANNELS,
    OUTPUT_DTYPES,
    SHARED_SOURCE,
    Stage,
    is_integer,
    read_kernel_offsets,
    read_operands,
)
from virtual_npu.execute.data_processor_stages import (
    elementwise_stages,
    largest_channel,
    output_stages,
    pooling_stages,
    read_first_addends,
    round_to_float16,
    scaling_stages,
    turning_point,
)
from virtual_npu.execute.half_precision import BFLOAT16, round_to_bfloat16, widened
from virtual_npu.program import registers as r
from virtual_npu.program.loader import LoadedTask
from virtual_npu.program.memory import Cube, Memory
from virtual_npu.program.registers import Field


@dataclass(frozen=True, slots=True)
class DataProcessor:
    """One decoded pass through the DPU.

    Attributes
    ----------
    source : Cube or None
        What it reads itself; None when CORE hands it sums.
    operand : Cube or None
        The element-wise stage's second operand.
    destination : Cube
        What it writes.
    channels : int
        Channels that run through it.
    kernel_offsets : ndarray or None
        Added to every weight of a kernel (minus the weights' zero point), one a channel.
    addends : ndarray of float32 or None
        What the first stage of a float program adds, one a channel; None where it does something else.
    turn : ndarray of float32 or None
        The values at which results turn from falling to rising, or back; None where they do not.
    """

    source: Cube | None
    operand: Cube | None
    destination: Cube
    kernel_offsets: npt.NDArray[np.int64] | None
    channels: int
    addends: Float32Array | None
    turn: Float32Array | None
    _stages: tuple[Stage, ...]
    _real_channels: int
    _filling: Any

    @classmethod
    def decode(cls, task: LoadedTask, memory: Memory, rules: Rules) -> DataProcessor:
        """Decode the registers of DPU and DPU_RDMA."""
        for field in (r.TP_EN, r.MC_SURF_OUT):
            task.require(field, 0)
        task.require(r.DPU_CONV_MODE, 0, *([] if task[r.FLYING_MODE] else [r.DEPTHWISE]))
        task.require(r.TP_ORG_EN, 0)
        shared = SHARED_SOURCE if task[r.COMB_USE] else 0
        task.require(r.RDMA_COMB_USE, shared, *([] if task[r.FLYING_MODE] else [BOTH_READERS]))
        source = _source(task) if task[r.FLYING_MODE] else None
        destination = _destination(task)
        channels = task[r.CUBE_CHANNEL] + 1
        largest = task.require(r.MINMAX_CTL, 0, MAX_OF_CHANNELS) == MAX_OF_CHANNELS
        if largest and (is_integer(task) or source is None):
            raise UnsupportedProgram("DPU", "MINMAX_CTL", MAX_OF_CHANNELS, "but of float16 from memory")
        bias = read_operands(task, memory, BS, channels)
        norm = read_operands(task, memory, BN, channels)
        operand, elementwise = elementwise_stages(task, channels, destination, rules)
        return cls(
            source=source,
            operand=operand,
            destination=destination,
            kernel_offsets=None if task[r.OD_BYPASS] else read_kernel_offsets(task, bias, channels),
            _stages=(
                *scaling_stages(task, BS, bias, rules.arithmetic),
                *scaling_stages(task, BN, norm, rules.arithmetic),
                *elementwise,
                *([largest_channel] if largest else []),
                *output_stages(task, destination.dtype, rules),
                *pooling_stages(task, destination.dtype),
            ),
            channels=channels,
            addends=read_first_addends(task, bias),
            turn=turning_point(task, bias, norm),
            _real_channels=1 if largest else min(channels, task[r.ORIG_CHANNEL] + 1),
            _filling=_filling(task[r.OFFSET_PEND], destination.dtype),
        )

    def without_addends(self) -> DataProcessor:
        """Return the pass over sums that have the addends in them."""
        return self if self.addends is None else replace(self, addends=None, _stages=self._stages[1:])

    def apply(self, values: Array, operand: Array | None) -> Array:
        """Run the stages; give rows of the destination's type, float16 held in float32."""
        for stage in self._stages:
            values = stage(values, operand)
        dtype, channels = self.destination.dtype, self.destination.channels
        if dtype == np.float16:
            values = round_to_float16(values)
        else:
            values = round_to_bfloat16(values) if dtype == BFLOAT16 else values.astype(dtype)
        if channels > values.shape[1]:
            narrow, values = values, np.zeros((len(values), channels), values.dtype)
            values[:, : narrow.shape[1]] = narrow
        values[:, self._real_channels :] = self._filling
        return values


def _filling(bits: int, dtype: np.dtype[Any]) -> Any:
    """Return the value of padding channels: OFFSET_PEND, in the output's type."""
    raw = np.array([bits], "<u2").view(np.int8 if dtype.itemsize == 1 else "<i2")
    return widened(raw.view(dtype))[0] if dtype.itemsize <= 2 else dtype.type(0)


@follows(evidence.UNCONVERTED)
def _stored_type(task: LoadedTask, precision: Field) -> np.dtype[Any]:
    """Return the type of what is read or written, as a field of the task says it."""
    dtype = OUTPUT_DTYPES[task.require(precision, *OUTPUT_DTYPES)]
    return np.dtype(np.float16) if task.is_unconverted else dtype


@follows(evidence.SHARED_SURFACES)
def _shared_surface(task: LoadedTask, surface: int) -> int:
    """Return how far surfaces lie apart that two readers fetch in turn."""
    apart = task[r.EW_BASE_ADDR] - task[r.SRC_BASE_ADDR]
    if not (
        apart * 2 == surface * task.chip.atoms[4]
        and task[r.EW_SURF_STRIDE] == surface
        and task[r.EW_SURF_NOTCH] == task[r.SURF_NOTCH_ADDR]
        and not task[r.ERDMA_DISABLE]
        and task[r.EW_BYPASS]
    ):
        raise UnsupportedProgram("DPU_RDMA", "RDMA_COMB_USE", SHARED_SOURCE, "surfaces not taken in turn")
    return surface // 2


def _source(task: LoadedTask) -> Cube:
    dtype = _stored_type(task, r.RDMA_IN_PRECISION)
    task.require(r.RDMA_UNPOOLING, 0)
    width, height = task[r.RDMA_WIDTH] + 1, task[r.RDMA_HEIGHT] + 1
    # Notches are what is skipped: after each line but the last, and after the surface.
    notch = task[r.LINE_NOTCH_ADDR]
    line = width + notch
    surface = height * line - notch + task[r.SURF_NOTCH_ADDR]
    if task[r.COMB_USE]:
        surface = _shared_surface(task, surface)
    size = (width, height, task[r.RDMA_CHANNEL] + 1)
    return Cube.of_atoms(task.chip, task[r.SRC_BASE_ADDR], size, (line, surface), dtype)


def _destination(task: LoadedTask) -> Cube:
    dtype = _stored_type(task, r.OUT_PRECISION)
    width, height, channels = task[r.CUBE_WIDTH] + 1, task[r.CUBE_HEIGHT] + 1, task[r.CUBE_CHANNEL] + 1
    task.require(r.WIDTH_WDMA, width - 1)
    task.require(r.HEIGHT_WDMA, height - 1)
    written = task[r.CHANNEL_WDMA] + 1
    if not channels <= written < channels + task.chip.atoms[1]:
        raise UnsupportedProgram("DPU", "CHANNEL_WDMA", written - 1)
    address, line = task[r.DST_BASE_ADDR], width + task[r.NOTCH_ADDR_0]
    if task[r.MINMAX_CTL] == MAX_OF_CHANNELS:  # one value a point, packed as image mode reads them
        task.require(r.NONALIGN, 1)
        item = dtype.itemsize
        return Cube(address, width, height, 1, width * item, 0, dtype, item)
    size, surface = (width, height, written), task[r.DST_SURF_STRIDE]
    return Cube.of_atoms(task.chip, address, size, (line, surface), dtype)

"""The data processing unit (DPU): what happens to sums, or to data read back, before they are written.

In order: BS (bias, scale, ReLU), BN (the same with other operands), EW (a second cube, or the lookup table),
output conversion. Float programs work in float32. Integer programs work on integers, held here in float64:
every value is an integer or a dyadic fraction below 2**53, so all of it is exact.

The order of stages and the operands follow NVDLA's SDP, whose relative this unit is (nvdla.org, hw/v1/ias).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import registers as r
from .convolution import DEPTHWISE, DTYPES
from .errors import UnsupportedProgram
from .half_precision import round_to_half
from .lookup import LookupTable
from .memory import Cube, Memory
from .program import LoadedTask
from .registers import Field

__all__ = ["DataProcessor"]

_Array = npt.NDArray[Any]
_Stage = Callable[[_Array, _Array | None], _Array]
"""Takes the values, shape (points, channels), which it may overwrite, and the second cube's."""

_OUTPUTS: Final[dict[int, np.dtype[Any]]] = {**DTYPES, 4: np.dtype(np.int32), 5: np.dtype(np.float32)}
_MAX, _ADD, _DIVIDE, _SUBTRACT = 0, 2, 3, 4  # ALU algorithms, as the TRM numbers them
_PER_CHANNEL, _PER_ELEMENT = 0, 1  # data modes of the element-wise operand
_MAX_OF_CHANNELS: Final = 7  # MINMAX_CTL in softmax: the largest channel of each point, one atom a point
_BOTH_READERS: Final = 5  # RDMA_COMB_USE: the idle main reader helps to fetch the second operand


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
    """

    source: Cube | None
    operand: Cube | None
    destination: Cube
    kernel_offsets: npt.NDArray[np.int64] | None
    channels: int
    addends: npt.NDArray[np.float32] | None
    _stages: tuple[_Stage, ...]
    _real_channels: int
    _filling: Any

    @classmethod
    def decode(cls, task: LoadedTask, memory: Memory) -> DataProcessor:
        """Decode the registers of DPU and DPU_RDMA."""
        for field in (r.COMB_USE, r.TP_EN, r.MC_SURF_OUT):
            task.require(field, 0)
        task.require(r.DPU_CONV_MODE, 0, *([] if task[r.FLYING_MODE] else [DEPTHWISE]))
        task.require(r.TP_ORG_EN, 0)
        integer = task.require(r.PROC_PRECISION, *DTYPES) != 2
        task.require(r.RDMA_COMB_USE, 0, *([] if task[r.FLYING_MODE] else [_BOTH_READERS]))
        source = _source(task) if task[r.FLYING_MODE] else None
        destination = _destination(task)
        channels = task[r.CUBE_CHANNEL] + 1
        largest = task.require(r.MINMAX_CTL, 0, _MAX_OF_CHANNELS) == _MAX_OF_CHANNELS
        if largest and (integer or source is None):
            raise UnsupportedProgram("DPU", "MINMAX_CTL", _MAX_OF_CHANNELS, "but of float16 from memory")
        bias = _read_operands(task, memory, r.BS_BASE_ADDR, task[r.BRDMA_DATA_USE], channels, integer)
        norm = _read_operands(task, memory, r.BN_BASE_ADDR, task[r.NRDMA_DATA_USE], channels, integer)
        operand, elementwise = _elementwise(task, channels, destination, integer)
        return cls(
            source=source,
            operand=operand,
            destination=destination,
            kernel_offsets=None if task[r.OD_BYPASS] else _kernel_offsets(task, bias, channels),
            _stages=(
                *_scaling(task, "BS", r.BS_CFG, r.BS_ALU_OPERAND, r.BS_MUL_CFG, r.BS_RELUX, bias, integer),
                *_scaling(task, "BN", r.BN_CFG, r.BN_ALU_OPERAND, r.BN_MUL_CFG, r.BN_RELUX, norm, integer),
                *elementwise,
                *([_largest_channel] if largest else []),
                *_output(task, destination.dtype, integer),
                *_pooled(task, destination.dtype),
            ),
            channels=channels,
            addends=_first_addends(task, bias, integer),
            _real_channels=1 if largest else min(channels, task[r.ORIG_CHANNEL] + 1),
            _filling=_filling(task[r.OFFSET_PEND], destination.dtype),
        )

    def without_addends(self) -> DataProcessor:
        """Return the pass over sums that have the addends in them."""
        return self if self.addends is None else replace(self, addends=None, _stages=self._stages[1:])

    def apply(self, values: _Array, operand: _Array | None) -> _Array:
        """Run the stages; give rows of the destination's type, float16 held in float32."""
        for stage in self._stages:
            values = stage(values, operand)
        dtype, channels = self.destination.dtype, self.destination.channels
        values = _halves(values) if dtype == np.float16 else values.astype(dtype)
        if channels > values.shape[1]:
            given, values = values, np.zeros((len(values), channels), values.dtype)
            values[:, : given.shape[1]] = given
        values[:, self._real_channels :] = self._filling
        return values


def _halves(values: _Array) -> _Array:
    if values.dtype != np.float32:  # one rounding, not two
        halves: _Array = values.astype(np.float16).astype(np.float32)
        return halves
    return round_to_half(values if values.flags.writeable else values.copy())


def _filling(bits: int, dtype: np.dtype[Any]) -> Any:
    """Return what channels past the real ones are written as: OFFSET_PEND, in the output's type."""
    raw = np.array([bits], "<u2").view(np.int8 if dtype.itemsize == 1 else "<i2")
    return raw.view(dtype)[0] if dtype.itemsize <= 2 else dtype.type(0)


def _largest_channel(values: _Array, operand: _Array | None) -> _Array:
    largest: _Array = values.astype(np.float32).max(axis=1, keepdims=True)
    return largest


def _source(task: LoadedTask) -> Cube:
    dtype = _OUTPUTS[task.require(r.RDMA_IN_PRECISION, *_OUTPUTS)]
    task.require(r.RDMA_UNPOOLING, 0)
    width, height = task[r.RDMA_WIDTH] + 1, task[r.RDMA_HEIGHT] + 1
    # Notches are what is skipped: after each line but the last, and after the surface.
    notch = task[r.LINE_NOTCH_ADDR]
    line = width + notch
    surface = height * line - notch + task[r.SURF_NOTCH_ADDR]
    size = (width, height, task[r.RDMA_CHANNEL] + 1)
    return Cube.of_atoms(task.chip, task[r.SRC_BASE_ADDR], size, line, surface, dtype)


def _destination(task: LoadedTask) -> Cube:
    dtype = _OUTPUTS[task.require(r.OUT_PRECISION, *_OUTPUTS)]
    width, height, channels = task[r.CUBE_WIDTH] + 1, task[r.CUBE_HEIGHT] + 1, task[r.CUBE_CHANNEL] + 1
    task.require(r.WIDTH_WDMA, width - 1)
    task.require(r.HEIGHT_WDMA, height - 1)
    written = task[r.CHANNEL_WDMA] + 1
    if not channels <= written < channels + task.chip.atoms[1]:
        raise UnsupportedProgram("DPU", "CHANNEL_WDMA", written - 1)
    address, line = task[r.DST_BASE_ADDR], width + task[r.NOTCH_ADDR_0]
    if task[r.MINMAX_CTL] == _MAX_OF_CHANNELS:  # one value a point, packed as image mode reads them
        task.require(r.NONALIGN, 1)
        item = dtype.itemsize
        return Cube(address, width, height, 1, width * item, 0, dtype, item)
    size, surface = (width, height, written), task[r.DST_SURF_STRIDE]
    return Cube.of_atoms(task.chip, address, size, line, surface, dtype)


def _read_operands(
    task: LoadedTask, memory: Memory, base: Field, use: int, channels: int, integer: bool
) -> dict[str, npt.NDArray[Any]]:
    """Read per-channel operands.

    Observation: `use` is a mask of what a channel has (1 addend of 32 bits, 2 kernel offset and 4 factor of
    16 bits); eight channels' addends (four's on some chips) come first, then offsets, then factors.
    """
    parts = [
        (name, dtype)
        for bit, name, dtype in (
            (1, "addend", "<i4" if integer else "<f4"),
            (2, "offset", "<i2"),
            (4, "factor", "<i2" if integer else "<f2"),
        )
        if use & bit
    ]
    if not parts:
        return {}
    if use > 7:
        raise UnsupportedProgram("DPU_RDMA", "BRDMA_DATA_USE", use)
    layout = np.dtype([(name, dtype, (task.chip.operand_group,)) for name, dtype in parts])
    groups = -(-channels // task.chip.operand_group)
    blob = memory.constant(task[base], groups * layout.itemsize, np.uint8).view(layout)
    return {name: blob[name].reshape(-1)[:channels] for name, _ in parts}


def _kernel_offsets(
    task: LoadedTask, operands: dict[str, npt.NDArray[Any]], channels: int
) -> npt.NDArray[np.int64] | None:
    if task[r.OW_SRC]:
        if "offset" not in operands:
            raise UnsupportedProgram("DPU", "OW_SRC", 1, "DPU_RDMA reads no offsets")
        return operands["offset"].astype(np.int64)
    return np.full(channels, task[r.OW_OP], np.int64)


def _float32(bits: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0]
    return value


def _float16(bits: int) -> float:
    value: float = struct.unpack("<e", struct.pack("<H", bits & 0xFFFF))[0]
    return value


def _scaling(
    task: LoadedTask,
    unit: str,
    config_address: int,
    addend_field: Field,
    factor_address: int,
    limit_field: Field,
    operands: dict[str, npt.NDArray[Any]],
    integer: bool,
) -> list[_Stage]:
    """Compile BS or BN, which have the same layout.

    BS adds, then multiplies (int8 biases are in the unit of the sums). BN multiplies, then adds: softmax's
    exponential scales by 3276 and moves by 16380 to meet the table's range of +-16384. Either shifts last.

    A ReLU may have a limit, a number as the other operands are: int8 files hold it in the unit of what is
    compared. int16 files (2.2.0 to 2.5.0) hold the bits of a float32 there; read as the integer that it then
    is, above 2**30, it hardly ever limits anything, and the output's range does instead.
    """
    config = task.registers.get(config_address, 0)
    bypass, no_addend, no_factor, no_relu = (config >> bit & 1 for bit in (0, 1, 4, 6))
    if bypass:
        return []
    if config >> 5 & 1:
        raise UnsupportedProgram("DPU", f"{unit}_MUL_PRELU", 1)
    addend: Any = None
    if not no_addend:
        if config >> 16 & 15 != _ADD:
            raise UnsupportedProgram("DPU", f"{unit}_ALU_ALGO", config >> 16 & 15)
        addend = _pick(operands, "addend", config >> 8 & 1, unit)
        if addend is None:
            addend = np.float64(task[addend_field]) if integer else _float32(task[addend_field])
    factor, shift = None, 0
    if not no_factor:
        word = task.registers.get(factor_address, 0)
        shift = word >> 8 & 63
        factor = _pick(operands, "factor", word & 1, unit)
        if factor is None:
            factor = np.float64((word >> 16 ^ 0x8000) - 0x8000) if integer else _float16(word >> 16)
    stages: list[_Stage] = []
    if integer:
        if (
            unit == "BN"
        ):  # the shift comes last: a lookup's zero point is added as its product with the factor
            stages.append(_scale_integers(None, factor, 0))
            stages.append(_scale_integers(addend, None, shift))
        elif addend is not None or factor is not None:
            stages.append(_scale_integers(addend, factor, shift))
    else:
        if addend is not None and (np.ndim(addend) or addend != 0):
            stages.append(_in_place(np.add, np.asarray(addend, np.float32)))
        if factor is not None:
            stages.append(_in_place(np.multiply, np.asarray(factor, np.float32)))
        if unit == "BN":
            stages.reverse()
    if not no_relu:
        stages.append(_in_place(np.maximum, np.float32(0)))
    if config >> 7 & 1:
        word = task[limit_field]
        limit = np.float64((word ^ 1 << 31) - (1 << 31)) if integer else np.float32(_float32(word))
        stages.append(_in_place(np.minimum, limit))
    return stages


def _first_addends(
    task: LoadedTask, operands: dict[str, npt.NDArray[Any]], integer: bool
) -> npt.NDArray[np.float32] | None:
    config = task.registers.get(r.BS_CFG, 0)
    added = not (integer or config & 1 or config >> 1 & 1) and config >> 8 & 1
    return operands["addend"].astype(np.float32) if added else None


def _pick(operands: dict[str, npt.NDArray[Any]], name: str, from_memory: int, unit: str) -> Any:
    if not from_memory:
        return None
    if name not in operands:
        raise UnsupportedProgram("DPU", f"{unit} {name} source", 1, "DPU_RDMA reads none")
    return operands[name]


def _in_place(function: Callable[..., Any], constant: Any) -> _Stage:
    def stage(values: _Array, operand: _Array | None) -> _Array:
        if not values.flags.writeable or values.dtype.kind != "f" or values.dtype == np.float16:
            values = values.astype(np.float32)
        result: _Array = function(values, constant, out=values)
        return result

    return stage


def _scale_integers(addend: Any, factor: Any, shift: int) -> _Stage:
    """Compile ``(x + addend) * factor / 2**shift``, all bits kept."""
    scale = np.ldexp(np.asarray(1.0 if factor is None else factor, np.float64), -shift)
    start = np.asarray(0.0 if addend is None else addend, np.float64) * scale

    def stage(values: _Array, operand: _Array | None) -> _Array:
        scaled: _Array = np.multiply(values, scale, dtype=np.float64)
        scaled += start
        return scaled

    return stage


def _elementwise(
    task: LoadedTask, channels: int, shape: Cube, integer: bool
) -> tuple[Cube | None, list[_Stage]]:
    if task[r.EW_BYPASS]:
        return None, []
    for field in (r.EW_RELUX_EN, r.EW_MUL_PRELU, r.EW_EQUAL_OR_BINARY):
        task.require(field, 0)
    stages: list[_Stage] = []
    operand = None
    constant = not task[r.EW_OP_BYPASS] and task[r.EW_OP_SRC] == 0
    if not task[r.EW_OP_BYPASS] and not constant:
        operand, stage = _second_operand(task, channels, shape, integer)
        stages.append(stage)
    if not task[r.EW_LUT_BYPASS]:
        table = LookupTable.decode(task, integer=integer)
        stages.append(lambda values, _: table.apply(values))
    if constant:
        stages.append(_larger_of_constant(task, integer))
    if not task[r.EW_RELU_BYPASS]:
        stages.append(_in_place(np.maximum, np.float32(0)))
    return operand, stages


def _larger_of_constant(task: LoadedTask, integer: bool) -> _Stage:
    """Compile the larger of a value and a register.

    Observation: only a sigmoid that is a layer of its own has it, with 0, and it comes after the lookup.
    Before it, every negative input would give 1/2, which no model means, and the table's slope below its
    first entry would have no use. So read, ten such files agree with the simulator as other sigmoids do.
    """
    task.require(r.EW_OP_TYPE, 0)
    task.require(r.EW_ALU_ALGO, _MAX)
    task.require(r.EW_LUT_BYPASS, 0)
    value = task[r.EW_OP_VALUES[0]]
    for field in r.EW_OP_VALUES[1:]:
        task.require(field, value)
    constant = np.float64((value ^ 1 << 31) - (1 << 31)) if integer else np.float32(_float32(value))

    def stage(values: _Array, operand: _Array | None) -> _Array:
        result: _Array = np.maximum(values, constant)
        return result

    return stage


def _second_operand(task: LoadedTask, channels: int, shape: Cube, integer: bool) -> tuple[Cube, _Stage]:
    dtype = DTYPES[task.require(r.PROC_PRECISION, *DTYPES)]
    task.require(r.EW_OP_SRC, 1)
    task.require(r.ERDMA_DISABLE, 0)
    task.require(r.ERDMA_DATA_SIZE, dtype.itemsize)
    for field in (r.ERDMA_SURF_MODE, r.ERDMA_NONALIGN, r.EW_LINE_NOTCH_ADDR):
        task.require(field, 0)
    offset, scale = task[r.EW_OP_CVT_OFFSET], np.ldexp(task[r.EW_OP_CVT_SCALE], -task[r.EW_OP_CVT_SHIFT])
    task.require(r.EW_TRUNCATE, 0)
    if not integer and (offset or scale != 1):
        raise UnsupportedProgram("DPU", "EW_OP_CVT_OFFSET", offset, "of float16")
    mode = task.require(r.EW_DATA_MODE, _PER_CHANNEL, _PER_ELEMENT)
    task.require(r.ERDMA_DATA_MODE, mode)
    width, height = (shape.width, shape.height) if mode == _PER_ELEMENT else (1, 1)
    address = _shared_start(task) if task[r.RDMA_COMB_USE] else task[r.EW_BASE_ADDR]
    size, surface = (width, height, channels), task[r.EW_SURF_STRIDE]
    cube = Cube.of_atoms(task.chip, address, size, width, surface, dtype)
    functions = {_ADD: np.add, _DIVIDE: np.divide, _SUBTRACT: np.subtract}
    function: Any = np.multiply if task[r.EW_OP_TYPE] else functions[task.require(r.EW_ALU_ALGO, *functions)]

    def stage(values: _Array, operand: _Array | None) -> _Array:
        assert operand is not None
        if integer:  # all bits kept
            second = (operand.astype(np.float64) + offset) * scale
            result: _Array = function(values.astype(np.float64), second)
            return result
        result = function(values.astype(np.float32), operand.astype(np.float32))
        return result

    return cube, stage


def _shared_start(task: LoadedTask) -> int:
    """Return where an operand starts, of whose surfaces two readers fetch every other one."""
    apart = task[r.EW_BASE_ADDR] - task[r.SRC_BASE_ADDR]
    stride = task[r.EW_SURF_STRIDE]
    skipped = 2 * stride - (task[r.RDMA_WIDTH] + 1) * (task[r.RDMA_HEIGHT] + 1)
    if (
        apart != stride * task.chip.atoms[2]
        or not skipped == task[r.SURF_NOTCH_ADDR] == task[r.EW_SURF_NOTCH]
    ):
        raise UnsupportedProgram("DPU_RDMA", "RDMA_COMB_USE", _BOTH_READERS, "surfaces not taken in turn")
    return task[r.SRC_BASE_ADDR]


def _pooled(task: LoadedTask, dtype: np.dtype[Any]) -> list[_Stage]:
    """Compile what the PPU does on the way to memory: a float16 value times two constants.

    Open: whether it rounds between them. The DPU hands it float16, as its output's precision says.
    """
    if not task.factors:
        return []
    if dtype != np.float16:
        raise UnsupportedProgram("PPU", "DATA_FORMAT", str(dtype), "of what the DPU hands it")
    return [lambda values, _: _halves(values), *(_in_place(np.multiply, np.float32(f)) for f in task.factors)]


def _output(task: LoadedTask, dtype: np.dtype[Any], integer: bool) -> list[_Stage]:
    """Compile the output conversion.

    OUT_CVT_OFFSET of a float program is read as float32 bits, as the other operands of the float pipeline
    are; the 1 that lookups carry there is then 1.4e-45, nothing. Read as an integer it would add 2**-15.

    Toolkit 2.5.0's softmax writes integers from floats: 1477 x + 15300.6, as int16, is a number whose bits
    read as float16 are nearly exp(x) (Schraudolph, A Fast, Compact Approximation of the Exponential Function,
    1999; within 3 %). The vendor's simulator computes the exact function there.
    """
    task.require(r.CVT_TYPE, 0)
    scale, shift = task[r.OUT_CVT_SCALE], task[r.OUT_CVT_SHIFT]
    if dtype.kind == "f":
        factor = np.float32(np.ldexp(float(scale), -(task[r.MINUS_EXP] + shift)))
        return [] if factor == 1 else [_in_place(np.multiply, factor)]
    task.require(r.MINUS_EXP, 0)
    offset = float(task[r.OUT_CVT_OFFSET])
    limits = np.iinfo(dtype)
    factor64 = np.ldexp(float(scale), -shift)

    upwards = task[r.CVT_ROUND]  # halves, as the TRM has it; otherwise to even

    def finish(values: _Array, operand: _Array | None) -> _Array:
        scaled: _Array = np.multiply(values, factor64, dtype=np.float64)
        scaled += offset + 0.5 if upwards else offset
        (np.floor if upwards else np.rint)(scaled, out=scaled)
        return np.clip(scaled, limits.min, limits.max, out=scaled)

    return [finish]

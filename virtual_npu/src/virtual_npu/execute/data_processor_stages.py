"""The stages of the data processor: functions of a task's values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.execute.data_processor_operands import (
    ALU_ADD,
    ALU_MAX,
    Stage,
    decode_second_operand,
    float16_of_bits,
    float32_of_bits,
    pick_operand,
)
from virtual_npu.execute.half_precision import round_to_half
from virtual_npu.execute.lookup_table import LookupTable
from virtual_npu.program import registers as r
from virtual_npu.program.loader import LoadedTask
from virtual_npu.program.memory import Cube
from virtual_npu.program.registers import Field

_Array = npt.NDArray[Any]


def round_to_float16(values: _Array) -> _Array:
    """Round values to float16, held in float32."""
    if values.dtype != np.float32:  # one rounding, not two
        halves: _Array = values.astype(np.float16).astype(np.float32)
        return halves
    return round_to_half(values if values.flags.writeable else values.copy())


def largest_channel(values: _Array, operand: _Array | None) -> _Array:
    """Return the largest channel of each point."""
    largest: _Array = values.astype(np.float32).max(axis=1, keepdims=True)
    return largest


def scaling_stages(
    task: LoadedTask,
    unit: str,
    config_address: int,
    addend_field: Field,
    factor_address: int,
    limit_field: Field,
    operands: dict[str, npt.NDArray[Any]],
    integer: bool,
) -> list[Stage]:
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
        if config >> 16 & 15 != ALU_ADD:
            raise UnsupportedProgram("DPU", f"{unit}_ALU_ALGO", config >> 16 & 15)
        addend = pick_operand(operands, "addend", config >> 8 & 1, unit)
        if addend is None:
            addend = np.float64(task[addend_field]) if integer else float32_of_bits(task[addend_field])
    factor, shift = None, 0
    if not no_factor:
        word = task.registers.get(factor_address, 0)
        shift = word >> 8 & 63
        factor = pick_operand(operands, "factor", word & 1, unit)
        if factor is None:
            factor = np.float64((word >> 16 ^ 0x8000) - 0x8000) if integer else float16_of_bits(word >> 16)
    stages: list[Stage] = []
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
        limit = np.float64((word ^ 1 << 31) - (1 << 31)) if integer else np.float32(float32_of_bits(word))
        stages.append(_in_place(np.minimum, limit))
    return stages


def read_first_addends(
    task: LoadedTask, operands: dict[str, npt.NDArray[Any]], integer: bool
) -> npt.NDArray[np.float32] | None:
    """Return what the first stage of a float program adds, or None."""
    config = task.registers.get(r.BS_CFG, 0)
    added = not (integer or config & 1 or config >> 1 & 1) and config >> 8 & 1
    return operands["addend"].astype(np.float32) if added else None


def _in_place(function: Callable[..., Any], constant: Any) -> Stage:
    def stage(values: _Array, operand: _Array | None) -> _Array:
        if not values.flags.writeable or values.dtype.kind != "f" or values.dtype == np.float16:
            values = values.astype(np.float32)
        result: _Array = function(values, constant, out=values)
        return result

    return stage


def _scale_integers(addend: Any, factor: Any, shift: int) -> Stage:
    """Compile ``(x + addend) * factor / 2**shift``, all bits kept."""
    scale = np.ldexp(np.asarray(1.0 if factor is None else factor, np.float64), -shift)
    start = np.asarray(0.0 if addend is None else addend, np.float64) * scale

    def stage(values: _Array, operand: _Array | None) -> _Array:
        scaled: _Array = np.multiply(values, scale, dtype=np.float64)
        scaled += start
        return scaled

    return stage


def elementwise_stages(
    task: LoadedTask, channels: int, shape: Cube, integer: bool
) -> tuple[Cube | None, list[Stage]]:
    """Return the second cube, if any, and the stages of EW."""
    if task[r.EW_BYPASS]:
        return None, []
    for field in (r.EW_RELUX_EN, r.EW_MUL_PRELU, r.EW_EQUAL_OR_BINARY):
        task.require(field, 0)
    stages: list[Stage] = []
    operand = None
    constant = not task[r.EW_OP_BYPASS] and task[r.EW_OP_SRC] == 0
    if not task[r.EW_OP_BYPASS] and not constant:
        operand, stage = decode_second_operand(task, channels, shape, integer)
        stages.append(stage)
    if not task[r.EW_LUT_BYPASS]:
        table = LookupTable.decode(task, integer=integer)
        stages.append(lambda values, _: table.apply(values))
    if constant:
        stages.append(_larger_of_constant(task, integer))
    if not task[r.EW_RELU_BYPASS]:
        stages.append(_in_place(np.maximum, np.float32(0)))
    return operand, stages


def _larger_of_constant(task: LoadedTask, integer: bool) -> Stage:
    """Compile the larger of a value and a register.

    Observation: only a sigmoid that is a layer of its own has it, with 0, and it comes after the lookup.
    Before it, every negative input would give 1/2, which no model means, and the table's slope below its
    first entry would have no use. So read, ten such files agree with the simulator as other sigmoids do.
    """
    task.require(r.EW_OP_TYPE, 0)
    task.require(r.EW_ALU_ALGO, ALU_MAX)
    task.require(r.EW_LUT_BYPASS, 0)
    value = task[r.EW_OP_VALUES[0]]
    for field in r.EW_OP_VALUES[1:]:
        task.require(field, value)
    constant = np.float64((value ^ 1 << 31) - (1 << 31)) if integer else np.float32(float32_of_bits(value))

    def stage(values: _Array, operand: _Array | None) -> _Array:
        result: _Array = np.maximum(values, constant)
        return result

    return stage


def pooling_stages(task: LoadedTask, dtype: np.dtype[Any]) -> list[Stage]:
    """Compile what the PPU does on the way to memory: a float16 value times two constants.

    Open: whether it rounds between them. The DPU hands it float16, as its output's precision says.
    """
    if not task.factors:
        return []
    if dtype != np.float16:
        raise UnsupportedProgram("PPU", "DATA_FORMAT", str(dtype), "of what the DPU hands it")
    return [
        lambda values, _: round_to_float16(values),
        *(_in_place(np.multiply, np.float32(f)) for f in task.factors),
    ]


def output_stages(task: LoadedTask, dtype: np.dtype[Any], integer: bool) -> list[Stage]:
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

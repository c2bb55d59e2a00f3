"""The stages of the data processor: functions of a task's values."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from virtual_npu import evidence
from virtual_npu.arrays import Array, Float32Array
from virtual_npu.errors import UnsupportedProgram
from virtual_npu.evidence import follows
from virtual_npu.execute.arithmetic import Arithmetic, Rules
from virtual_npu.execute.data_processor_operands import (
    ALU_ADD,
    ALU_MAX,
    BN,
    BS,
    Operands,
    ScalingUnit,
    Stage,
    decode_second_operand,
    float32_of_bits,
    is_integer,
    pick_operand,
    short_float,
    short_float_of_bits,
)
from virtual_npu.execute.half_precision import round_to_half
from virtual_npu.execute.integer_rounding import ChannelScaling, OutputConversion
from virtual_npu.execute.lookup_table import LookupTable
from virtual_npu.program import registers as r
from virtual_npu.program.loader import LoadedTask
from virtual_npu.program.memory import Cube


@follows(evidence.FLOAT_OUTPUT, evidence.OVERFLOW)
def round_to_float16(values: Array) -> Array:
    """Round values to float16, held in float32."""
    if values.dtype != np.float32:  # one rounding, not two
        halves: Array = values.astype(np.float16).astype(np.float32)
        return halves
    return round_to_half(values if values.flags.writeable else values.copy())


@follows(evidence.LARGEST_CHANNEL)
def largest_channel(values: Array, operand: Array | None) -> Array:
    """Return the largest channel of each point."""
    largest: Array = values.astype(np.float32).max(axis=1, keepdims=True)
    return largest


@follows(evidence.FLOAT_ADDENDS, evidence.FLOAT_FACTORS, evidence.RELU)
def scaling_stages(
    task: LoadedTask, unit: ScalingUnit, operands: Operands, arithmetic: Arithmetic
) -> list[Stage]:
    """Compile BS or BN.

    BS adds, then multiplies (int8 biases are in the unit of the sums). BN multiplies, then adds: softmax's
    exponential scales by 3276 and moves by 16380 to meet the table's range of +-16384. Either shifts last. BS
    then rounds and saturates, see `integer_rounding`; what BN does there is not known, and it keeps all bits.
    """
    config = task.registers.get(unit.config, 0)
    bypass, no_addend, no_factor, no_relu = (config >> bit & 1 for bit in (0, 1, 4, 6))
    if bypass:
        return []
    addend = None if no_addend else _addend(task, unit, operands)
    factor, shift = (None, 0) if no_factor else _factor(task, unit, operands)
    stages: list[Stage] = []
    if not is_integer(task):
        if addend is not None and (np.ndim(addend) or addend != 0):
            stages.append(_in_place(np.add, np.asarray(addend, np.float32)))
        if factor is not None:
            scale = _scale_negatives if config >> 5 & 1 else partial(_in_place, np.multiply)
            stages.append(scale(np.asarray(factor, np.float32)))
        if unit is BN:
            stages.reverse()
    elif config >> 5 & 1:
        if addend is not None or shift or factor is None or unit is BS:
            raise UnsupportedProgram("DPU", f"{unit.name}_MUL_PRELU", 1, "with an addend or a shift")
        stages.append(_scale_negatives(np.asarray(factor, np.float64)))
    elif unit is BN:  # a lookup's zero point is added as its product with the factor
        stages += [_scale_integers(None, factor, 0), _scale_integers(addend, None, shift)]
    elif addend is not None or factor is not None:
        negative_shift = shift if factor is None else task[r.BS_NEGATIVE_SHIFT]
        if arithmetic == "simulator" and negative_shift == shift:
            stages.append(_scale_integers(addend, factor, shift))
        else:
            stages.append(_scale_channels(addend, factor, shift, negative_shift))
    if not no_relu:
        stages.append(_in_place(np.maximum, np.float32(0)))
    if config >> 7 & 1:
        stages.append(_in_place(np.minimum, _number_of_bits(task, task[unit.limit])))
    return stages


def turning_point(task: LoadedTask, bias: Operands, norm: Operands) -> Float32Array | None:
    """Return the values at which a float program's results turn from falling to rising, or back.

    One a channel, or one for all; None where results rise or fall throughout: no factor of values below 0 is
    itself below 0.
    """
    if is_integer(task) or not any(_turns(task, *unit) for unit in ((BS, bias), (BN, norm))):
        return None
    adds_none = task.registers.get(BS.config, 0) & 0b11
    addend = 0 if adds_none else _addend(task, BS, bias)
    return -np.atleast_1d(np.asarray(addend, np.float32))


def _turns(task: LoadedTask, unit: ScalingUnit, operands: Operands) -> bool:
    """Whether a unit gives values below 0 the other sign."""
    config = task.registers.get(unit.config, 0)
    bypass, no_factor, only_negatives = (config >> bit & 1 for bit in (0, 4, 5))
    if bypass or no_factor or not only_negatives:
        return False
    return bool(np.min(_factor(task, unit, operands)[0]) < 0)


def _addend(task: LoadedTask, unit: ScalingUnit, operands: Operands) -> Any:
    """Return what is added to each channel, or to all."""
    config = task.registers.get(unit.config, 0)
    if config >> 16 & 15 != ALU_ADD:
        raise UnsupportedProgram("DPU", f"{unit.name}_ALU_ALGO", config >> 16 & 15)
    addend = pick_operand(operands, "addend", config >> 8 & 1, unit.name)
    if addend is not None:
        return addend
    return np.float64(task[unit.addend]) if is_integer(task) else float32_of_bits(task[unit.addend])


def _factor(task: LoadedTask, unit: ScalingUnit, operands: Operands) -> tuple[Any, int]:
    """Return what each channel, or all, are multiplied by, and the bits to shift by."""
    word = task.registers.get(unit.factor, 0)
    factor = pick_operand(operands, "factor", word & 1, unit.name)
    if factor is None:
        bits = word >> 16
        if is_integer(task):
            factor = np.float64((bits ^ 0x8000) - 0x8000)
        else:
            factor = short_float_of_bits(bits, short_float(task))
    return factor, word >> 8 & 63


def _number_of_bits(task: LoadedTask, bits: int) -> Any:
    """Read a register as a signed integer of 32 bits, in float programs as a float32.

    A ReLU's limit is in the unit of what is compared. int16 files (2.2.0 to 2.5.0) hold the bits of a float32
    there; read as an integer, above 2**30, it limits hardly any value, and the output's range does instead.
    """
    return np.float64((bits ^ 1 << 31) - (1 << 31)) if is_integer(task) else np.float32(float32_of_bits(bits))


def read_first_addends(task: LoadedTask, operands: Operands) -> Float32Array | None:
    """Return what the first stage of a float program adds, or None."""
    config = task.registers.get(r.BS_CFG, 0)
    added = not (is_integer(task) or config & 1 or config >> 1 & 1) and config >> 8 & 1
    return operands["addend"].astype(np.float32) if added else None


def _in_place(function: Callable[..., Any], constant: Any) -> Stage:
    def stage(values: Array, operand: Array | None) -> Array:
        if not values.flags.writeable or values.dtype.kind != "f" or values.dtype == np.float16:
            values = values.astype(np.float32)
        result: Array = function(values, constant, out=values)
        return result

    return stage


@follows(evidence.NEGATIVE_FACTORS)
def _scale_negatives(factor: Array) -> Stage:
    """Compile the multiplication of values below 0 alone: LeakyRelu, PRelu, and Abs with -1.

    Observation: int8 programs have BS leave products from 0 up as they are and shift others by 14 bits, so
    that a factor of 16 bits brings both to one scale.
    """

    def stage(values: Array, operand: Array | None) -> Array:
        return np.where(values < 0, values * factor, values)

    return stage


@follows(evidence.INTEGER_NORM)
def _scale_integers(addend: Any, factor: Any, shift: int) -> Stage:
    """Compile ``(x + addend) * factor / 2**shift``, all bits kept."""
    scale = np.ldexp(np.asarray(1.0 if factor is None else factor, np.float64), -shift)
    start = np.asarray(0.0 if addend is None else addend, np.float64) * scale

    def stage(values: Array, operand: Array | None) -> Array:
        scaled: Array = np.multiply(values, scale, dtype=np.float64)
        scaled += start
        return scaled

    return stage


@follows(evidence.CHANNEL_SCALING)
def _scale_channels(addend: Any, factor: Any, shift: int, negative_shift: int) -> Stage:
    """Compile what silicon was measured to do, rounding and saturation included."""
    scaling = ChannelScaling(
        addend=np.float64(0) if addend is None else np.asarray(addend, np.float64),
        factor=np.float64(1) if factor is None else np.asarray(factor, np.float64),
        shift=shift,
        negative_shift=negative_shift,
    )
    return lambda values, operand: scaling(values)


@follows(evidence.RELU)
def elementwise_stages(
    task: LoadedTask, channels: int, shape: Cube, rules: Rules
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
        operand, stage = decode_second_operand(task, channels, shape)
        stages.append(stage)
    if not task[r.EW_LUT_BYPASS]:
        table = LookupTable.decode(task, integer=is_integer(task))
        stages.append(lambda values, _: table.apply(values, rules.lookups))
    if constant:
        stages.append(_larger_of_constant(task))
    if not task[r.EW_RELU_BYPASS]:
        stages.append(_in_place(np.maximum, np.float32(0)))
    return operand, stages


@follows(evidence.LARGER_OF_CONSTANT)
def _larger_of_constant(task: LoadedTask) -> Stage:
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
    constant = _number_of_bits(task, value)

    def stage(values: Array, operand: Array | None) -> Array:
        result: Array = np.maximum(values, constant)
        return result

    return stage


@follows(evidence.LOOKUP_OFFSET, evidence.LOOKUP_ZERO, evidence.SOFTMAX_OFFSET)
def _converted_lookup(task: LoadedTask, factor: np.float32, rules: Rules) -> Stage:
    """Compile the conversion of what a float program looked up."""
    offset, can_spike = task[r.OUT_CVT_OFFSET], task[r.MINUS_EXP] > 0

    def stage(values: Array, operand: Array | None) -> Array:
        lookups = rules.lookups
        results: Array = np.add(values, offset if lookups.adds_offset else 0, dtype=np.float64)
        if can_spike and lookups.spikes_at_zero:
            results[results == 0] = 1 << 17
        results *= factor
        return results

    return stage


@follows(evidence.POOLING_FACTORS)
def pooling_stages(task: LoadedTask, dtype: np.dtype[Any]) -> list[Stage]:
    """Compile the PPU's two factors of a float16 value.

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


@follows(evidence.OUTPUT_CONVERSION)
def output_stages(task: LoadedTask, dtype: np.dtype[Any], rules: Rules) -> list[Stage]:
    """Compile the output conversion.

    OUT_CVT_OFFSET of a float program is nothing but behind a lookup, where the 1 that it holds is an integer
    or the bits of a float32, 1.4e-45, as `LookupRules` have it.

    Toolkit 2.5.0's softmax writes integers from floats: 1477 x + 15300.6, as int16, is a number whose bits
    read as float16 are nearly exp(x) (Schraudolph, A Fast, Compact Approximation of the Exponential Function,
    1999; within 3 %). The vendor's simulator computes the exact function there.
    """
    task.require(r.CVT_TYPE, 0)
    scale, shift = task[r.OUT_CVT_SCALE], task[r.OUT_CVT_SHIFT]
    if dtype.kind != "i":
        factor = np.float32(np.ldexp(float(scale), -(task[r.MINUS_EXP] + shift)))
        if task.looks_up:
            return [_converted_lookup(task, factor, rules)]
        return [] if factor == 1 else [_in_place(np.multiply, factor)]
    task.require(r.MINUS_EXP, 0)
    if rules.arithmetic != "simulator":
        conversion = OutputConversion(
            (scale ^ 0x8000) - 0x8000, shift, task[r.OUT_CVT_OFFSET], bool(task[r.CVT_ROUND]), dtype
        )
        return [lambda values, operand: conversion(values)]
    offset = float(task[r.OUT_CVT_OFFSET])
    limits = np.iinfo(dtype)
    factor64 = np.ldexp(float(scale), -shift)

    upwards = task[r.CVT_ROUND]  # halves, as the TRM has it; otherwise to even

    def finish(values: Array, operand: Array | None) -> Array:
        scaled: Array = np.multiply(values, factor64, dtype=np.float64)
        scaled += offset + 0.5 if upwards else offset
        (np.floor if upwards else np.rint)(scaled, out=scaled)
        return np.clip(scaled, limits.min, limits.max, out=scaled)

    return [finish]

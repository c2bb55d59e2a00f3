"""The stages of the data processor: order, shifts, limits and roundings of a task's registers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from virtual_npu import UnsupportedProgram
from virtual_npu.execute.arithmetic import Arithmetic, Rules
from virtual_npu.execute.data_processor_operands import BN, BS, ScalingUnit
from virtual_npu.execute.data_processor_stages import (
    largest_channel,
    output_stages,
    scaling_stages,
    turning_point,
)
from virtual_npu.program.loader import LoadedTask

Array = npt.NDArray[Any]
ADDS = 2 << 16  # the algorithm of the addend
NO_RELU = 1 << 6


def bits(value: float, dtype: Any = np.float32) -> int:
    return int(np.array(value, dtype).view(np.uint32 if dtype == np.float32 else np.uint16))


def task_of(precision: int, registers: dict[int, int]) -> LoadedTask:
    return LoadedTask(0, 0, {0x4010: precision, **registers}, ())


def scaled(unit: ScalingUnit, task: LoadedTask, values: list[float], arithmetic: Arithmetic) -> list[float]:
    result = np.array([values])
    for stage in scaling_stages(task, unit, {}, arithmetic):
        result = stage(result, None)
    return [float(each) for each in result[0]]


@pytest.mark.parametrize(
    ("unit", "more", "expected"),
    [
        (BS, NO_RELU, [-6.0, 6.0]),  # (x + 1) * 3
        (BN, NO_RELU, [-8.0, 4.0]),  # x * 3 + 1
        (BS, 0, [0.0, 6.0]),
        (BN, 1 << 7, [0.0, 2.5]),  # a ReLU with a limit
    ],
)
def test_bs_adds_and_bn_multiplies_first(unit: ScalingUnit, more: int, expected: list[float]) -> None:
    registers = {
        unit.config: ADDS | more,
        unit.addend.address: bits(1.0),
        unit.factor: bits(3.0, np.float16) << 16,
        unit.limit.address: bits(2.5),
    }
    assert scaled(unit, task_of(2, registers), [-3.0, 1.0], "silicon") == expected


@pytest.mark.parametrize("arithmetic", ["silicon", "simulator"])
def test_products_below_0_are_shifted_by_their_own_number_of_bits(arithmetic: Arithmetic) -> None:
    registers = {BS.config: ADDS | NO_RELU, BS.addend.address: 8, BS.factor: 3 << 16 | 2 << 8}
    task = task_of(0 | 1 << 4, registers)
    assert scaled(BS, task, [-24.0, 24.0], arithmetic) == [-16 * 3 / 2, 32 * 3 / 4]


def test_results_turn_where_the_addend_brings_them_to_0() -> None:
    registers = {
        BS.config: ADDS | 1 << 5,
        BS.addend.address: bits(1.5),
        BS.factor: bits(-1.0, np.float16) << 16,
    }
    turn = turning_point(task_of(2, registers), {}, {})
    assert turn is not None
    assert turn.tolist() == [-1.5]
    registers[BS.factor] = bits(0.25, np.float16) << 16
    assert turning_point(task_of(2, registers), {}, {}) is None
    registers[BS.factor] = 1
    assert turning_point(task_of(2, registers), {"factor": np.array([0.25, -1.0])}, {}) is not None


@pytest.mark.parametrize(
    ("unit", "registers"),
    [(BS, {BS.config: 0b10}), (BN, {BN.config: ADDS}), (BN, {BN.config: 0b10, BN.factor: 1 << 8})],
    ids=["of BS", "with an addend", "with a shift"],
)
def test_factors_of_negative_integers_stand_alone(unit: ScalingUnit, registers: dict[int, int]) -> None:
    task = task_of(0 | 1 << 4, {**registers, unit.config: registers[unit.config] | 1 << 5})
    with pytest.raises(UnsupportedProgram):
        scaling_stages(task, unit, {}, "silicon")


def test_the_largest_channel_is_taken_of_each_point() -> None:
    assert largest_channel(np.array([[1.0, 3.0, 2.0], [-2.0, -1.0, -3.0]]), None).tolist() == [[3.0], [-1.0]]


def test_a_float_output_is_divided_by_both_powers_of_two() -> None:
    (stage,) = output_stages(task_of(2, {0x4084: 3, 0x4088: 1 << 12 | 2}), np.dtype(np.float16), Rules())
    assert stage(np.array([[8.0]]), None).tolist() == [[3.0]]


@pytest.mark.parametrize(
    ("upwards", "expected"), [(False, [12, 12, 14, -128, 127]), (True, [12, 13, 14, -128, 127])]
)
def test_the_simulator_rounds_halves_up_or_to_even_behind_the_offset(
    upwards: bool, expected: list[int]
) -> None:
    registers = {0x4080: 10, 0x4084: 1, 0x4088: upwards << 30 | 1}
    (stage,) = output_stages(task_of(0, registers), np.dtype(np.int8), Rules("simulator"))
    assert stage(np.array([4.0, 5.0, 7.0, -900.0, 900.0]), None).tolist() == expected

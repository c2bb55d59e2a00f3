"""Lookup rules against what was published of silicon."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.virtual_npu import reference
from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import LookupRules, UnsupportedProgram, VirtualNpu, lookup_choices, read
from virtual_npu.execute.arithmetic import Rules
from virtual_npu.execute.data_processor_stages import output_stages
from virtual_npu.execute.lookup_table import LookupTable
from virtual_npu.program.loader import LoadedTask

Array = npt.NDArray[Any]
DPU = 1 << 3


def _looked_up(x: Array, program: tuple[float, float, int], tables: Array, rules: LookupRules) -> Array:
    """Look up ``x * scale + shift``; `program` is (scale, shift, MINUS_EXP)."""
    scale, shift, exponent = program
    offset = round(float(tables.min()))
    registers = {
        0x4010: 2,
        0x4064: struct.unpack("<I", struct.pack("<f", shift))[0],
        0x4070: 0x302,
        0x4080: offset & 0xFFFFFFFF,
        0x4084: 0x10001,
        0x4088: exponent << 12,
        0x4108: 0x68,
        0x410C: 0x50500,
        0x4110: -16384 & 0xFFFFFFFF,
        0x411C: 16384,
    }
    entries = np.rint(tables - offset).astype(np.int64)
    task = LoadedTask(0, DPU, registers, (entries[:513], entries[512:]))
    values: Array = LookupTable.decode(task, integer=False).apply(x * scale + shift, rules)
    for stage in output_stages(task, np.dtype(np.float16), Rules("silicon", rules)):
        values = stage(values, None)
    return values


def _elu(rules: LookupRules) -> Array:
    """A published program: 4,001 points over +-0.02, index 1024 x + 8192, steps of 2**-11."""
    at = (np.arange(-16384, 16385, 32) - 8192) / 1024
    tables = np.where(at < 0, np.expm1(np.minimum(at, 0)), at) * 2.0**11
    tables = np.maximum(tables, -(2.0**11))
    return _looked_up(np.linspace(-0.02, 0.02, 4001), (1024.0, 8192.0, 11), tables, rules)


def test_an_elu_spikes_at_as_many_points_as_published() -> None:
    results = _elu(LookupRules())
    assert (results == 64).sum() == 97
    assert np.abs(np.where(results == 64, 0, results)).max() < 0.03


@pytest.mark.parametrize("rules", [LookupRules(spikes_at_zero=False), LookupRules(rounds=False)])
def test_an_elu_spikes_at_other_points_by_other_rules(rules: LookupRules) -> None:
    assert (_elu(rules) == 64).sum() != 97


@pytest.mark.parametrize(
    ("edit", "register"),
    [
        ({0x4108: 0x60}, "LUT_CFG"),
        ({0x4120: 1 << 16}, "LUT_LE_SLOPE_OFLOW_SCALE"),
        ({0x4128: 1}, "LUT_LO_SLOPE_UFLOW_SCALE"),
        ({0x410C: 0x50600}, "LUT_LO_INDEX_SELECT"),
        ({0x410C: 0x90900, 0x4110: -(1 << 18) & 0xFFFFFFFF, 0x411C: 1 << 18}, "LUT_LE_INDEX_SELECT"),
        ({0x4110: -16383 & 0xFFFFFFFF}, "LUT_LE_START"),
        ({0x411C: 16383}, "LUT_LO_END"),
    ],
)
def test_tables_that_are_laid_otherwise_are_refused_by_register(edit: dict[int, int], register: str) -> None:
    registers = {0x4010: 2, 0x4070: 0x302, 0x4108: 0x68, 0x410C: 0x50500, 0x4110: -16384 & 0xFFFFFFFF}
    tables = (np.zeros(513, np.int64),) * 2
    task = LoadedTask(0, DPU, {**registers, 0x411C: 16384, **edit}, tables)
    with pytest.raises(UnsupportedProgram) as caught:
        LookupTable.decode(task, integer=False)
    assert caught.value.register == register


def test_a_tanh_of_0_is_the_offset_or_spikes() -> None:
    at = np.arange(-16384, 16385, 32) / 5424
    tables = np.rint(np.tanh(at) * 32768)

    def at_zero(rules: LookupRules) -> float:
        # An offset of 1, as the vendor's files have it, in place of the smallest entry.
        registers = {0x4010: 2, 0x4070: 0x302, 0x4080: 1, 0x4084: 0x10001, 0x4088: 15 << 12, 0x4108: 0x68}
        registers |= {0x410C: 0x50500, 0x4110: -16384 & 0xFFFFFFFF, 0x411C: 16384}
        entries = tables.astype(np.int64)
        task = LoadedTask(0, DPU, registers, (entries[:513], entries[512:]))
        values: Array = LookupTable.decode(task, integer=False).apply(np.zeros(1), rules)
        for stage in output_stages(task, np.dtype(np.float16), Rules("silicon", rules)):
            values = stage(values, None)
        return float(values[0])

    assert at_zero(LookupRules()) == 2.0**-15
    assert at_zero(LookupRules(adds_offset=False)) == 4.0
    assert at_zero(LookupRules(adds_offset=False, spikes_at_zero=False)) == 0.0


def test_by_the_sign_of_the_input_an_exponential_fails() -> None:
    """Its inputs are below 0 and most of its values lie in LO, which the sign would never take."""
    at = (np.arange(-16384, 16385, 32) - 16380) / 3276
    tables = np.exp(at) * 32767
    x = np.array([-0.5, -8.0])
    for rules, is_right in ((LookupRules(), [True, True]), (LookupRules(sides_by_sign=True), [False, True])):
        results = _looked_up(x, (3276.0, 16380.0, 15), tables - 1, rules)
        np.testing.assert_array_equal(np.abs(results - np.exp(x)) < 1e-3, is_right)


@pytest.mark.parametrize("integer", [False, True])
def test_slopes_lead_on_beyond_both_ends_of_the_tables(integer: bool) -> None:
    entries = np.arange(1025, dtype=np.int64) * 32 - 16384  # the identity
    registers = {0x4010: 2, 0x4108: 0x68, 0x410C: 0x50500, 0x4110: -16384 & 0xFFFFFFFF, 0x411C: 16384}
    registers |= {0x4120: 3, 0x4124: 2, 0x4128: 5 << 16, 0x412C: 1 << 5}  # 3/4 below, 5/2 above
    task = LoadedTask(0, DPU, registers, (entries[:513], entries[512:]))
    table = LookupTable.decode(task, integer=integer)
    values = np.array([-16784.0, -16384.0, -7.0, 16384.0, 16385.0, 16784.0])
    expected = [-16384 - 300, -16384, -7, 16384, 16384 + 2.5, 16384 + 1000]
    # An integer's half goes up, a float's to the even one.
    expected[4] = 16387 if integer else 16386
    assert table.apply(values, LookupRules()).tolist() == expected


def test_an_integer_between_two_entries_is_rounded_to_the_nearest() -> None:
    entries = np.arange(1025, dtype=np.int64)
    registers = {0x4010: 0, 0x4108: 0x68, 0x410C: 0x50500, 0x4110: -16384 & 0xFFFFFFFF, 0x411C: 16384}
    table = LookupTable.decode(LoadedTask(0, DPU, registers, (entries[:513], entries[512:])), integer=True)
    # Halfway to the next of 32 places, and a place less; then places that are themselves rounded.
    values = np.array([16.0, 15.0, 15.5, 15.49])
    assert table.apply(values, LookupRules()).tolist() == [513, 512, 513, 512]


def test_choices_of_a_file_are_measured() -> None:
    """Next to a tanh of 0 the index moves by up to half a step of 1 / 5424, the offset by 2**-15."""
    at = np.arange(-16384, 16385, 32) / 5424
    entries = np.rint(np.tanh(at) * 32768).astype(np.int64)
    layer = Dense(np.eye(8), np.zeros(8), table=(entries[:513], entries[512:]), factor=5424.0)
    x = reference.as_input(np.linspace(-1e-3, 1e-3, 64).reshape(8, 8).astype(np.float16))
    npu = VirtualNpu(read(write(Chain([layer], samples=8))))
    apart = lookup_choices(npu, x)
    assert 0 < apart["index and result not rounded"] <= 0.5 / 5424 + 2.0**-15
    assert apart["offset of no effect"] == pytest.approx(2.0**-15, rel=2.0**-8)
    assert apart["offset of no effect, spikes at 0"] > 3.9
    assert apart["table by the sign of the input"] == 0
    assert npu.lookup_rules == LookupRules()
    some = lookup_choices(npu, x, points=2)
    assert 0 < some["index and result not rounded"] <= apart["index and result not rounded"]


@pytest.mark.parametrize("samples", [1, 8])
def test_the_first_points_are_those_of_all(samples: int) -> None:
    rng = np.random.default_rng(samples)
    layers = [Dense(rng.normal(size=(40, 8)), np.ones(40)), Dense(rng.normal(size=(3, 40)), np.zeros(3))]
    npu = VirtualNpu(read(write(Chain(layers, samples=samples))))
    x = rng.normal(size=npu.input_shape)
    rows = npu.run(x)[0, :, :, 0].T
    for count in (1, 3, samples):
        np.testing.assert_array_equal(npu.first_points(x, count), rows[:count])


def test_a_file_without_lookups_has_no_choices() -> None:
    chain = Chain([Dense(np.eye(8), np.zeros(8))], samples=8)
    assert lookup_choices(VirtualNpu(read(write(chain))), np.zeros((1, 8, 8, 1))) == {}

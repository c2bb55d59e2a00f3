"""Faults planted in every unit of the executor, and the check that must fail on each.

A fault that nothing notices is a hole in the tests: each is small, a stride one too long, a shift one too
many, two tables swapped, and must make a named check fail or the program be refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.virtual_npu import reference
from tests.virtual_npu.execute.test_virtual_npu import _float_chain, _integer_chain, _tanh_table
from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import RknnFile, VirtualNpu, VirtualNpuError, read
from virtual_npu.execute import (
    convolution,
    data_processor_operands,
    data_processor_stages,
    steps,
)
from virtual_npu.execute.arithmetic import LookupRules
from virtual_npu.execute.lookup_table import LookupTable
from virtual_npu.program import registers as r
from virtual_npu.program.chips import RK3588, by_name
from virtual_npu.program.layout_layers import rearranged
from virtual_npu.program.loader import LoadedTask
from virtual_npu.program.registers import Field

Patch = Callable[[pytest.MonkeyPatch], None]


# --- checks ---------------------------------------------------------------------------------------------


def _close(chain: Chain, rows: Any, cores: int = 1) -> None:
    y = reference.as_rows(VirtualNpu(read(write(chain)), cores).run(reference.as_input(rows)))
    # Values of a few units, each rounded to a part in 2**11 by two layers.
    np.testing.assert_allclose(y, reference.float16(chain, rows), atol=0.02)


def float16_chain() -> None:
    _close(*_float_chain(3, [20, 40, 9], 7))


def float16_on_three_cores() -> None:
    _close(*_float_chain(3, [20, 40, 9], 7), cores=3)


def copied_by_the_ppu() -> None:
    chain, rows = _float_chain(3, [20, 40, 9], 7)
    _close(Chain(chain.layers, 7, copied=frozenset({0})), rows)


def lookup() -> None:
    chain = Chain([Dense(np.eye(8), np.zeros(8), table=_tanh_table(), factor=5424.0)], samples=8)
    rows = np.linspace(-4, 4, 64).reshape(8, 8).astype(np.float16)
    y = reference.as_rows(VirtualNpu(read(write(chain))).run(reference.as_input(rows)))
    assert reference.halfway_steps(y, reference.float16(chain, rows)).max() <= 1


def _exact(chain: Chain, rows: Any) -> None:
    y = VirtualNpu(read(write(chain))).run_native(reference.as_input(rows))
    expected = reference.integers(chain.layers[0], rows, chain.dtype)
    np.testing.assert_array_equal(reference.as_rows(y), expected)


def int8_layer() -> None:
    _exact(*_integer_chain(4, 100, 40, 6, "int8"))


def int16_layer() -> None:
    _exact(*_integer_chain(5, 300, 20, 6, "int16"))


def halves() -> None:
    """Sums of which every other one lies halfway between two outputs."""
    unit = np.full(8, 1 << 14)
    layer = Dense(np.eye(8, dtype=int), np.zeros(8, int), multipliers=unit, out_scale=1 << 14, out_shift=15)
    _exact(Chain([layer], 8, "int8"), np.arange(-32, 32).reshape(8, 8).astype(np.int8))


def cancelling() -> None:
    """Products of 30 bits whose sum has 14."""
    weights = np.tile([16001, -16001, 1, 0, 0, 0, 0, 0], (8, 1)) + np.arange(8)[:, None] * [
        0,
        0,
        1,
        0,
        0,
        0,
        0,
        0,
    ]
    unit = np.full(8, 1 << 14)
    layer = Dense(weights, np.zeros(8, int), multipliers=unit, out_scale=1 << 14, out_shift=14)
    rows = np.zeros((8, 8), np.int16)
    rows[:, 0] = np.arange(25001, 25009)
    rows[:, 1], rows[:, 2] = rows[:, 0] - 1, np.arange(8)
    _exact(Chain([layer], 8, "int16"), rows)


def _agrees(found: tuple[RknnFile, Any, Any], tolerance: float) -> None:
    file, inputs, simulated = found
    npu = VirtualNpu(file)
    assert np.abs(np.stack([npu.run(x) for x in inputs]) - simulated).max() <= tolerance


Files = dict[str, tuple[RknnFile, Any, Any]]
WRITTEN: dict[str, Callable[[], None]] = {
    check.__name__: check
    for check in (
        float16_chain, float16_on_three_cores, copied_by_the_ppu, lookup, int8_layer, int16_layer, halves,
        cancelling,
    )
}  # fmt: skip
CONVERTED: dict[str, tuple[tuple[Any, ...], float]] = {
    # precision, form, widths, hidden, last, samples; how close to the simulator
    "image input": (("float16", "conv", (3, 8, 3), "Relu", "", 9), 0.01),
    "transposed": (("float16", "matmul", (30, 50, 7), "Relu", "", 8), 0.01),
    "softmax": (("float16", "conv", (40, 20, 10), "Relu", "Softmax", 16), 2e-3),
    "converted softmax": (("int8", "conv", (40, 20, 10), "Relu", "Softmax", 16), 0.03),
    "int8 chain": (("int8", "conv", (40, 70, 10), "Relu", "", 16), 0.1),
}


@pytest.fixture(scope="module")
def files() -> Files:
    """What toolkit 2.3.2 makes of a few networks, with the simulator's outputs."""
    pytest.importorskip("onnx", reason="onnx is not installed: no graphs to convert")
    toolkits = pytest.importorskip(
        "sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed: no converter"
    )
    from sklearn2rknn.errors import ToolkitError
    from tests.virtual_npu_agreement.artifacts import Artifact, build

    found = {}
    try:
        with toolkits.open_toolkit("2.3.2") as toolkit:
            for name, ((precision, form, widths, hidden, last, samples), _) in CONVERTED.items():
                artifact = Artifact("2.3.2", precision, form, widths, hidden, last, samples, 1)
                inputs, built = build(toolkit, artifact)
                assert built.simulated is not None
                found[name] = (read(built.rknn), inputs[:2], built.simulated[:2])
    except ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 2.3.2 cannot be had on this machine: {error}")
    return found


# --- faults ---------------------------------------------------------------------------------------------


class _OneMore(Field):
    def of(self, value: int) -> int:
        return super().of(value) + 1


def _field(name: str) -> Patch:
    return lambda patch: patch.setattr(r, name, _OneMore(*getattr(r, name)))


def _swapped_tables(patch: pytest.MonkeyPatch) -> None:
    decode = LookupTable.decode

    def swapped(task: LoadedTask, *, integer: bool) -> LookupTable:
        return decode(replace(task, tables=task.tables[::-1]), integer=integer)

    patch.setattr(LookupTable, "decode", swapped)


def _shifted_lookup(patch: pytest.MonkeyPatch) -> None:
    apply = LookupTable.apply

    def shifted(table: LookupTable, values: Any, rules: LookupRules) -> Any:
        return apply(table, values + np.float32(32), rules)

    patch.setattr(LookupTable, "apply", shifted)


def _factor_first(patch: pytest.MonkeyPatch) -> None:
    scale = data_processor_stages._scale_channels

    def wrong(addend: Any, factor: Any, shift: int, negative_shift: int) -> Any:
        both = scale(None, factor, shift, negative_shift), scale(addend, None, 0, 0)
        return lambda values, operand: both[1](both[0](values, operand), operand)

    patch.setattr(data_processor_stages, "_scale_channels", wrong)


def _reversed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(steps, "rearranged", lambda *given: rearranged(*given)[::-1].copy())


def _swapped_functions(patch: pytest.MonkeyPatch) -> None:
    divide, subtract = data_processor_operands.ALU_DIVIDE, data_processor_operands.ALU_SUBTRACT
    patch.setattr(data_processor_operands, "ALU_DIVIDE", subtract)
    patch.setattr(data_processor_operands, "ALU_SUBTRACT", divide)


def _value(owner: Any, name: str, value: Any) -> Patch:
    return lambda patch: patch.setattr(owner, name, value)


def _chip(**differences: Any) -> Patch:
    return lambda patch: patch.setitem(by_name._CHIPS, "rk3588", replace(RK3588, **differences))


FAULTS: list[tuple[str, str, Patch, str]] = [
    ("CNA", "surfaces one point longer", _field("SURF_STRIDE"), "float16_chain"),
    ("CNA", "lines one atom longer", _field("LINE_STRIDE"), "int8_layer"),
    ("CNA", "image lines longer", _field("LINE_STRIDE"), "image input"),
    ("CNA", "weights in blocks of 16 channels", _chip(channel_blocks={1: 16, 2: 16}), "int8_layer"),
    ("CNA", "one channel more", _field("DATAIN_CHANNEL_REAL"), "float16_chain"),
    ("CNA", "weights' offsets left out", _field("OD_BYPASS"), "int8 chain"),
    ("CORE", "sums in 24 bits", _value(convolution, "_EXACT_IN_FLOAT32", 1 << 60), "cancelling"),
    (
        "CORE",
        "sums past 32 bits",
        lambda patch: patch.setattr(convolution, "_saturate", lambda sums, *_: sums),
        "int16_layer",
    ),
    ("CORE", "one output channel more", _field("DATAOUT_CHANNEL"), "float16_chain"),
    ("CORE", "one point more", _field("DATAOUT_HEIGHT"), "int8_layer"),
    ("DPU", "shift one too many", _field("OUT_CVT_SHIFT"), "int8_layer"),
    ("DPU", "zero point one higher", _field("OUT_CVT_OFFSET"), "int16_layer"),
    ("DPU", "halves upwards", _field("CVT_ROUND"), "halves"),
    ("DPU", "factor before addend", _factor_first, "int8_layer"),
    ("DPU", "destination surfaces longer", _field("DST_SURF_STRIDE"), "float16_chain"),
    ("DPU", "destination lines longer", _field("NOTCH_ADDR_0"), "float16_on_three_cores"),
    ("DPU", "tables swapped", _swapped_tables, "lookup"),
    ("DPU", "lookup one entry on", _shifted_lookup, "lookup"),
    ("DPU", "division and subtraction swapped", _swapped_functions, "softmax"),
    ("DPU", "conversion's exponent one more", _field("MINUS_EXP"), "converted softmax"),
    ("DPU_RDMA", "operands in groups of four", _chip(operand_group=4), "int8_layer"),
    ("DPU_RDMA", "source surfaces longer", _field("SURF_NOTCH_ADDR"), "converted softmax"),
    ("DPU_RDMA", "source lines longer", _field("LINE_NOTCH_ADDR"), "softmax"),
    ("DPU_RDMA", "second operand's surfaces longer", _field("EW_SURF_STRIDE"), "softmax"),
    ("PPU", "destination surfaces longer", _field("PPU_DST_SURF_STRIDE"), "copied_by_the_ppu"),
    ("PPU", "one channel fewer", _value(r, "PPU_IN_CHANNEL", Field("", 0x6014, 5, 8)), "copied_by_the_ppu"),
    ("PPU_RDMA", "source surfaces longer", _field("PPU_SRC_SURF_STRIDE"), "copied_by_the_ppu"),
    ("PPU_RDMA", "source one atom on", _field("PPU_SRC_BASE_ADDR"), "copied_by_the_ppu"),
    ("Transpose", "points in reverse", _reversed, "transposed"),
    ("memory", "atoms of 8 bytes", _chip(atoms={1: 8, 2: 8, 4: 8}), "float16_chain"),
]


def _check(name: str, files: Files) -> None:
    if name in WRITTEN:
        WRITTEN[name]()
    else:
        _agrees(files[name], CONVERTED[name][1])


@pytest.mark.parametrize("name", [*WRITTEN, *CONVERTED])
def test_without_fault_the_check_holds(name: str, files: Files) -> None:
    _check(name, files)


@pytest.mark.parametrize(
    ("unit", "fault", "plant", "check"), FAULTS, ids=[f"{u}: {f}" for u, f, _, _ in FAULTS]
)
def test_fault_is_caught(
    unit: str, fault: str, plant: Patch, check: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with np.errstate(all="ignore"), pytest.raises((AssertionError, VirtualNpuError)):
        _check(check, files)

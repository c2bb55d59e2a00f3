"""The register programs of converted networks, against published limits and captures."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from sklearn2rknn import Layer, Network, Toolkit, onnx_from_network
from sklearn2rknn.options import LARGEST_BATCH_SIZE
from tests.counts import counted
from virtual_npu import RknnFile, over_wide_fields, read
from virtual_npu.program.loader import load
from virtual_npu.program.memory import Memory

ONE_ROW_1024_1001: list[dict[int, int]] = [
    {
        0x100C: 0x120, 0x1010: 0x20, 0x1020: 0x10001, 0x1024: 0x3F0400, 0x102C: 1, 0x1030: 0x1F4800,
        0x1034: 0x800, 0x1038: 0x10103E9, 0x1040: 0xB1, 0x1080: 0xFFFFFFD, 0x1084: 0x10001, 0x1088: 0x400,
        0x3014: 0, 0x3018: 0x3EF, 0x4024: 0x10, 0x4034: 0, 0x403C: 0x3E803EF, 0x4058: 0x3EF, 0x405C: 0,
        0x40C0: 0x20,
    },
    *(
        {0x1010: con2, 0x1030: size, 0x1038: kernels, 0x3018: last, 0x403C: cube, 0x4058: last}
        for con2, size, kernels, last, cube in (
            (0x40000020, 0x100000, 0x1010200, 0x1FF, 0x1FF01FF),
            (0x40000020, 0xF4800, 0x10101E9, 0x1EF, 0x1E801EF),
            (0x50000020, 0xA0000, 0x1010140, 0x13F, 0x13F013F),
            (0x50000020, 0xA0000, 0x1010140, 0x13F, 0x13F013F),
            (0x50000020, 0xB4800, 0x1010169, 0x16F, 0x168016F),
        )
    ),
]  # fmt: skip
"""Programs of the vendor's runtime for a 1x1 convolution of one point, captured on an RK3588 where their
bodies ran right: allbilly/rk3588 at 40fae7b1, conv_expt/capture_harness/decoded/c1024_h1_oc1001.json. One
row a task: of one core, two and three; of the later ones what differs from the first."""

ONE_ROW_128_24 = [
    ONE_ROW_1024_1001[0]
    | {
        0x1024: 0x3F0080, 0x1030: 0x1800, 0x1034: 0x100, 0x1038: 0x1010018, 0x1088: 0x80, 0x3018: 0x1F,
        0x403C: 0x17001F, 0x4058: 0x1F,
    }
]  # fmt: skip
"""The same of 128 to 24 channels, of one core: c128_h1_oc24_s1pvalid.json."""


def program(
    toolkit: Toolkit, widths: tuple[int, ...], batch_size: int, activation: str = "relu"
) -> tuple[RknnFile, list[Any]]:
    """Build a network; return the file, and the convolutions of all its programs."""
    rng = np.random.default_rng(0)
    layers = [
        Layer(rng.standard_normal(pair) / np.sqrt(pair[0]), rng.standard_normal(pair[1]), activation)
        for pair in itertools.pairwise(widths)
    ]
    network = Network(
        estimator="MLPRegressor",
        task="regressor",
        head="identity",
        layers=tuple(layers),
        classes=None,
        feature_names=None,
        single_output=False,
        dtype="float64",
    )
    graph = onnx_from_network(network, batch_size).SerializeToString()
    file = read(toolkit.build(graph, config={"target_platform": "rk3588"}).rknn)
    tasks = [task for cores in (1, 2, 3) for task in load(file, Memory(file), cores)]
    return file, [task for task in tasks if task.runs("CNA")]


@pytest.mark.parametrize(
    ("widths", "captured"), [((1024, 1001), ONE_ROW_1024_1001), ((128, 24), ONE_ROW_128_24)]
)
def test_a_one_row_program_equals_a_captured_one_in_20_registers(
    toolkit: Toolkit, widths: tuple[int, int], captured: list[dict[int, int]]
) -> None:
    first = captured[0]
    assert len(first) == 20
    _, tasks = program(toolkit, widths, 1, "identity")
    found = [{address: task.registers.get(address, 0) for address in first} for task in tasks]
    for row in captured:
        assert first | row in found


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_no_batch_size_that_is_accepted_has_a_value_past_its_field(toolkit: Toolkit, activation: str) -> None:
    rng = np.random.default_rng(0)
    drawn = rng.integers(1, LARGEST_BATCH_SIZE, counted(200)).tolist()
    for batch_size in (1, 1022, 1023, 1024, LARGEST_BATCH_SIZE, *drawn):
        file, tasks = program(toolkit, (8, 16, 3), batch_size, activation)
        assert not over_wide_fields(file)
        assert max(task.registers[0x1020] & 0xFFFF for task in tasks) <= 2047
        # The vendor's compiler caps the lines fetched at a time, whose field has 10 bits.
        assert tasks[0].registers[0x1010] >> 4 & 0x3FF == min(batch_size + 1, 1023)


@pytest.mark.filterwarnings("ignore::virtual_npu.OverWideFieldWarning")
@pytest.mark.parametrize(
    ("batch_size", "heights"), [(2048, [2048]), (8191, [5632, 2559]), (16384, [5632, 5632, 5120])]
)
def test_more_rows_would_pass_the_field(toolkit: Toolkit, batch_size: int, heights: list[int]) -> None:
    """Why 2,047 rows are the most: the toolkit writes these on one core, without a line in its log."""
    file, tasks = program(toolkit, (8, 16, 3), batch_size)
    assert [task.registers[0x1020] & 0xFFFF for task in tasks][: len(heights)] == heights
    assert over_wide_fields(file)[0].value == heights[0]

"""Which files' answers are compared to the bit, and which may differ by events on lane 0."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import pytest

import virtual_npu
from rknn_harness.verdicts.lane_events import BitComparison, Compared, LaneComparison
from scirknn.bundle import Bundle
from tests.virtual_npu.execute.test_virtual_npu import _tanh_table
from tests.virtual_npu.rknn_writer import Chain, Dense, small, write
from virtual_npu import RknnFile, read
from virtual_npu.evidence import FLOAT16_SUMS, FUSED_ADDITION, Rule

TANH = read(write(Chain([Dense(np.eye(8), np.zeros(8), table=_tanh_table(), factor=5424.0)], samples=8)))
ROWS = np.zeros((3, 2), np.float32)


def comparison(*files: RknnFile) -> LaneComparison:
    return LaneComparison(cast(Bundle, None), list(files))


def test_only_float16_without_lookups_stands_for_a_board_to_the_bit() -> None:
    float16, int8 = read(small()), read(small("int8"))
    files: tuple[Any, ...] = ((float16,), (int8,), (TANH,), (float16, TANH))
    assert [comparison(*each).is_exact for each in files] == [True, False, False, False]


@pytest.mark.parametrize(
    ("platform", "rules", "is_exact"),
    [
        ("rk3588s", (FLOAT16_SUMS,), True),
        ("rk3576", (FLOAT16_SUMS,), False),
        ("rk3588", (FLOAT16_SUMS, FUSED_ADDITION), False),
    ],
)
def test_what_nobody_measured_does_not_stand_for_a_board_to_the_bit(
    platform: str, rules: tuple[Rule, ...], is_exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums were measured on RK3588s alone, and no sum that another layer's result is added to."""
    monkeypatch.setattr(virtual_npu, "rules_followed", lambda _: rules)
    assert comparison(dataclasses.replace(read(small()), target_platform=platform)).is_exact == is_exact


@pytest.mark.parametrize("bits", [BitComparison(), comparison(read(small("int8")))], ids=["virtual", "int8"])
def test_without_float16_sums_nothing_but_equal_bits_is_admitted(
    bits: BitComparison | LaneComparison,
) -> None:
    other = ROWS.copy()
    other[1, 0] = 1e-38
    assert bits.compare(ROWS, ROWS, ROWS.copy(), "mine") == Compared()
    compared = bits.compare(ROWS, ROWS, other, "mine")
    assert (compared.own, compared.carried) == (0, 0)
    assert compared.error is not None
    assert compared.error.startswith("The output differs from mine in 1 of 6 numbers, first in row 1")


def test_two_comparisons_add_their_counts_and_keep_the_first_error() -> None:
    both = Compared("one", 1, 2) + Compared("two", 3, 4)
    assert both == Compared("one", 4, 6)
    assert "4 numbers differ by an event in their own sum, to the bit, and 6 within" in both.note
    assert (Compared() + Compared("two")).error == "two"
    assert Compared().note == ""

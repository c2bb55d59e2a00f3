"""Which files' answers are compared to the bit, and which may differ by events on lane 0."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from rknn_harness.verdicts.lane_events import BitComparison, Compared, LaneComparison
from scirknn.bundle import Bundle
from tests.virtual_npu.execute.test_virtual_npu import _tanh_table
from tests.virtual_npu.rknn_writer import Chain, Dense, small, write
from virtual_npu import RknnFile, read

TANH = read(write(Chain([Dense(np.eye(8), np.zeros(8), table=_tanh_table(), factor=5424.0)], samples=8)))
ROWS = np.zeros((3, 2), np.float32)


def comparison(*files: RknnFile) -> LaneComparison:
    return LaneComparison(cast(Bundle, None), list(files))


def test_only_float16_without_lookups_stands_for_a_board_to_the_bit() -> None:
    float16, int8 = read(small()), read(small("int8"))
    files: tuple[Any, ...] = ((float16,), (int8,), (TANH,), (float16, TANH))
    assert [comparison(*each).is_exact for each in files] == [True, False, False, False]


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

"""Real numbers and the integers that stand for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.virtual_npu.rknn_writer import small
from virtual_npu import read
from virtual_npu.execute.quantization import dequantize, quantize

INT8 = dataclasses.replace(read(small("int8")).inputs[0], scale=0.5, zero_point=-3)


@pytest.mark.parametrize(
    ("value", "stored"),
    [(0.0, -3), (0.25, -3), (0.75, -1), (-0.25, -3), (1.0, -1), (65.5, 127), (1e30, 127), (-63.0, -128)],
)
def test_a_number_is_rounded_to_the_nearest_halves_to_even_moved_and_held_at_the_ends(
    value: float, stored: int
) -> None:
    assert quantize(np.array([value]), INT8).tolist() == [stored]


def test_what_no_integer_can_hold_becomes_0_or_an_end() -> None:
    given = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert quantize(given, INT8).tolist() == [0, 127, -128]


def test_every_integer_comes_back() -> None:
    stored = np.arange(-128, 128, dtype=np.int8)
    real = dequantize(stored, INT8)
    assert (real[125], real[127]) == (0.0, 1.0)
    np.testing.assert_array_equal(quantize(real, INT8), stored)
    floats = np.array([1.5], np.float16)
    assert dequantize(floats, read(small()).inputs[0]).tolist() == [1.5]

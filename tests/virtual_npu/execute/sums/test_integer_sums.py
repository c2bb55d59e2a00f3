"""Sums of integers are exact, lose their lowest bits where a task says so, and end where int32 does."""

from __future__ import annotations

import numpy as np
import pytest

from virtual_npu.execute.convolution import _integer_sums, _saturate, _shorten


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_sums_that_float32_does_not_hold_are_exact(dtype: type[np.integer]) -> None:
    largest = np.iinfo(dtype).max
    rows, weights = np.full((1, 2001), largest, dtype), np.full((1, 2001), float(largest))
    rows[0, 0] = 1
    expected = 2000 * largest**2 + largest
    assert expected % 2 == 1
    assert _integer_sums(weights, np.dtype(dtype))(rows).tolist() == [[expected]]


@pytest.mark.parametrize(("bits", "expected"), [(0, [5.0, 6.0, 7.0, -5.0]), (1, [2.0, 3.0, 4.0, -2.0])])
def test_shortened_sums_are_rounded_halves_to_even(bits: int, expected: list[float]) -> None:
    given = np.array([5, 6, 7, -5])
    assert _shorten(lambda rows: rows, bits)(given).tolist() == expected


@pytest.mark.parametrize("largest", [2.0**31, 2.0**32, 2.0**40])
def test_sums_are_held_at_the_ends_of_int32(largest: float) -> None:
    given = np.array([largest, -largest - 1, 7.0])
    assert _saturate(lambda rows: rows, largest, 0)(given).tolist() == [2.0**31 - 1, -(2.0**31), 7.0]
    short = np.array([2.0**29])
    assert _saturate(lambda rows: rows, 2.0**32, 2)(short) is short

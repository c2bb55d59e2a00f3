"""The integer path's rounding, held against an evaluation in Python's own integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtual_npu.execute.integer_rounding import ChannelScaling, OutputConversion

SUMS = st.integers(-(2**46), 2**46) | st.integers(-1000, 1000)
SHIFTS = st.integers(0, 40)
INT16 = st.integers(-(2**15), 2**15 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)


def saturate(value: int, bits: int) -> int:
    limit = 1 << (bits - 1)
    return max(-limit, min(value, limit - 1))


@given(st.lists(SUMS, min_size=1, max_size=8), INT32, INT16, SHIFTS, SHIFTS)
def test_channel_scaling_is_that_of_the_published_rule(
    sums: list[int], addend: int, factor: int, shift: int, negative_shift: int
) -> None:
    scaling = ChannelScaling(float(addend), float(factor), shift, negative_shift)
    found = scaling(np.array([sums], np.float64))[0]
    for value, result in zip(sums, found, strict=True):
        product = (value + addend) * factor
        used = shift if product >= 0 else negative_shift
        assert int(result) == saturate(round(Fraction(product, 2**used)), 32)


@pytest.mark.parametrize("shift", [23, 30, 40])
@pytest.mark.parametrize("past_half", [0, 1])
def test_products_of_more_than_53_bits_at_a_half_and_next_to_it_round_exactly(
    shift: int, past_half: int
) -> None:
    factor = 2**15 - 1
    least = (2 ** (shift - 1) + past_half) * pow(factor, -1, 2**shift) % 2**shift
    sums = [least + (n << shift) for n in range(3 << 37 >> shift, (3 << 37 >> shift) + 4)]
    found = ChannelScaling(0.0, float(factor), shift, 0)(np.array([sums], np.float64))[0]
    assert found.tolist() == [round(Fraction(value * factor, 2**shift)) for value in sums]


@pytest.mark.parametrize(("total", "expected"), [(3, 2), (5, 2), (7, 4), (-3, -2), (-5, -2), (-7, -4)])
def test_channel_scaling_rounds_halves_to_even(total: int, expected: int) -> None:
    assert ChannelScaling(0.0, 1.0, 1, 1)(np.array([[total]], np.float64))[0, 0] == expected


def test_channel_scaling_takes_the_shift_of_the_sign() -> None:
    assert ChannelScaling(0.0, 1.0, 2, 4)(np.array([[64.0, -64.0]])).tolist() == [[16, -4]]


def test_without_a_shift_the_product_saturates() -> None:
    assert ChannelScaling(0.0, 2.0, 0, 0)(np.array([[2.0**31, -(2.0**31)]])).tolist() == [
        [2**31 - 1, -(2**31)]
    ]


@given(
    st.lists(INT32, min_size=1, max_size=8),
    INT16,
    SHIFTS,
    st.integers(-300, 300),
    st.booleans(),
    st.sampled_from(["i1", "i2", "i4"]),
)
def test_output_conversion_is_that_of_the_published_rule(
    values: list[int], scale: int, shift: int, offset: int, halves_away: bool, dtype: str
) -> None:
    convert = OutputConversion(scale, shift, offset, halves_away, np.dtype(dtype))
    found = convert(np.array([values], np.float64))[0]
    for value, result in zip(values, found, strict=True):
        exact = Fraction(value * scale, 2**shift)
        away = (1 if exact > 0 else -1) * int(abs(exact) + Fraction(1, 2))
        rounded = away if halves_away else round(exact)
        assert int(result) == saturate(rounded + offset, np.dtype(dtype).itemsize * 8)


@pytest.mark.parametrize(
    ("value", "even", "away"), [(1, 0, 1), (3, 2, 2), (5, 2, 3), (-1, 0, -1), (-5, -2, -3)]
)
def test_both_rules_for_halves(value: int, even: int, away: int) -> None:
    for halves_away, expected in ((False, even), (True, away)):
        convert = OutputConversion(1, 1, 0, halves_away, np.dtype(np.int8))
        assert convert(np.array([[value]], np.float64))[0, 0] == expected


def test_the_offset_comes_after_the_rounding() -> None:
    # 1 / 2 rounds to 0, and 1 more is 1; 1 / 2 + 1 would round to 2.
    assert OutputConversion(1, 1, 1, False, np.dtype(np.int8))(np.array([[1.0]]))[0, 0] == 1

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from virtual_npu.execute.half_precision import (
    BFLOAT16,
    bfloat16_bits,
    round_to_bfloat16,
    round_to_half,
    widened,
)


def _check(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float32)
    result = round_to_half(values.copy())
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(np.signbit(result), np.signbit(expected))


@given(arrays(np.uint32, st.integers(0, 40)))
def test_any_bits_round_as_numpy_does(bits: np.ndarray[tuple[int, ...], np.dtype[np.uint32]]) -> None:
    values = bits.view(np.float32)
    _check(values)
    _check(np.tile(values, 40))  # by bits, where numpy's own conversion would be slow


def test_every_float16_what_lies_halfway_and_its_neighbours() -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    between = (halves[:-1] + halves[1:]) / 2
    values = np.concatenate([halves, between, np.nextafter(between, 0), np.nextafter(between, np.inf)])
    values = np.concatenate([values, -values]).astype(np.float32)
    _check(values)
    _check(values.reshape(2, -1).T)
    _check(np.append(values, np.array([np.nan, np.inf, 65519.9, 65520], np.float32)))


def test_bfloat16_halves_go_to_even_and_what_is_not_finite_stays() -> None:
    values = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, -(1 + 2.0**-8 + 2.0**-20), np.inf, -0.0], np.float32)
    rounded = round_to_bfloat16(values)
    np.testing.assert_array_equal(rounded, np.array([1, 1 + 2.0**-6, -(1 + 2.0**-7), np.inf, -0.0]))
    assert np.isnan(round_to_bfloat16(np.full(1, np.nan))).all()


def test_every_bfloat16_comes_back_from_memory() -> None:
    stored = np.arange(1 << 16, dtype=BFLOAT16)
    values = widened(stored)
    np.testing.assert_array_equal(bfloat16_bits(values), stored)
    finite = np.isfinite(values)
    np.testing.assert_array_equal(round_to_bfloat16(values)[finite], values[finite])

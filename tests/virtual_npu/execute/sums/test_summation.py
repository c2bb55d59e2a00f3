"""The rules of summation, against their statements in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from virtual_npu.execute.sums.summation import simulator_sums, summation

Array = npt.NDArray[Any]

CHANNELS = st.one_of(st.integers(1, 40), st.sampled_from([127, 129, 300, 1030]))
KERNELS = st.integers(1, 9)
POINTS = st.one_of(st.integers(1, 5), st.sampled_from([16, 17, 32, 33, 64, 65]))


def _sums(rule: Any, rows: Array, weights: Array) -> Array:
    return summation(rule, weights, len(rows))(rows.astype(np.float32))


def _operands(seed: int, points: int, channels: int, kernels: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    rows, weights = rng.normal(size=(points, channels)), rng.normal(size=(channels, kernels))
    rows[rng.random(rows.shape) < 0.3] = 0  # as ReLU leaves them
    return rows.astype(np.float16), weights.astype(np.float16)


def _ordered(terms: list[Any]) -> Any:
    total = np.float32(0)
    for term in terms:
        total = np.float32(total + term)
    return total


def _simulated(row: Array, kernel: Array, points: int, kernels: int, place: int) -> Any:
    """One sum as the rule's words have it, on scalars."""
    products = [np.float32(a) * np.float32(b) for a, b in zip(row, kernel, strict=True)]
    if kernels == 1:
        total, at = np.float32(0), 0
        while at < len(products):
            count = next(n for n in (4, 2, 1) if at + n <= len(products))
            total = np.float32(total + _ordered(products[at : at + count]))
            at += count
        return total
    if points == 1:
        lanes = [_ordered(products[i::8]) for i in range(8)]
        halves = lanes[:4], lanes[4:]
        if place < kernels // 4 * 4:
            return _ordered([_ordered(half) for half in halves])
        if kernels % 2 and place == kernels - 1:
            return _ordered([_ordered([_ordered(half[:2]), _ordered(half[2:])]) for half in halves])
        ends = [[_ordered([half[i], half[i + 2]]) for half in halves] for i in (0, 1)]
        return _ordered([_ordered(end) for end in ends])
    block = next((size for limit, size in ((16, 1024), (32, 512), (64, 256)) if points <= limit), 128)
    return _ordered([_ordered(products[i : i + block]) for i in range(0, len(products), block)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), POINTS, CHANNELS, KERNELS)
def test_simulator_sums_follow_its_order(seed: int, points: int, channels: int, kernels: int) -> None:
    rows, weights = _operands(seed, points, channels, kernels)
    result = _sums("simulator", rows, weights)
    for i in {0, points - 1}:
        for k in range(kernels):
            assert result[i, k] == _simulated(rows[i], weights[:, k], points, kernels, k)


@pytest.mark.parametrize("channels", [1024, 1025, 1026, 1027])
def test_one_row_through_many_weights_starts_from_the_bias(channels: int) -> None:
    """More than 2**19 weights: four products in order, then two, then one, each onto what came before."""
    rng = np.random.default_rng(channels)
    row, weights = rng.normal(size=channels), rng.normal(size=(channels, 512))
    row, weights = row.astype(np.float32), weights.astype(np.float32)
    biases = rng.normal(size=512).astype(np.float32)
    result = simulator_sums(row[None], weights, 1, biases, fused=True)[0]
    last = simulator_sums(row[None], weights, 1)[0] + biases
    if channels == 1024:  # 2**19: a convolution, its bias added last
        np.testing.assert_array_equal(result, last)
        return
    for k in range(0, 512, 37):
        products = [a * b for a, b in zip(row, weights[:, k], strict=True)]
        total, at = biases[k], 0
        while at < channels:
            count = next(n for n in (4, 2, 1) if at + n <= channels)
            total = total + _ordered(products[at : at + count])
            at += count
        assert result[k] == total


@pytest.mark.parametrize("rule", ["silicon", "simulator", "fast"])
def test_a_sum_of_nothing_but_zeros_is_plus_zero(rule: Any) -> None:
    result = _sums(rule, np.zeros((2, 5)), np.full((5, 3), -1, np.float16))
    assert not result.any()
    assert not np.signbit(result).any() or rule == "fast"

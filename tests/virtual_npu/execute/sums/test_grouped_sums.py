"""Sums in groups of 32 products, held against an evaluation in whole numbers of Python's own."""

from __future__ import annotations

import itertools
import os
import signal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.counts import counted
from tests.virtual_npu.float_arithmetic import grouped_sum, to_float16, to_float32
from tests.virtual_npu.reference import as_input
from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import VirtualNpu, read
from virtual_npu.execute.sums.grouped_sums import GroupedSums, round_sum_to_float32

Array = npt.NDArray[Any]


EDGES = (1, 2, 31, 32, 33, 64, 100, 257, 1024, 4096)


def drawn(seed: int) -> tuple[Array, Array]:
    """Draw rows and weights: usual, of any finite bits, or wide apart; most with groups that cancel."""
    random = np.random.default_rng(seed)
    channels = EDGES[seed // 8] if seed < 80 else int(4096 ** random.random())
    points, kernels = (int(count) for count in random.integers(1, 4, 2))
    shapes = ((points, channels), (channels, kernels))
    kind = seed % 4
    if kind == 1:
        values = [random.integers(0, 0x7C00, shape).astype("<u2").view("<f2") for shape in shapes]
        values = [value * random.choice([-1, 1], value.shape) for value in values]
    else:
        values = [random.standard_normal(shape) for shape in shapes]
    if kind == 2:
        values = [value * 2.0 ** random.integers(-24, 15, value.shape) for value in values]
    rows, weights = (np.asarray(value, np.float16).astype(np.float32) for value in values)
    if kind != 0:
        for first in range(0, channels - 1, 32):  # products in pairs that leave nothing, or a last bit
            if random.random() < 0.5:
                last = min(first + 32, channels - channels % 2)
                rows[:, first + 1 : last : 2] = rows[:, first : last - 1 : 2]
                off = random.integers(0, 2) * 2.0**-10
                pairs = -weights[first : last - 1 : 2] * (1 + off)
                weights[first + 1 : last : 2] = np.clip(pairs, -65504, 65504).astype(np.float16)
    return rows, weights


@pytest.mark.parametrize("seed", range(counted(2000)))
def test_sums_and_the_default_output_are_those_of_the_published_rule(seed: int) -> None:
    rows, weights = drawn(seed)
    sums = GroupedSums(weights)(rows)
    point, kernel = seed % len(rows), seed % weights.shape[1]
    expected = grouped_sum(rows[point], weights[:, kernel])
    assert Fraction(float(sums[point, kernel])) == expected
    bias = np.float32(np.random.default_rng(seed).standard_normal())
    layer = Dense(weights[:, kernel][None], np.array([bias]))
    output = VirtualNpu(read(write(Chain([layer], 1)))).run(as_input(rows[point][None]))
    assert output.item() == to_float16(to_float32(expected + Fraction(float(bias))))


@given(st.lists(st.tuples(st.integers(-(2**45), 2**45), st.integers(-46, 40)), min_size=3, max_size=3))
def test_three_numbers_are_added_with_one_rounding(parts: list[tuple[int, int]]) -> None:
    exact = [Fraction(number) * Fraction(2) ** exponent for number, exponent in parts]
    arrays = [np.array([float(value)]) for value in exact]
    (rounded,) = round_sum_to_float32(*arrays)
    assert Fraction(float(rounded)) == to_float32(sum(exact, Fraction(0)))


def test_a_half_below_float64_is_no_half() -> None:
    # 1 + 2**-24 lies halfway between two float32; 2**-70 more does not, and float64 does not hold it.
    (rounded,) = round_sum_to_float32(*(np.array([value]) for value in (1 + 2.0**-24, 2.0**-70, 0.0)))
    assert rounded == np.float32(1 + 2.0**-23)


@pytest.mark.parametrize("places", list(itertools.permutations((0, 1, 9))))
def test_what_float64_would_lose_beside_products_that_cancel_is_kept(places: tuple[int, int, int]) -> None:
    rows, weights = np.zeros((1, 32), np.float32), np.zeros((32, 1), np.float32)
    odd = (1 + 2.0**-10) * 2.0**-9
    rows[0, places] = 2.0**10, 2.0**10, odd
    weights[places, 0] = 2.0**9, -(2.0**9), odd
    assert GroupedSums(weights)(rows).tolist() == [[odd * odd]]


@pytest.mark.filterwarnings("ignore:invalid value")
def test_every_nan_has_the_same_bits() -> None:
    weights = np.array([[1.0, np.nan, -np.nan], [-1.0, 1.0, 1.0]], np.float32)
    sums = GroupedSums(weights)(np.array([[np.inf, np.inf], [-np.nan, 1.0]], np.float32))
    assert {hex(each) for each in sums.view(np.uint32).ravel()} == {"0x7fc00000"}


def test_the_order_of_groups_counts() -> None:
    weights = np.ones((64, 1), np.float32)
    rows = np.zeros((1, 64), np.float32)
    rows[0, [0, 32, 33]] = 2.0**15, 2.0**-10, -(2.0**15)
    assert GroupedSums(weights)(rows)[0, 0] == np.float32(2.0**15) + np.float32(2.0**-10 - 2.0**15)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.filterwarnings("ignore:invalid value")  # a result like others
def test_what_is_not_finite_stays_in_its_row_and_kernel(bad: float) -> None:
    random = np.random.default_rng(0)
    rows = random.standard_normal((3, 40)).astype(np.float16).astype(np.float32)
    weights = random.standard_normal((40, 5)).astype(np.float16).astype(np.float32)
    usual = GroupedSums(weights)(rows)
    other = rows.copy()
    other[1, 7] = bad
    sums = GroupedSums(weights)(other)
    assert np.array_equal(np.delete(sums, 1, 0), np.delete(usual, 1, 0))
    assert not np.isfinite(sums[1]).any()
    changed = weights.copy()
    changed[7, 2] = bad
    sums = GroupedSums(changed)(rows)
    assert np.array_equal(np.delete(sums, 2, 1), np.delete(usual, 2, 1))
    assert not np.isfinite(sums[:, 2]).any()


def test_zero_sums_are_positive() -> None:
    rows = np.array([[-1.0, 1.0], [-0.0, -0.0]], np.float32)
    assert not np.signbit(GroupedSums(np.ones((2, 1), np.float32))(rows)).any()


def large_layer() -> tuple[Array, Array]:
    """Draw 130 rows and a layer that processors share, some of whose values are wide apart."""
    random = np.random.default_rng(5)
    rows = np.asarray(
        random.standard_normal((130, 200)) * 2.0 ** random.integers(-14, 9, (130, 1)), np.float16
    )
    weights = np.asarray(random.standard_normal((200, 300)), np.float16)
    rows[7, 3], weights[5, 290] = np.inf, np.nan
    return rows.astype(np.float32), weights.astype(np.float32)


def test_a_layer_that_processors_share_gives_each_output_the_bits_it_has_alone() -> None:
    rows, weights = large_layer()
    sums = GroupedSums(weights)(rows)
    alone = [
        GroupedSums(weights[:, first : first + 50])(rows[point : point + 1])
        for point in range(len(rows))
        for first in range(0, 300, 50)
    ]
    assert np.array_equal(sums, np.reshape(alone, (len(rows), 300)), equal_nan=True)


def test_a_forked_child_computes_a_layer_that_its_parent_shared_among_processors() -> None:
    rows, weights = large_layer()
    sums = GroupedSums(weights)
    expected = sums(rows)  # the parent's threads are there now, and not in the child
    child = os.fork()
    if not child:
        signal.alarm(60)  # instead of waiting for threads that are not there
        os._exit(0 if np.array_equal(sums(rows), expected, equal_nan=True) else 1)
    assert os.waitpid(child, 0)[1] == 0

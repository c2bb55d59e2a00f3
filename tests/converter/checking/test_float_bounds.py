"""The bounds of float16 outputs."""

from __future__ import annotations

import itertools

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scirknn.arrays import Floats
from scirknn.bundle import Affine
from sklearn2rknn.checking.arithmetic import (
    DOUBLE,
    FLOAT16,
    FLOAT32,
    Arithmetic,
    activate_with_error,
    largest_event,
    stored_error,
)
from sklearn2rknn.checking.float_bounds import dense_bound, output_bound
from sklearn2rknn.network.layer import Layer
from tests.harness.emulated import float16_forward


def coarse(value: np.float16) -> int:
    return max(int(value.view(np.uint16)) >> 10 & 31, 1) >> 2


@given(seed=st.integers(0, 1 << 30), exponent=st.integers(-24, 14))
def test_no_event_of_the_published_rule_is_larger_than_its_bound(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=32) * 2.0**exponent).astype(np.float16)
    weights = (rng.normal(size=32) * 2.0 ** -(exponent // 2)).astype(np.float16)
    products = [(a, b) for a, b in zip(features, weights, strict=True) if a and b]
    event = max((2.0 ** (4 * (coarse(a) + coarse(b)) - 44) for a, b in products), default=0.0)
    sizes = np.abs(features.astype(np.float64))[None]
    bound = largest_event(sizes, np.abs(weights.astype(np.float64))[:, None])
    assert event <= bound[0, 0]
    # At most 2^-14 of the product of the largest factors, each taken for 2^-15 at least.
    factors = [max(float(np.abs(each).max()), 2.0**-15) for each in (features, weights)]
    assert bound[0, 0] <= 2.0**-14 * factors[0] * factors[1]


def test_only_float16_sums_have_events() -> None:
    layer = Layer(np.full((32, 1), 0.9), [0.0], "identity")
    rows = np.full((1, 32), 0.9)
    no_events = output_bound([layer], rows, FLOAT16.__class__(FLOAT16.unit, FLOAT16.tiny, 65504.0, {}))
    added = (output_bound([layer], rows, FLOAT16) - no_events)[0, 0]
    # 0.9 has the biased exponent 14; the sum is stored with an error of a part in 2^11.
    assert np.isclose(added, 2.0 ** (4 * (3 + 3) - 44), rtol=2.0**-10)
    assert not FLOAT32.has_events


@pytest.mark.parametrize("error", [0.0, 0.25])
@pytest.mark.parametrize("value", [1 + 2.0**-11, 2 - 2.0**-11, 3.0, 2.0**-25, 3 * 2.0**-25, -1 - 2.0**-11])
def test_an_error_of_what_is_stored_counts_its_rounding_and_little_more(value: float, error: float) -> None:
    bound = float(stored_error(np.array([value]), np.array([error]), FLOAT16)[0])
    moved = value + np.array([-error, error, 0.0])
    assert np.abs(moved.astype(np.float16).astype(np.float64) - value).max() <= bound
    assert bound <= error + 2.0**-24 + 2.0**-11 * (abs(value) + error) * 1.01


UNIT, TINY = 2.0**-11, 2.0**-25
NO_EVENTS = attrs.evolve(FLOAT16, has_events=False, functions={})
HALVES = Layer([[1 + UNIT, 0.0], [2 * UNIT, 0.0]], [1 + UNIT, 1.0], "identity")
"""Input, weight, bias and sum each lie halfway between two float16 numbers, and are rounded down."""
TANH_AT_4 = np.linspace(3.9, 4.0, 53)[:, None].astype(np.float16).astype(np.float64)


@pytest.mark.parametrize(
    ("layers", "rows", "nearness"),
    [
        ([HALVES], [[1 + UNIT, 1.0]], 1.02),
        ([HALVES, Layer([[1 + UNIT], [2 * UNIT]], [0.0], "identity")], [[1 + UNIT, 1.0]], 1.02),
        ([Layer([[1.0], [TINY], [2.0**-13]], [TINY], "identity")], [[TINY, 1.0, 2.0**-12]], 1.02),
        # Below 1 a half step is half of the unit; of the sum's errors a hundredth is left.
        ([Layer([[1.0]], [0.0], "tanh")], TANH_AT_4, 2.1),
    ],
    ids=["halves", "of two layers", "subnormal", "what is looked up"],
)
def test_an_error_with_all_roundings_one_way_is_the_bound(
    layers: list[Layer], rows: Floats, nearness: float
) -> None:
    X: Floats = np.asarray(rows)
    exact = X
    for layer in layers:
        exact = layer.forward(exact)
    errors = np.abs(float16_forward(layers, X, bias16=True, tables=False) - exact)[:, 0]
    bounds = output_bound(layers, X, NO_EVENTS)[:, 0]
    assert (errors <= bounds).all()
    assert bounds.max() <= nearness * errors.max()


@pytest.mark.parametrize("products", [1, 3])
def test_a_sum_that_loses_all_its_small_products_is_at_the_bound(products: int) -> None:
    n = 1000
    layer = Layer(np.array([[1.0], *[[products * 2.0**-24]] * n]), [0.0], "identity")
    terms = np.array([1.0] + [2.0**-24] * n * products, np.float32)
    error = 1 + products * n * 2.0**-24 - float(np.add.accumulate(terms)[-1])
    sums = Arithmetic(0.0, 0.0, 65504.0, {}, products=products)
    assert error <= output_bound([layer], np.ones((1, n + 1)), sums, host=0.0)[0, 0] <= 1.01 * error


def test_no_bound_where_a_hidden_number_may_leave_float16() -> None:
    back = Layer([[2.0**-10], [2.0**-10]], [0.0], "identity")
    small = Layer([[2.0**-10]], [0.0], "identity")
    inputs = output_bound([small], np.array([[65000.0], [65536.0]]), FLOAT16)
    assert np.isinf(inputs[:, 0]).tolist() == [False, True]
    rows = np.array([[2.0], [65472.0], [65503.0], [65536.0]])
    for first in ([[1.0, 0.5]], [[0.5, 1.0]]):
        bounds = output_bound([Layer(first, [0.0, 0.0], "relu"), back], rows, FLOAT16)
        # 65,503 does not leave it, but what it errs by may.
        assert np.isinf(bounds[:, 0]).tolist() == [False, True, True, True]
        wide = attrs.evolve(FLOAT16, largest=1e30)
        bounds = output_bound([Layer(first, [0.0, 0.0], "relu"), back], rows, [wide, FLOAT16, FLOAT16])
        assert np.isinf(bounds[:, 0]).tolist() == [False, True, True, True]


@settings(max_examples=20)
@given(seed=st.integers(0, 1 << 30), scale=st.integers(-8, 6))
def test_the_bound_by_a_rows_length_holds_and_is_met_along_a_kernel(seed: int, scale: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(rng.integers(1, 40), 3)) * 2.0**scale
    bias = rng.normal(size=3) * 2.0**scale
    signs = np.where(bias < 0, -1.0, 1.0)  # products and bias add up
    kernels = weights.T * signs[:, None] / np.linalg.norm(weights, axis=0)[:, None]
    formats = (attrs.evolve(FLOAT16, largest=np.inf), attrs.evolve(NO_EVENTS, largest=np.inf))
    for arithmetic, stored in itertools.product(formats, (0, 5)):
        bound = dense_bound(weights, bias, arithmetic, stored_sums=stored)
        for length in (0.0, 2.0**-10, 1.0, 100.0):
            rows = np.vstack([length * kernels, length * rng.normal(size=(4, len(weights)))])
            sums = [[np.abs(rows) @ np.abs(weights) + np.abs(bias)] * stored]
            layer = Layer(weights, bias, "identity")
            at = output_bound([layer], rows, arithmetic, host=0.0, stored_sums=sums)
            limits = bound.slope * np.linalg.norm(rows, axis=1) + bound.constant
            # `output_bound` counts the cast to float32 apart, which is a part in 2^10 of the unit.
            assert (at.max(axis=1) <= limits * (1 + 2.0**-12)).all()
        assert arithmetic.has_events or at[:3].max() >= 0.97 * limits[:3].min()


def test_each_number_is_stored_in_its_own_format() -> None:
    layers, X = [Layer([[1 + UNIT]], [0.0], "identity")], np.array([[1 + UNIT]])
    pairs = attrs.evolve(DOUBLE, has_events=False)
    for formats, error in (([pairs, NO_EVENTS], UNIT), ([NO_EVENTS, pairs], 2 * UNIT)):
        assert error <= output_bound(layers, X, formats)[0, 0] <= 1.05 * error
    added = output_bound(layers, X, DOUBLE) - output_bound(layers, X, pairs)
    assert np.isclose(added[0, 0], 3 * 2.0 ** (4 * (3 + 3) - 44), rtol=2.0**-10)


@pytest.mark.parametrize("z", [-1.0, 0.25, 1.0])
def test_an_activations_error_is_its_largest_change_on_either_side(z: float) -> None:
    ends = np.tanh(z + np.array([-0.5, 0.5]))
    _, error = activate_with_error("tanh", np.array([[z]]), np.array([[0.5]]), NO_EVENTS)
    assert np.isclose(error[0, 0], np.abs(ends - np.tanh(z)).max(), rtol=1e-12)
    # The table ends at 3.02, which 3 and what it errs by may pass.
    _, errors = activate_with_error("tanh", np.array([[3.0, 3.0]]), np.array([[0.0, 0.5]]), FLOAT16)
    steps = np.tanh(3.0) - np.tanh(2.5)
    np.testing.assert_allclose(errors[0], [FLOAT16.functions["tanh"][1], steps + 1 - 0.9952], rtol=0.05)


@pytest.mark.parametrize("scale", [-4.0, 4.0])
def test_the_hosts_roundings_are_within_their_bound(scale: float) -> None:
    # In float32 offset, sum and factor lie (nearly) halfway between two numbers, and all are rounded down.
    unit, exact = 2.0**-24, Arithmetic(0.0, 0.0, np.inf, {}, sum=0.0)
    one = Affine(np.array([-1 - 0.99 * unit]), np.array([scale * (1 + unit)]))
    layers, X = [Layer([[1.0]], [0.0], "identity")], np.array([[unit]])
    offset, factor = np.float32(one.offset[0]), np.float32(one.scale[0])
    error = abs(float((np.float32(unit) - offset) * factor) - float((X - one.offset)[0, 0] * one.scale[0]))
    assert error <= output_bound(layers, X, exact, None, one, host=unit)[0, 0] <= 1.02 * error
    # The output is the host's without a map too: two roundings.
    assert error <= output_bound(layers, X, exact, one, None, host=unit)[0, 0] <= 1.7 * error
    # In float64 the host's input is cast to float32 at the end.
    cast = output_bound(layers, X, exact, Affine(np.zeros(1), np.ones(1)), None, host=0.0)
    assert cast[0, 0] == unit * unit

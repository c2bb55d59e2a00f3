"""Events on lane 0, against an evaluation of the published rule in fractions."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.virtual_npu import reference
from tests.virtual_npu.execute.test_virtual_npu import _tanh_table
from tests.virtual_npu.rknn_writer import Chain, Dense, small, write
from virtual_npu import RknnFile, VirtualNpu, read
from virtual_npu.inspection.lane_events import LaneZero, _nearest_float32

Array = npt.NDArray[Any]
POINTS = 3


def layers(rng: np.random.Generator, *widths: int, relu: bool = False) -> list[Dense]:
    pairs = list(itertools.pairwise(widths))
    return [
        Dense(
            rng.normal(size=(b, a)).astype(np.float16).astype(np.float32),
            rng.normal(size=b).astype(np.float32),
            relu=relu and i < len(pairs) - 1,
        )
        for i, (a, b) in enumerate(pairs)
    ]


def file_of(chain: list[Dense]) -> RknnFile:
    return read(write(Chain(chain, samples=POINTS)))


def nearest_float32(value: Fraction) -> np.float32:
    """Round once: float64 nearest and its neighbours in float32 are compared in fractions."""
    near = np.float32(float(value))
    candidates = [near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, -np.float32(np.inf))]
    return min(candidates, key=lambda c: (abs(Fraction(float(c)) - value), int(c.view(np.uint32)) & 1))


def with_events(layer: Dense, features: Array, kernel: int) -> set[float]:
    """Evaluate an output of a linear layer: without an event, and with one in each group that can have it."""
    weights = layer.weights[kernel].astype(np.float16)

    def exponent(value: np.float16) -> int:
        biased = int(value.view(np.uint16)) >> 10 & 31
        return max(biased, 1) >> 2

    sums, events = [], []
    for first in range(0, len(features), 32):
        pairs = list(zip(features[first : first + 32], weights[first : first + 32], strict=True))
        sums.append(sum((Fraction(float(a)) * Fraction(float(b)) for a, b in pairs), Fraction(0)))
        can_have = len(pairs) == 32 and all(a != 0 for a, _ in pairs)
        coarse = [exponent(a) + exponent(b) for a, b in pairs if a != 0 and b != 0]
        events.append(Fraction(2) ** (4 * max(coarse) - 44) if can_have and coarse else None)
    results = set()
    for lowered in (None, *range(len(sums))):
        if lowered is not None and (kernel % 16 or events[lowered] is None):
            continue
        total = np.float32(0)
        for group, each in enumerate(sums):
            total += nearest_float32(each - (events[group] or 0) if group == lowered else each)
        results.add(float(np.float16(total + np.float32(layer.biases[kernel]))))
    return results


@settings(deadline=None)
@given(seed=st.integers(0, 1 << 30), channels=st.integers(1, 100), zeros=st.integers(0, 3))
def test_the_values_of_a_layer_are_those_of_the_published_rule(seed: int, channels: int, zeros: int) -> None:
    rng = np.random.default_rng(seed)
    (layer,) = layers(rng, channels, 33)
    features = rng.normal(size=(POINTS, channels)).astype(np.float16)
    features *= np.float16(2.0) ** rng.integers(-6, 7, features.shape).astype(np.float16)
    features[0, rng.integers(0, channels, zeros)] = 0
    layer.weights[:, rng.integers(0, channels, zeros)] = 0
    events = LaneZero(file_of([layer])).run(reference.as_input(features))
    for point in range(POINTS):
        for kernel in (0, 1, 8, 16, 31, 32):
            values = events.values(point, kernel)
            assert values[0] == events.output[point, kernel]
            assert set(values.tolist()) == with_events(layer, features[point], kernel)
    assert not events.carried.any()


@pytest.mark.parametrize(("zero", "outputs"), [(0.0, {0.0}), (-0.0, {0.0, -(2.0**-20)})])
def test_a_feature_of_0_prevents_an_event_and_minus_0_does_not(zero: float, outputs: set[float]) -> None:
    """The largest weight is that of the zero: its product is 0 and does not count for the event's size."""
    weights = np.array([[1.0, -1.0] * 15 + [0.0, 2.0**15]], np.float32)
    features = np.ones((POINTS, 32), np.float16)
    features[:, -1] = zero
    x = reference.as_input(features)
    layer = Dense(weights, np.zeros(1, np.float32))
    assert set(LaneZero(file_of([layer])).run(x).values(0, 0).tolist()) == outputs
    behind = Dense(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    carried = LaneZero(file_of([layer, behind])).run(x).carried[0, 0]
    assert (carried >= 2.0**-20) == (len(outputs) > 1)


def test_outputs_without_events_are_the_executor_s() -> None:
    rng = np.random.default_rng(1)
    file = file_of(layers(rng, 64, 48, 20, relu=True))
    x = reference.as_input(rng.normal(size=(POINTS, 64)).astype(np.float16))
    np.testing.assert_array_equal(LaneZero(file).run(x).output, reference.as_rows(VirtualNpu(file).run(x)))


def chain_with_events(chain: list[Dense], features: Array, rng: np.random.Generator) -> Array:
    """Evaluate linear layers, with an event wherever one can be, or not, as drawn."""
    for layer in chain:
        values = np.empty((len(features), len(layer.biases)), np.float32)
        for point, row in enumerate(features):
            for kernel in range(len(layer.biases)):
                values[point, kernel] = rng.choice(sorted(with_events(layer, row, kernel)))
        values = np.maximum(values, 0) if layer.relu else values
        features = values.astype(np.float16)
    return features.astype(np.float64)


@pytest.mark.parametrize("relu", [False, True])
def test_events_in_earlier_layers_stay_within_what_is_carried(relu: bool) -> None:
    moved = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        chain = layers(rng, 32, 48, 17, relu=relu)
        # On lane 0 the products cancel, so that an event shows beside the bias, and then counts for much.
        chain[0].weights[::16, 1::2] = -chain[0].weights[::16, ::2]
        chain[0].biases[::16] = 2.0**-12
        chain[1].weights[:, ::16] *= 256
        x = (rng.normal(size=(POINTS, 16)) * 8).astype(np.float16).repeat(2, axis=1)
        x[0, 5] = 0  # in this row the first layer can have none
        events = LaneZero(file_of(chain)).run(reference.as_input(x))
        assert not events.carried[0].any()
        drawn = chain_with_events(chain, x, rng)
        for point, kernel in np.ndindex(drawn.shape):
            is_own = np.float32(drawn[point, kernel]) in events.values(point, kernel)
            away = abs(drawn[point, kernel] - events.output[point, kernel])
            assert is_own or away <= events.carried[point, kernel]
            moved += not is_own
    assert moved


ABS = {0x4040: 0x20160, 0x4048: 0xBC00 << 16}  # BS adds, then multiplies values below 0 alone, by -1


@pytest.mark.parametrize("factor", [1.0, 0.25, -2.0])
def test_what_is_carried_is_no_more_than_an_event_and_the_roundings_beside_it(factor: float) -> None:
    first, second = Dense(np.zeros((1, 32)), np.array([1.5])), Dense(np.full((1, 1), factor), np.zeros(1))
    first.weights[0] = np.tile([2.0**7, -(2.0**7)], 16)
    x = np.full((POINTS, 32), 2.0**9, np.float16)  # as below: an event of 1, and roundings of 0.75 at most
    events = LaneZero(file_of([first, second])).run(reference.as_input(x))
    np.testing.assert_allclose(events.carried, 1.75 * abs(factor), rtol=1e-3)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("units", "rounded"), [(2**24 + 1, 2**24), (2**24 + 3, 2**24 + 4), (5, 5)])
def test_a_lowered_sum_is_rounded_halves_to_even(units: int, rounded: int, sign: int) -> None:
    assert _nearest_float32(sign * units) == sign * rounded * 2.0**-48


def test_a_range_on_both_sides_of_the_turn_of_abs_reaches_down_to_zero() -> None:
    first, second = Dense(np.zeros((1, 32)), np.array([1.5])), Dense(np.eye(1), np.zeros(1))
    first.weights[0] = np.tile([2.0**7, -(2.0**7)], 16)
    second = replace(second, table=_tanh_table(), factor=5424.0)
    x = np.full(
        (POINTS, 32), 2.0**9, np.float16
    )  # an event in the first layer's sum is 2^(4 * (6 + 5) - 44) = 1
    file = read(write(Chain([first, second], POINTS, edit={1: ABS})))
    events = LaneZero(file, own_values=False).run(reference.as_input(x))
    # Other groups' roundings are bounded by 0.75: the sum, 1.5, can be -0.25 to 3.25, and tanh of its size 0.
    np.testing.assert_allclose(events.output, np.tanh(1.5), atol=1e-3)
    np.testing.assert_allclose(events.carried, events.output, atol=2.0**-14)


def test_an_integer_file_has_no_events() -> None:
    file = read(small("int8"))
    events = LaneZero(file).run(np.ones(file.inputs[0].shape, np.float32))
    assert not events.carried.any()
    assert len(events.values(0, 0)) == 1

"""The derived bounds hold in the NPU's arithmetic, and are near enough to see a changed weight."""

from __future__ import annotations

import itertools
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rknn_harness.models.strategies import specs
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.head_bounds import bound_through_head
from rknn_harness.verdicts.reference import ACTIVATIONS, answer_from_output
from scirknn.arrays import Array, Floats
from scirknn.bundle import Affine
from sklearn2rknn.checking.arithmetic import FLOAT16, FLOAT32
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.checking.integer_bounds import Steps, quantized_output_bound
from sklearn2rknn.network.layer import Layer
from tests.harness.emulated import calibrate, float16_forward, int8_forward
from tests.harness.samples import SPEC, truth_of


@settings(max_examples=60, deadline=None)
@given(specs(extreme=False), st.booleans(), st.booleans())
def test_float16_stays_within_its_bound(spec: MlpSpec, bias16: bool, tables: bool) -> None:
    truth = truth_of(spec)
    found = float16_forward(truth.layers, truth.X, bias16=bias16, tables=tables)
    assert (np.abs(found - truth.answer.output) <= output_bound(truth.layers, truth.X, FLOAT16)).all()


@settings(max_examples=30, deadline=None)
@given(specs(extreme=False))
def test_float32_stays_within_its_bound(spec: MlpSpec) -> None:
    truth = truth_of(spec)
    value: Any = truth.X.astype(np.float32)
    for layer in truth.layers:
        z = value @ layer.weights.astype(np.float32) + layer.bias.astype(np.float32)
        value = ACTIVATIONS[layer.activation](z)
    assert (np.abs(value - truth.answer.output) <= output_bound(truth.layers, truth.X, FLOAT32)).all()


@settings(max_examples=40, deadline=None)
@given(specs(extreme=False))
def test_int8_stays_within_its_bound(spec: MlpSpec) -> None:
    truth = truth_of(spec)
    tensors = calibrate(truth.layers, truth.X[: max(1, len(truth.X) // 2)])
    found = int8_forward(truth.layers, truth.X, tensors)
    bound = quantized_output_bound(truth.layers, truth.X, tensors)
    assert (np.abs(found - truth.answer.output) <= bound).all()


# exp of an output of 765 is infinite.
OVERFLOWING = MlpSpec(100, (511, 7, 1, 64, 1, 1, 1), "identity", "poisson", 1, "int", 2.0, 1, 2899)


@settings(max_examples=40, deadline=None)
@given(specs(extreme=False), st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 0.05, 1.0]))
@example(OVERFLOWING, 0, 1e-3)
def test_the_head_keeps_within_its_bound(spec: MlpSpec, seed: int, size: float) -> None:
    truth = truth_of(spec)
    random = np.random.default_rng(seed)
    bound = np.asarray(size * random.uniform(0, 1, truth.answer.output.shape))
    # The corners are the worst.
    moved = answer_from_output(truth, truth.answer.output + bound * random.choice([-1.0, 1.0], bound.shape))
    carried = bound_through_head(truth, bound)
    through, settled = carried.error, carried.settled
    if truth.task == "regressor":
        expected = truth.answer.predictions
        # exp of a large output is infinite for both.
        with np.errstate(invalid="ignore"):
            errors = np.where(moved.predictions == expected, 0.0, np.abs(moved.predictions - expected))
        assert (errors <= through).all()
    else:
        assert moved.probabilities is not None
        assert truth.answer.probabilities is not None
        assert (np.abs(moved.probabilities - truth.answer.probabilities) <= through).all()
        np.testing.assert_array_equal(moved.predictions[settled], truth.answer.predictions[settled])


@pytest.mark.parametrize(
    "spec", [SPEC, attrs.evolve(SPEC, task="regressor", n_outputs=3)], ids=["softmax", "numbers"]
)
@pytest.mark.parametrize("size", [1e-3, 0.3])
def test_the_head_s_bound_is_met_at_a_corner(spec: MlpSpec, size: float) -> None:
    truth = truth_of(attrs.evolve(spec, rows=5, n_outputs=3))
    bound = np.asarray(size * np.random.default_rng(0).uniform(0.5, 1, truth.answer.output.shape))

    def answered(output: Floats) -> Array:
        answer = answer_from_output(truth, output)
        return answer.predictions if answer.probabilities is None else answer.probabilities

    here, corners = answered(truth.answer.output), itertools.product((-1, 1), repeat=3)
    moved = [np.abs(answered(truth.answer.output + bound * np.array(signs)) - here) for signs in corners]
    rounding = 1e-6 * (np.ones_like(here) if truth.task == "classifier" else np.abs(here))
    expected = np.asarray(np.max(moved, axis=0) + rounding, np.float64)
    np.testing.assert_allclose(bound_through_head(truth, bound).error, expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("task", "n_outputs", "gap", "is_settled"),
    [
        ("softmax", 3, 3.8e-6, False),
        ("softmax", 3, 4.2e-6, True),
        ("binary", 1, 3.8e-6, False),
        ("binary", 1, 4.2e-6, True),
        ("multilabel", 2, 3.8e-6, False),  # the other label is far away
        ("multilabel", 2, 4.2e-6, True),
    ],
)
def test_a_label_is_settled_where_float32_keeps_its_probability_apart(
    task: str, n_outputs: int, gap: float, is_settled: bool
) -> None:
    truth = truth_of(attrs.evolve(SPEC, task=task, n_outputs=n_outputs, rows=5))
    output = np.zeros_like(truth.answer.output)
    output[:, 0], output[:, 1 if task == "multilabel" else 2 :] = gap, -30.0
    truth = attrs.evolve(truth, answer=answer_from_output(truth, output))
    # The gap of two outputs shrinks by the errors of both.
    both = is_settled and n_outputs != 3
    for bound, expected in ((1e-9, is_settled), (0.6 * gap, both), (gap, False)):
        settled = bound_through_head(truth, np.full(output.shape, bound)).settled
        assert settled.tolist() == [expected] * 5


def test_labels_of_outputs_that_are_probabilities_are_settled_off_a_half() -> None:
    truth = truth_of(attrs.evolve(SPEC, task="multilabel", n_outputs=2, rows=5))
    output = np.tile([0.6, 0.05], (5, 1))
    truth = attrs.evolve(truth, head="identity", answer=attrs.evolve(truth.answer, output=output))
    for bound, expected in ((0.09, True), (0.11, False)):
        assert bound_through_head(truth, np.full((5, 2), bound)).settled.tolist() == [expected] * 5


@pytest.mark.parametrize("activation", ["relu", "identity", "tanh", "logistic"])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_flipped_weight_is_beyond_the_bound(activation: str, layer: int) -> None:
    truth = truth_of(attrs.evolve(SPEC, activation=activation))
    weights = truth.layers[layer].weights.copy()
    weights[np.unravel_index(np.abs(weights).argmax(), weights.shape)] *= -1
    faulty = list(truth.layers)
    faulty[layer] = attrs.evolve(faulty[layer], weights=weights)
    found = float16_forward(faulty, truth.X, bias16=False, tables=True)
    assert (np.abs(found - truth.answer.output) > output_bound(truth.layers, truth.X, FLOAT16)).any()


def test_the_bound_is_near_enough() -> None:
    # A worst case over 3 layers of 32: within 100 of the real error, where nothing could be beyond it at 1e4.
    truth = truth_of(SPEC)
    error = np.abs(float16_forward(truth.layers, truth.X, bias16=False, tables=True) - truth.answer.output)
    assert output_bound(truth.layers, truth.X, FLOAT16).max() < 100 * error.max()


def test_no_bound_where_float16_ends() -> None:
    truth = truth_of(attrs.evolve(SPEC, rows=2))
    X = truth.X.copy()
    X[1, 0] = 7e4
    bound = output_bound(truth.layers, X, FLOAT16)
    assert np.isfinite(bound[0]).all()
    assert np.isinf(bound[1]).all()


def test_the_hosts_maps_are_bounded() -> None:
    truth = truth_of(SPEC)
    random = np.random.default_rng(0)
    before = Affine(random.normal(size=16), random.uniform(0.25, 4, 16))
    after = Affine(random.normal(size=5), random.uniform(0.25, 4, 5))
    first, *middle, last = truth.layers
    layers = (
        Layer(first.weights / before.scale[:, None], first.bias + before.offset @ first.weights, "relu"),
        *middle,
        Layer(last.weights / after.scale, last.bias / after.scale + after.offset, "identity"),
    )
    X = truth.X.astype(np.float32)
    inner = (X - before.offset.astype(np.float32)) * before.scale.astype(np.float32)
    raw = float16_forward(layers, inner.astype(np.float64), bias16=False, tables=True)
    error = np.abs((raw - after.offset) * after.scale - truth.answer.output)
    assert (error <= output_bound(layers, truth.X, FLOAT16, before, after)).all()


def test_int8_tensors_must_fit_the_layers() -> None:
    truth = truth_of(SPEC)
    with pytest.raises(ValueError, match="3 layers have 4 tensors, not 1"):
        quantized_output_bound(truth.layers, truth.X, [Steps(0.1, 0)])

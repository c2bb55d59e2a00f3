"""Conditioning changes numbers, not the function."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scirknn.arrays import Floats
from sklearn2rknn import ConversionOptions, Precision, RangeError, network_from_estimator
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.layer_merging import collapse_constant, merge_linear
from sklearn2rknn.passes.prepare_network import PASSES, Preparation, prepare_network
from sklearn2rknn.passes.range_checks import FLOAT16_MAX, refuse_overflow
from sklearn2rknn.passes.scaling import FLOAT16_SAFE, balance, bring_into_float16
from tests.converter.fitted import fit, fitted


@settings(max_examples=30, deadline=None)
@given(fitted(), st.integers(-20, 20))
def test_integers_get_columns_of_one_size(model: tuple[Any, npt.NDArray[Any]], exponent: int) -> None:
    estimator, X = model
    rows = X * 2.0**exponent + 1.0
    conditioned = prepare_network(network_from_estimator(estimator), rows, "int8")
    prepared, raw = conditioned.prepare(rows), conditioned.activations(rows)[-1]
    np.testing.assert_allclose(prepared.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(prepared.std(axis=0), 1.0, rtol=1e-6)
    assert np.abs(raw).max() <= 1.0 + 1e-6


def test_constant_feature_stays_usable() -> None:
    estimator, X = fit("softmax")
    X[:, 1] = 5.0
    conditioned = prepare_network(network_from_estimator(estimator), X, "int8")
    assert conditioned.input is not None
    assert conditioned.input.offset[1] == 5.0
    assert conditioned.input.scale[1] == 1.0


def test_without_example_input_nothing_is_mapped() -> None:
    conditioned = prepare_network(network_from_estimator(fit("softmax")[0]), None, "float16")
    assert conditioned.input is None
    assert conditioned.output is None


def test_float16_keeps_a_classifiers_outputs_and_centres_a_regressors() -> None:
    estimator, X = fit("softmax")
    assert prepare_network(network_from_estimator(estimator), X, "float16").output is None
    estimator, X = fit("one output")
    assert prepare_network(network_from_estimator(estimator), X, "float16").output is not None


def test_linear_layers_become_one() -> None:
    estimator, X = fit("several outputs", n_features=6, hidden=(8, 7), activation="identity")
    network = network_from_estimator(estimator)
    merged = merge_linear(network)
    assert merged.widths == (6, 3)
    np.testing.assert_allclose(merged.forward(X), network.forward(X), atol=1e-12)


def test_bottleneck_is_not_multiplied_out() -> None:
    network = network_from_estimator(
        fit("several outputs", n_features=17, hidden=(2, 30), activation="identity")[0]
    )  # 17x2 and 2x30 are fewer weights than 17x30; 2x30 and 30x3 are more than 2x3.
    assert merge_linear(network).widths == (17, 2, 3)


def _big_relu(size: float) -> tuple[Network, npt.NDArray[Any]]:
    estimator, X = fit("softmax", hidden=(5, 4))
    network = network_from_estimator(estimator)
    first = network.layers[0]
    big = Layer(first.weights * size, first.bias * size, "relu")
    return attrs.evolve(network, layers=(big, *network.layers[1:])), X


def test_hidden_layers_come_into_float16() -> None:
    network, X = _big_relu(1e5)
    assert max(np.abs(each).max() for each in network.activations(X)) > FLOAT16_MAX
    moved = bring_into_float16(network, X)
    assert max(np.abs(each).max() for each in moved.activations(X)[:-1]) <= FLOAT16_SAFE
    # Powers of two: not a bit is lost.
    assert np.array_equal(moved.forward(X), network.forward(X))


def test_small_hidden_layers_are_left_alone() -> None:
    network, X = _big_relu(1.0)
    assert bring_into_float16(network, X).layers == network.layers


def test_the_example_runs_once_through_a_network_that_needs_no_scaling(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, X = _big_relu(1.0)
    networks: list[Network] = []
    activations = Network.activations

    def listed(network: Network, X: Floats) -> list[Floats]:
        networks.append(network)
        return activations(network, X)

    monkeypatch.setattr(Network, "activations", listed)
    prepared = prepare_network(network, X, "float16", ConversionOptions(accuracy="single"))
    assert networks == [prepared]


def test_balance_takes_the_root_of_the_spread_between_channels() -> None:
    network, X = _big_relu(1.0)
    ranges = np.abs(network.activations(X)[0]).max(axis=0)
    after = np.abs(balance(network, X).activations(X)[0]).max(axis=0)
    np.testing.assert_allclose(after[ranges > 0], np.sqrt(ranges[ranges > 0]), rtol=1e-9)


def hidden_first(weights: list[list[float]], bias: list[float]) -> Network:
    """Return a network of two hidden units and an output."""
    hidden, last = Layer(weights, bias, "relu"), Layer([[1.0], [1.0]], [0.0], "identity")
    return attrs.evolve(network_from_estimator(fit("one output")[0]), layers=(hidden, last))


def test_balance_leaves_no_sum_and_no_weight_or_bias_above_the_most() -> None:
    # Large sums of small weights; a small result of a large weight and bias.
    network = hidden_first([[9.0, -9000.0]] + [[9.0, 0.0]] * 999, [0.0, 9000.0])
    X = np.ones((4, 1000))
    balanced = balance(network, X, most := 64.0)
    first = balanced.layers[0]
    sums = X @ first.weights + first.bias
    assert max(np.abs(each).max() for each in (sums, first.weights, first.bias)) <= most * (1 + 1e-9)
    np.testing.assert_allclose(balanced.forward(X), network.forward(X))


def test_a_small_difference_of_large_numbers_is_not_made_large_in_float16() -> None:
    network = hidden_first([[3e4, 1.0], [-3e4, 1.0]], [0.0, 0.0])
    X = np.random.default_rng(0).normal(size=(40, 1)) + np.array([[1e-9, 0.0]])
    moved = bring_into_float16(network, X)
    assert max(np.abs(layer.weights).max() for layer in moved.layers) <= FLOAT16_MAX
    np.testing.assert_allclose(moved.forward(X), network.forward(X), rtol=1e-6)


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_zero_layer_makes_a_constant(layer: int, activation: str) -> None:
    estimator, X = fit("softmax", hidden=(5, 4), activation=activation)
    network = network_from_estimator(estimator)
    layers = list(network.layers)
    layers[layer] = attrs.evolve(layers[layer], weights=np.zeros_like(layers[layer].weights))
    network = attrs.evolve(network, layers=tuple(layers))
    constant = collapse_constant(network)
    assert constant.widths == (3, 3)
    np.testing.assert_allclose(constant.forward(X), network.forward(X), rtol=1e-13)


def test_weights_that_round_to_zero_keep_what_they_make_of_a_constant() -> None:
    # Each logistic gives 0.5, and 0.5 of the last weights is as large as the biases.
    estimator, X = fit("softmax", hidden=(5, 4), activation="logistic")
    network = network_from_estimator(estimator)
    tiny = [attrs.evolve(each, weights=each.weights * 1e-9, bias=each.bias * 1e-9) for each in network.layers]
    network = attrs.evolve(network, layers=tuple(tiny))
    constant = collapse_constant(network)
    assert len(constant.layers) == 1
    # What depends on X is smaller by a factor of 1e-9 for each layer.
    np.testing.assert_allclose(constant.forward(X), network.forward(X), rtol=1e-7)


def test_integers_refuse_weights_that_would_make_a_constant_of_what_is_none() -> None:
    # The second layer's weights are tiny because its inputs are huge: their product counts.
    estimator, X = fit("softmax", hidden=(5, 4))
    network = network_from_estimator(estimator)
    first, second, last = network.layers
    first = attrs.evolve(first, weights=first.weights * 1e9, bias=first.bias * 1e9)
    second = attrs.evolve(second, weights=second.weights * 1e-9)
    network = attrs.evolve(network, layers=(first, second, last))
    how = Preparation(
        source=network, rows=X, precision=Precision.INT8, options=ConversionOptions(), reach=4.0
    )
    collapse = next(each for each in PASSES if each.__name__ == "_collapse_constant")
    with pytest.raises(RangeError, match=r"weights round to 0 .* differ by .* over the example"):
        collapse(network, how)
    zero = attrs.evolve(second, weights=np.zeros_like(second.weights))
    network = attrs.evolve(network, layers=(first, zero, last))
    assert len(collapse(network, how).layers) == 1


def test_relus_that_never_fire_leave_a_constant() -> None:
    # The second unit meets a relu's output, never negative, with a weight and a bias that are.
    estimator, X = fit("softmax", hidden=(1, 1))
    network = network_from_estimator(estimator)
    layers = (
        Layer([[1.0]] * network.n_features_in, [0.5], "relu"),
        Layer([[-1.0]], [-0.25], "relu"),
        network.layers[2],
    )
    silent = attrs.evolve(network, layers=layers)
    constant = collapse_constant(silent)
    assert len(constant.layers) == 1
    np.testing.assert_array_equal(constant.forward(X), silent.forward(X))
    # A bias that lets it fire for small X, or a first layer that can be negative, keeps the network.
    fires = attrs.evolve(layers[1], bias=[0.25])
    signed = attrs.evolve(layers[0], activation="tanh")
    for index, change in ((1, fires), (0, signed)):
        kept = attrs.evolve(silent, layers=(*layers[:index], change, *layers[index + 1 :]))
        assert collapse_constant(kept) is kept


def test_overflow_names_the_layer_and_the_cure() -> None:
    network, X = _big_relu(1e6)
    with pytest.raises(
        RangeError, match=r"weights of layer 1 of 3 \(relu\) reach .* float16 ends at 65504.*example_input"
    ):
        refuse_overflow(network, None)
    refuse_overflow(prepare_network(network, X, "float16"), X)


def test_a_constant_column_of_the_example_is_not_blown_up() -> None:
    network = network_from_estimator(fit("softmax")[0])
    rows = np.random.default_rng(0).standard_normal((200, 3))
    rows[:, 1] = 0.1
    assert rows.std(axis=0)[1] > 0  # the mean of 200 times 0.1, summed one by one, is another number
    later = rows + np.array([0.0, 1.0, 0.0])
    assert np.abs(prepare_network(network, rows, "float16").prepare(later)).max() < 10


def test_a_bias_past_float16_is_refused_though_results_are_small() -> None:
    estimator, X = fit("several outputs")
    network = network_from_estimator(estimator)
    first, *others = network.layers
    moved = attrs.evolve(network, layers=(Layer(first.weights, first.bias + 7e4, first.activation), *others))
    with pytest.raises(RangeError, match="biases of layer 1 of"):
        refuse_overflow(moved, X, results=network.activations(X))

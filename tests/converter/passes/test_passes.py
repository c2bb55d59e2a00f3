"""Every pass changes numbers, not the function."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn2rknn import ConversionOptions, Precision, network_from_estimator
from sklearn2rknn.network.layer import TANH_PAIRS_ERROR, Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes import prepare_network
from sklearn2rknn.passes.int16_sums import NEGLIGIBLE_BIAS
from sklearn2rknn.passes.prepare_network import PASSES, Preparation
from tests.converter.fitted import fit, fitted

Rows = npt.NDArray[np.float64]


@st.composite
def shifted_networks(draw: st.DrawFn) -> tuple[Network, Rows, float]:
    """Draw a fitted network for features of any size and place, its rows, and how far they are off 0."""
    estimator, X = draw(fitted())
    scale, shift = 10.0 ** draw(st.integers(-6, 6)), draw(st.floats(-1e6, 1e6))
    network = network_from_estimator(estimator)
    first = network.layers[0]
    bias = first.bias - (shift / scale) * first.weights.sum(axis=0)
    moved = Layer(first.weights / scale, bias, first.activation)
    network = attrs.evolve(network, layers=(moved, *network.layers[1:]))
    return network, X * scale + shift, abs(shift) / scale


@st.composite
def uneven_networks(draw: st.DrawFn) -> tuple[Network, Rows, float]:
    """Draw a network of relus whose kernels differ in size, and its rows."""
    widths = draw(st.lists(st.integers(1, 12), min_size=2, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        weights = rng.normal(size=(n_in, n_out)) * 10.0 ** rng.integers(-3, 2, n_out)
        bias = rng.normal(size=n_out) * 10.0 ** rng.integers(-1, 2, n_out)
        layers.append(Layer(weights, bias, "relu" if i + 2 < len(widths) else "identity"))
    estimator, _ = fit("several outputs", n_features=widths[0], hidden=(2,))
    network = attrs.evolve(network_from_estimator(estimator), layers=tuple(layers))
    return network, rng.uniform(-1, 1, (40, widths[0])), 0.0


def check_passes(network: Network, rows: Rows, how: dict[str, Any], distance: float) -> None:
    """Compare the function before and after each pass."""
    preparation = Preparation(source=network, rows=rows, reach=4.0, **how)
    for change in PASSES:
        before, network = network, change(network, preparation)
        expected = before.forward(rows)
        # Moving by `distance` costs as many of float64's roundings, through layers that amplify 100-fold.
        tolerance = 100 * 2.0**-53 * (1e3 + distance) + 1e-9 * np.abs(expected).max()
        if how["precision"] is Precision.INT16:  # biases of 0 become negligible, of ranges up to 10
            tolerance += 100 * NEGLIGIBLE_BIAS * 10 + 1e-6 * np.abs(expected).max()
            if {"tanh", "logistic"} & {layer.activation for layer in before.layers}:
                tolerance += 100 * TANH_PAIRS_ERROR
        np.testing.assert_allclose(
            network.forward(rows), expected, rtol=1e-7, atol=tolerance, err_msg=change.__name__
        )


@pytest.mark.parametrize("precision", Precision)
@settings(max_examples=40, deadline=None)
@given(st.one_of(shifted_networks(), uneven_networks()))
def test_the_function_stays_the_same(precision: Precision, drawn: tuple[Network, Rows, float]) -> None:
    network, rows, distance = drawn
    check_passes(network, rows, {"precision": precision, "options": ConversionOptions()}, distance)


@pytest.mark.parametrize(
    "options", [ConversionOptions(accuracy="double"), ConversionOptions(activation="plain")]
)
@settings(max_examples=40, deadline=None)
@given(shifted_networks())
def test_the_function_stays_the_same_in_every_form_of_float16(
    options: ConversionOptions, drawn: tuple[Network, Rows, float]
) -> None:
    network, rows, distance = drawn
    how = {"precision": Precision.FLOAT16, "options": options}
    check_passes(network, rows, how, distance)


def test_a_pass_is_one_entry_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def negate_twice(network: Network, how: Preparation) -> Network:
        """Change the sign of every hidden value where the network is linear."""
        if how.precision is not Precision.INT8:
            return network
        first, *others = network.layers
        negated = Layer(-first.weights, -first.bias, first.activation)
        after = Layer(-others[0].weights, others[0].bias, others[0].activation)
        return attrs.evolve(network, layers=(negated, after, *others[1:]))

    monkeypatch.setattr(prepare_network, "PASSES", (negate_twice,))
    estimator, X = fit("several outputs", activation="identity")
    network = network_from_estimator(estimator)
    changed = prepare_network.prepare_network(network, X, "int8")
    np.testing.assert_array_equal(changed.layers[0].weights, -network.layers[0].weights)
    np.testing.assert_allclose(changed.forward(X), network.forward(X), rtol=1e-12)
    assert prepare_network.prepare_network(network, X, "float16") is network

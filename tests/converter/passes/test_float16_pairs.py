"""Two float16 numbers for each value: the same function, to float32's exactness."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import scirknn
from scirknn.steps.squares import Squares
from sklearn2rknn import ConversionOptions, Network, OptionError, Toolkit, convert, network_from_estimator
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.passes.float16_pairs import ADDED_OUTPUTS, added_outputs, float16_outputs, pair_values
from sklearn2rknn.passes.prepare_network import prepare_network
from tests.converter.fitted import fit, fitted
from tests.counts import FULL


@settings(max_examples=40, deadline=None)
@given(fitted(), st.sampled_from(["relu", "identity"]))
def test_pairs_take_two_layers_for_one(model: tuple[Any, npt.NDArray[Any]], activation: str) -> None:
    estimator, X = model
    network = network_from_estimator(estimator)
    hidden = tuple(attrs.evolve(layer, activation=activation) for layer in network.layers[:-1])
    network = attrs.evolve(network, layers=(*hidden, network.layers[-1]))
    for output in (False, True):
        double = pair_values(network, output=output)
        assert double.n_features_in == network.n_features_in
        assert double.n_outputs == network.n_outputs
        assert len(double.layers) == 2 * len(network.layers) - 1 + output
        np.testing.assert_allclose(double.forward(X), network.forward(X), rtol=1e-12, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(fitted(), st.sampled_from(["tanh", "logistic"]))
def test_curved_layers_take_features_in_two(model: tuple[Any, npt.NDArray[Any]], activation: str) -> None:
    estimator, X = model
    network = network_from_estimator(estimator)
    hidden = tuple(attrs.evolve(layer, activation=activation) for layer in network.layers[:-1])
    network = attrs.evolve(network, layers=(*hidden, network.layers[-1]))
    double = pair_values(network)
    assert len(double.layers) == len(network.layers)
    np.testing.assert_allclose(double.forward(X), network.forward(X), rtol=1e-12, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from(["relu", "identity"]))
def test_rounding_is_that_of_two_numbers(seed: int, activation: str) -> None:
    rng = np.random.default_rng(seed)
    widths = (5, 16, 16, 2)
    layers = tuple(
        Layer(
            rng.standard_normal((a, b)),
            rng.standard_normal(b),
            activation if i < 2 else "identity",
        )
        for i, (a, b) in enumerate(itertools.pairwise(widths))
    )
    network = attrs.evolve(network_from_estimator(fit("one output")[0]), layers=layers)
    X = rng.standard_normal((50, 5))
    double, both = (pair_values(network, output=output) for output in (False, True))
    added = added_outputs(network, worth=-(1 << 30))
    np.testing.assert_allclose(added.forward(X), network.forward(X), rtol=1e-12, atol=1e-12)
    error, error_of_both, error_of_added = (
        np.abs(float16_outputs(each, X) - network.forward(X)) for each in (double, both, added)
    )
    size = X
    for layer in layers:
        size = np.abs(size) @ np.abs(layer.weights) + np.abs(layer.bias)
    # One output rounds once, 2**-11 of itself. Before it: a value's low part is 2**-9 of it at most and errs
    # by 2**-11 of that or by half of float16's least step, 2**-25; weights likewise; and 0.5 of each layer's
    # sum of magnitudes counts for its step.
    inside = 3 * (2.0**-19 + 2.0**-24) * size
    assert (error <= 2.0**-11 * np.abs(network.forward(X)) + inside).all()
    assert (error_of_both <= inside).all()
    assert (error_of_added <= inside).all()


def steep(seed: int = 0) -> tuple[Any, npt.NDArray[np.float64]]:
    """Return a network whose probabilities jump from 0 to 1 between neighbours."""
    X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    y = (X[:, 0] > 0) != (X[:, 1] > 0)
    X = StandardScaler().fit_transform(X)
    return MLPClassifier((16, 16), solver="lbfgs", alpha=1e-2, max_iter=300, random_state=seed).fit(X, y), X


def test_auto_takes_two_numbers_where_one_is_not_enough() -> None:
    estimator, X = steep()
    assert prepare_network(network_from_estimator(estimator), X, "float16").parts == 3
    assert (
        prepare_network(
            network_from_estimator(estimator), X, "float16", options=ConversionOptions(accuracy="single")
        ).parts
        == 1
    )
    assert prepare_network(network_from_estimator(estimator), None, "float16").parts == 1
    gentle, X = fit("softmax")
    assert prepare_network(network_from_estimator(gentle), X, "float16").parts == 1
    assert (
        prepare_network(
            network_from_estimator(gentle), None, "float16", options=ConversionOptions(accuracy="double")
        ).parts
        == 3
    )


@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_integers_have_no_two_numbers(precision: str) -> None:
    estimator, X = fit("softmax")
    network: Network = network_from_estimator(estimator)
    with pytest.raises(OptionError, match="accuracy='double' is for"):
        prepare_network(network, X, precision, options=ConversionOptions(accuracy="double"))
    assert prepare_network(network, X, precision).parts == 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_steep_network_on_the_register_program(tmp_path: Path, toolkit: Toolkit, seed: int) -> None:
    estimator, X = steep(seed)
    path = tmp_path / "model.rknn"
    report = convert(estimator, path, example_input=X, batch_size=64, toolkit=toolkit)
    # Five, and one for outputs in two parts where the check's rows ask for it.
    assert (report.accuracy, report.placement["cpu"]) == ("double", 0)
    assert report.placement["npu"] in (5, 6)
    assert "in float16 pairs" in report.details()
    # Rows between the example's too; one number errs by up to 0.1 there.
    rows = np.random.default_rng(1).uniform(-1.7, 1.7, (1000, 2))
    with scirknn.load(path, device="virtual") as model:
        assert isinstance(model, scirknn.MLPClassifier)
        for each in (X, rows):
            difference = np.abs(model.predict_proba(each) - estimator.predict_proba(each)).max()
            # The output alone: |z| = 4 rounds by 2**-9, of which the logistic function keeps 0.02; at 0 a
            # slope of 1/4 meets steps of nothing. Measured 1.1e-4.
            assert difference < 5e-4


@pytest.mark.parametrize("output_pairs", ["repeated", "added"])
def test_auto_counts_the_weights_of_the_form_that_is_stored(output_pairs: str) -> None:
    X = np.random.default_rng(0).normal(size=(64, 16))
    model = Ridge().fit(X, X @ np.ones((16, 1200)))
    network = attrs.evolve(network_from_estimator(model), epilogue=(Squares((1200,), (0.0,), 1.0),))
    options = ConversionOptions(output_pairs=output_pairs)
    prepared = prepare_network(network, X, "float16", options)
    # Two layers would have (1200 + 48) (48 + 2400) weights, a product more 2 * 48 * 1200.
    assert prepared.output_parts == 2
    assert prepared.high_negated == (output_pairs == "added")
    wide = attrs.evolve(network, layers=(Layer(np.ones((16, 2400)), np.ones(2400), "identity"),))
    wide = attrs.evolve(wide, epilogue=(Squares((2400,), (0.0,), 1.0),))
    prepared = prepare_network(wide, X, "float16", options)
    assert prepared.output_parts == (2 if output_pairs == "added" else 1)


@pytest.mark.parametrize("version", ADDED_OUTPUTS if FULL else ["2.3.2"])
def test_wide_output_pairs_take_two_products_of_one_layer(
    tmp_path: Path, toolkit: Toolkit, version: str
) -> None:
    X = np.random.default_rng(0).normal(size=(300, 24))
    model = Ridge().fit(X, X @ np.random.default_rng(1).normal(size=(24, 300)))
    report = convert(
        model,
        tmp_path / "m.rknn",
        example_input=X[:200],
        toolkit=toolkit if version == toolkit.version else version,
        options=ConversionOptions(accuracy="double", output_pairs="added"),
    )
    assert [layer[1:] for layer in report.placement["layers"]] == [
        ["Conv", "NPU"],
        ["ConvAdd", "NPU"],
        ["Concat", "NPU"],
    ]
    deciding = report.check.deciding
    assert deciding is not None
    assert deciding.bound_share is not None
    assert 0 < deciding.bound_share <= 1
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        assert loaded.bundle.high_negated
        expected = model.predict(X[200:])
        # A pair carries 22 bits of a sum of 24 products, each of two pairs.
        assert np.abs(loaded.predict(X[200:]) - expected).max() < 2.0**-19 * 24 * np.abs(expected).max()

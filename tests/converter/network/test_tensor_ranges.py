"""The ranges that are known before anything is built, and what is done about them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from sklearn2rknn import ConversionOptions, RangeError, network_from_estimator
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.ranges import sample_bounds
from sklearn2rknn.network.tensor_ranges import largest_safe_input, ranges_document, tensor_ranges
from sklearn2rknn.passes.float16_pairs import float16_outputs
from sklearn2rknn.passes.prepare_network import prepare_network
from sklearn2rknn.passes.range_checks import FLOAT16_MAX
from sklearn2rknn.rows.check_rows import choose_rows
from tests.converter.fitted import fit
from tests.converter.fitted_pipelines import mixed, numeric, perceptron, quietly_fitted, retargeted

Table = npt.NDArray[np.float64]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_no_sample_is_farther_from_the_mean_than_samuelson_says(values: list[float]) -> None:
    numbers = np.array(values)
    low, high = sample_bounds(numbers.mean(), numbers.var(), len(numbers))
    # float64's rounding of mean and variance.
    slack = 1e-7 + 1e-6 * np.abs(numbers).max()
    assert ((numbers >= low - slack) & (numbers <= high + slack)).all()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(numeric() | mixed() | retargeted())
def test_the_rows_of_the_fit_lie_within_what_its_statistics_tell(drawn: tuple[Any, Any]) -> None:
    estimator, X = drawn
    network = network_from_estimator(estimator)
    assume(network.input_ranges is not None)
    ranges = tensor_ranges(network.without_host_steps(), None)
    values = [network.prepare(X), *network.activations(X)]
    robust = np.array(["RobustScaler" in origin for origin in ranges[0].origins])
    for spans, found in zip(ranges, values, strict=True):
        slack = 1e-6 * (1.0 + np.abs(found).max(axis=0))
        outside = (found < spans.low - slack) | (found > spans.high + slack)
        # A RobustScaler's quartiles bound nothing.
        assert not outside.any() or robust.any()


ORIGINS: dict[str, tuple[Any, str]] = {
    "standard": (StandardScaler(), "StandardScaler"),
    "min and max": (MinMaxScaler(), "MinMaxScaler"),
    "largest": (MaxAbsScaler(), "MaxAbsScaler"),
    "robust": (RobustScaler(), "RobustScaler"),
    "mixed": (PCA(2), "PCA"),
    "filled": (
        make_pipeline(MinMaxScaler(), SimpleImputer(strategy="constant", fill_value=7)),
        "MinMaxScaler",
    ),
}


@pytest.mark.parametrize("name", ORIGINS)
def test_a_report_says_what_a_range_is_known_from(name: str) -> None:
    steps, origin = ORIGINS[name]
    X = np.random.default_rng(0).normal(50.0, 2.0, (100, 3))
    estimator = quietly_fitted(
        make_pipeline(steps, perceptron("classifier", "relu", 0)), X, np.arange(100) % 3
    )
    network = prepare_network(network_from_estimator(estimator).without_host_steps(), None, "float16")
    first, hidden, last = ranges_document(network, None, FLOAT16_MAX)
    assert (first["tensor"], first["from"]) == ("input", origin)
    assert (hidden["tensor"], hidden["low"], hidden["from"]) == ("layer 1 (relu)", 0.0, "weight bounds")
    assert last["tensor"] == "output"
    assert first["high"] == pytest.approx({"min and max": 1.0, "filled": 7.0}.get(name, first["high"]))
    shown = ranges_document(network, X, FLOAT16_MAX)
    assert {each["from"] for each in shown} == {"example input"}


def test_nothing_is_known_of_bare_features_but_what_tanh_makes_of_them() -> None:
    network = prepare_network(network_from_estimator(fit("softmax", activation="tanh")[0]), None, "float16")
    first, hidden, last = ranges_document(network, None, FLOAT16_MAX)
    assert (first["low"], first["high"], first["from"]) == (None, None, "")
    assert (hidden["low"], hidden["high"], hidden["from"]) == (-0.5, 0.5, "weight bounds")  # refined
    assert last["from"] == "weight bounds"


def test_an_unknown_end_is_none_in_the_document() -> None:
    network = prepare_network(network_from_estimator(fit("softmax")[0]), None, "float16")
    first, hidden, last = ranges_document(network, None, FLOAT16_MAX)
    assert (hidden["low"], hidden["high"]) == (0.0, None)
    assert (first["low"], first["high"], last["low"], last["high"]) == (None,) * 4
    assert first["bearable"] == largest_safe_input(network, FLOAT16_MAX)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["relu", "identity", "tanh", "logistic"]), st.integers(-6, 3))
def test_bearable_inputs_keep_every_tensor_in_float16(seed: int, activation: str, size: int) -> None:
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 20, 4)
    activations = (activation, activation, "identity")
    layers = tuple(
        Layer(rng.normal(0.0, 2.0**size, (before, after)), rng.normal(0.0, 2.0**size, after), each)
        for (before, after), each in zip(pairwise(widths), activations, strict=True)
    )
    network = attrs.evolve(network_from_estimator(fit("softmax")[0]), layers=layers)
    bearable = largest_safe_input(network, FLOAT16_MAX)
    assume(bearable > 0)  # else biases alone may leave it
    corners = rng.choice([-bearable, bearable], (200, widths[0]))
    # Half a float16 step for the stored results that this evaluation in float64 leaves out.
    assert all(
        np.abs(values).max() <= FLOAT16_MAX * (1 + 2.0**-11) for values in network.activations(corners)
    )
    # Of one layer the bound is sharp: the row that meets it leaves float16 an octave's eighth above.
    alone = attrs.evolve(network, layers=(attrs.evolve(layers[0], activation="identity"),))
    beyond = 2.0 ** (1 / 8) * largest_safe_input(alone, FLOAT16_MAX)
    signs = np.sign(layers[0].weights).T * np.sign(layers[0].bias)[:, None]
    assert beyond > FLOAT16_MAX or np.abs(alone.activations(beyond * signs)[0]).max() > FLOAT16_MAX


def scaled(activation: str, sizes: tuple[float, float]) -> tuple[Network, Table]:
    """Return layers behind a StandardScaler, with weights that many times as large, and their inputs."""
    X = np.random.default_rng(0).normal(3.0, 5.0, (200, 4))
    estimator = quietly_fitted(
        make_pipeline(StandardScaler(), perceptron("one output", activation, 0)), X, X[:, 0]
    )
    network = network_from_estimator(estimator)
    first, last = network.layers
    layers = (
        Layer(first.weights * sizes[0], first.bias * sizes[0], activation),
        Layer(last.weights * sizes[1], last.bias, "identity"),
    )
    network = attrs.evolve(network, layers=layers)
    return network.without_host_steps(), network.prepare(X)


@pytest.mark.parametrize("sizes", [(1e9, 1e-9), (1e-9, 1e9), (1e6, 1e6), (1e-8, 1e-8), (1e-4, 1e4)])
@pytest.mark.parametrize("example", [False, True])
def test_relu_layers_of_any_size_are_moved_into_float16(sizes: tuple[float, float], example: bool) -> None:
    network, rows = scaled("relu", sizes)
    moved = prepare_network(
        network, rows if example else None, "float16", options=ConversionOptions(accuracy="single")
    )
    reference = network.forward(rows)
    # float64, through factors that are powers of two but for an output that is centred.
    np.testing.assert_allclose(
        moved.forward(rows), reference, rtol=1e-12, atol=1e-12 * np.abs(reference).max()
    )
    assert all(each.largest.max() <= FLOAT16_MAX for each in tensor_ranges(moved, rows))
    # 2**-11 of sums of some five terms, two times.
    error = np.abs(float16_outputs(moved, rows) - reference).max()
    assert error <= 0.01 * np.abs(reference).max()


def test_what_float16_holds_is_left_alone_without_example_input() -> None:
    network, _ = scaled("relu", (1.0, 1.0))
    assert (
        prepare_network(network, None, "float16", options=ConversionOptions(accuracy="single")).layers
        == network.layers
    )


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((1e9, 1.0), r"weights of layer 1 of 2 \(.*\) reach .*e\+08; float16 ends at 65504\. .*before fit"),
        ((1e-9, 1e9), r"weights of layer 1 of 2 \(.*\) reach .*e-10 only; float16 has fewer than 11 bits"),
    ],
    ids=["overflow", "starvation"],
)
def test_what_no_scale_brings_in_is_refused(sizes: tuple[float, float], said: str) -> None:
    network, rows = scaled("tanh", sizes)
    with pytest.raises(RangeError, match=said):
        prepare_network(network, rows, "float16")
    with pytest.raises(RangeError, match=said):
        prepare_network(network, None, "float16")


def test_weights_that_died_in_training_are_no_ground_to_refuse() -> None:
    network, rows = scaled("tanh", (1e-30, 1.0))
    assert len(prepare_network(network, rows, "float16").layers) == 1  # the constant that they leave


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_columns_of_any_size_are_brought_to_1(size: float) -> None:
    network = network_from_estimator(fit("softmax")[0])
    first = network.layers[0]
    rows = np.random.default_rng(0).standard_normal((40, 3)) * size
    sized = Layer(first.weights / size, first.bias, first.activation)
    network = attrs.evolve(network, layers=(sized, *network.layers[1:]))
    moved = prepare_network(network, rows, "float16")
    assert moved.prepare(rows).std(axis=0) == pytest.approx(np.ones(3))
    np.testing.assert_allclose(moved.forward(rows), network.forward(rows), rtol=1e-9)


def test_random_rows_lie_within_known_ranges() -> None:
    X = np.random.default_rng(0).normal(50.0, 2.0, (100, 3))
    pipeline = make_pipeline(MinMaxScaler(), perceptron("classifier", "relu", 0))
    network = network_from_estimator(quietly_fitted(pipeline, X, np.arange(100) % 3)).without_host_steps()
    rows = choose_rows(network, None, 16).rows
    assert rows.min() >= 0.0
    assert rows.max() <= 1.0
    assert rows.std() > 0.2

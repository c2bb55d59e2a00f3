"""Kernels with their exponentials on the NPU: the same function, within the derived bound."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM

from scirknn.answers import final_values
from scirknn.arrays import Array, Floats
from scirknn.bundle import Bundle
from scirknn.steps.step import carry_steps
from sklearn2rknn import Network, network_from_estimator
from sklearn2rknn.checking.arithmetic import FLOAT16, FLOAT32, FLOAT64
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.network.layer import SOFTMAX, Layer
from sklearn2rknn.network.onnx_graph import onnx_from_network
from sklearn2rknn.network.ranges import Ranges
from sklearn2rknn.network.tensor_ranges import propagate
from sklearn2rknn.passes.kernel_on_npu import distance_kernel, has_balanced_sums, kernel_on_npu
from sklearn2rknn.passes.prepare_network import prepare_network
from sklearn2rknn.passes.toolkit_graph import read_graph
from tests.converter.estimators.families.emulation import scaled

MODELS: dict[str, tuple[Any, str]] = {
    "two classes": (SVC(), "breast_cancer"),
    "three classes": (NuSVC(nu=0.2, decision_function_shape="ovo"), "wine"),
    "numbers": (SVR(C=100.0), "diabetes"),
}


@cache
def both_forms(name: str) -> tuple[Network, Network, Floats]:
    """Return the network of a model in both forms, and its rows."""
    estimator, data = MODELS[name]
    X, y = scaled(data)
    network = network_from_estimator(estimator.fit(X, y))
    kernel = distance_kernel(network)
    assert kernel is not None
    assert has_balanced_sums(kernel)
    return network, kernel_on_npu(network, kernel), X


@pytest.mark.parametrize("name", MODELS)
def test_both_forms_are_one_function(name: str) -> None:
    network, other, X = both_forms(name)
    assert [layer.activation for layer in other.layers] == [SOFTMAX, "identity"]
    expected = final_values(network, network.forward(X), X)
    np.testing.assert_allclose(final_values(other, other.forward(X), X), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("model", [OneClassSVM(nu=0.1), KernelRidge(kernel="rbf", gamma=0.1)])
def test_sums_that_are_not_balanced_are_recognised(model: Any) -> None:
    X, y = scaled("diabetes")
    kernel = distance_kernel(network_from_estimator(model.fit(X, y)))
    assert kernel is not None
    assert not has_balanced_sums(kernel)


def test_other_kernels_have_no_exponents_of_distances() -> None:
    X, y = scaled("diabetes")
    assert distance_kernel(network_from_estimator(SVR(kernel="poly").fit(X, y))) is None
    assert distance_kernel(network_from_estimator(SVR(kernel="linear").fit(X, y))) is None


def rounded(values: Array) -> Floats:
    return values.astype(np.float16).astype(np.float64)


def softmax_of_the_program(z: Floats) -> Floats:
    """Return what tasks 1 to 9 of toolkit 2.3.2's softmax compute of float16 numbers [register programs].

    Two tables of 513 entries, 32 places apart; places lie 3276 to a unit, results have steps of 2**-15.
    """
    entries = np.rint(32767 * np.exp((32 * np.arange(-512, 513) - 16384) / 3276))
    places = np.rint(np.clip(3276 * rounded(z - z.max(axis=1, keepdims=True)) + 16380, -16384, 16384))
    found = np.rint(np.interp(places, 32 * np.arange(-512, 513), entries))
    exponentials = rounded((found + 1) / 32768)
    sums = rounded(exponentials.sum(axis=1, keepdims=True, dtype=np.float32))
    return rounded(exponentials / sums)


def outputs_of_the_program(network: Network, X: Floats) -> Floats:
    first, last = network.layers
    values = rounded(network.prepare(X))
    z = rounded((values @ rounded(first.weights) + first.bias).astype(np.float32))
    sums = softmax_of_the_program(z) @ rounded(last.weights) + last.bias
    return network.finish(rounded(sums.astype(np.float32)))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(MODELS)), st.integers(0, 1 << 30), st.sampled_from([0.1, 1.0, 5.0]), st.booleans()
)
def test_errors_of_the_program_lie_within_the_carried_bound(
    name: str, seed: int, distance: float, has_example: bool
) -> None:
    _, other, X = both_forms(name)
    source = other.without_host_steps()
    network = prepare_network(source, other.prepare(X) if has_example else None, "float16")
    network = network.unpaired or network
    random = np.random.default_rng(seed)
    rows = other.prepare(X[random.integers(0, len(X), 16)] + distance * random.normal(size=(16, X.shape[1])))
    bound = file_bound(source, network, rows)
    assert bound is not None
    expected, given_outputs = source.forward(rows), outputs_of_the_program(network, rows)
    assert (np.abs(given_outputs - expected) <= bound).all()
    values, error = carry_steps(source.epilogue, expected, bound, rows)
    moved = final_values(source, given_outputs, rows)
    assert (np.abs(moved - values) <= error).all()


def test_the_bound_is_of_the_size_of_the_errors() -> None:
    _, other, X = both_forms("two classes")
    source, rows = other.without_host_steps(), other.prepare(X)
    network = prepare_network(source, rows, "float16")
    bound = file_bound(source, network.unpaired or network, rows)
    errors = np.abs(outputs_of_the_program(network.unpaired or network, rows) - source.forward(rows))
    # A shift of every exponential by 1e-2 is larger than it.
    assert 0.01 < (errors / bound).max() <= 1
    layer = other.layers[0]
    shifted = Layer(layer.weights, layer.bias + 0.1 * (layer.bias != 0), SOFTMAX)
    moved = attrs.evolve(source, layers=(shifted, other.layers[1])).forward(rows)
    assert (np.abs(moved - source.forward(rows)) > bound).any()


def test_shares_of_equal_numbers_and_of_far_ones_have_a_bound() -> None:
    layer = Layer(np.eye(3), np.zeros(3), SOFTMAX)
    rows = np.array([[0.0, 0.0, 0.0], [-1e4, 0.0, -1e4], [-30.0, -30.0, 0.0]])
    errors = np.abs(softmax_of_the_program(rows) - layer.forward(rows))
    assert (errors <= output_bound((layer,), rows, FLOAT16)).all()
    # Of a sum of 1 the table's 2^-13 for 3 channels and twice for 32 that fill it up, and 1.6e-3 twice.
    assert output_bound((layer,), rows, FLOAT16)[2].max() < 67 * 2.0**-13 + 4 * 1.6e-3
    assert output_bound((layer,), rows, FLOAT32).max() < 1e-3 * 2.0**-11 * 1e4
    assert output_bound((layer,), rows, FLOAT64, host=FLOAT64.unit).max() < 1e-11


def test_a_share_is_between_0_and_1_whatever_is_known_of_the_inputs() -> None:
    layer = Layer(np.eye(2), np.zeros(2), SOFTMAX)
    for ranges in (Ranges.unknown(2), Ranges(np.array([-9.0, 1.0]), np.array([-8.0, 2.0]), ("", ""))):
        result = propagate(layer, ranges)
        assert (result.low.tolist(), result.high.tolist()) == ([0.0, 0.0], [1.0, 1.0])


def test_the_graph_is_read_back_with_its_bound() -> None:
    _, other, X = both_forms("two classes")
    source, rows = other.without_host_steps(), other.prepare(X)[:40]
    network = attrs.evolve(source, input=None)
    bundle = SimpleNamespace(
        n_inputs=network.n_features_in,
        n_outputs=network.n_outputs,
        parts=1,
        output_parts=1,
        high_negated=False,
        features=(),
        precision="float16",
        maps_apart=False,
        input=None,
        output=None,
    )
    graph = read_graph(onnx_from_network(network, 8).SerializeToString(), cast(Bundle, bundle))
    assert [layer.activation for layer in graph.layers] == [SOFTMAX, "identity"]
    bound, expected = graph.file_bound(rows, ()), file_bound(source, network, rows)
    assert bound is not None
    assert expected is not None
    np.testing.assert_allclose(bound, expected, rtol=1e-2)

"""The graph that a toolkit is given is read back as the function that the converter meant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import attrs
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.models.strategies import specs
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.reference import ACTIVATIONS
from scirknn.arrays import Floats
from scirknn.bundle import Bundle
from sklearn2rknn import network_from_estimator
from sklearn2rknn.checking.arithmetic import DOUBLE, FLOAT16
from sklearn2rknn.checking.file_bound import _formats
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import onnx_from_network
from sklearn2rknn.passes.float16_pairs import added_outputs, pair_values
from sklearn2rknn.passes.toolkit_graph import ToolkitGraph, read_graph

SMALL = specs(extreme=False).filter(lambda spec: max((spec.n_features, *spec.hidden)) <= 300)


def read_back(network: Network) -> ToolkitGraph:
    bundle = SimpleNamespace(
        n_inputs=network.n_features_in,
        n_outputs=network.n_outputs,
        parts=network.parts,
        output_parts=network.output_parts,
        high_negated=network.high_negated,
        features=(),
        precision="float16",
        maps_apart=False,
        input=None,
        output=None,
    )
    return read_graph(onnx_from_network(network, 8).SerializeToString(), cast(Bundle, bundle))


def forward(layers: tuple[Layer, ...], X: Floats) -> Floats:
    value: Any = X
    for layer in layers:
        value = ACTIVATIONS[layer.activation](value @ layer.weights + layer.bias)
    return cast(Floats, value)


@settings(max_examples=40, deadline=None)
@given(SMALL, st.booleans(), st.booleans())
def test_float16_pairs_are_joined(spec: MlpSpec, output: bool, added: bool) -> None:
    plain = network_from_estimator(build_estimator(spec))
    straight = all(layer.activation in ("relu", "identity") for layer in plain.layers)
    network = pair_values(plain, output=output and straight)
    if output and added:
        network = added_outputs(plain, worth=-(1 << 30))
        assert network.high_negated == straight
    graph, X = read_back(network), build_rows(spec)
    assert [DOUBLE if split else FLOAT16 for split in graph.is_pair] == _formats(network)
    assert len(graph.undivided) == len(plain.layers)
    for found, meant in zip(graph.undivided, plain.layers, strict=True):
        assert found.activation == meant.activation
        # The graph stores the parts in float32; what they lose of each other is less than a unit of it.
        for one, other in ((found.weights, meant.weights), (found.bias, meant.bias)):
            np.testing.assert_allclose(one, other, rtol=2.0**-22, atol=1e-38)
    # Whole or divided, it is one function, up to float32's units of the parts.
    size = np.abs(forward(graph.undivided, X)).max(initial=1e-30)
    reach = output_bound(graph.undivided, X, attrs.evolve(FLOAT16, unit=2.0**-20, tiny=1e-30), None, None)
    gap = np.abs(forward(graph.layers, X) - forward(graph.undivided, X))
    assert (gap <= reach + 1e-12 * size).all()


def test_idle_weights_are_read_apart() -> None:
    spec = MlpSpec(5, (4,), "relu", "regressor", 2, "int", None, 8, 1)
    network = network_from_estimator(build_estimator(spec))
    idle = np.arange(1.0, 5.0)
    graph = read_back(attrs.evolve(network, idle=idle))
    np.testing.assert_array_equal(graph.idle, idle)
    assert graph.layers[0].weights.shape == (5, 4)
    assert not read_back(network).idle.any()

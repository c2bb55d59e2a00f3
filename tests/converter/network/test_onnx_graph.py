"""Network to ONNX, with onnxruntime as the judge."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scirknn.arrays import Floats
from sklearn2rknn import network_from_estimator, onnx_from_network
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import FORMS, Network
from sklearn2rknn.network.onnx_graph import input_channels, pack, unpack
from sklearn2rknn.passes.layer_merging import collapse_constant
from tests.converter.fitted import fit, fitted


def run(network: Network, X: Floats, samples: int) -> npt.NDArray[np.float32]:
    """Return what onnxruntime computes."""
    model = onnx_from_network(network, samples).SerializeToString()
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    runs = pack(network.prepare(X), input_channels(network), samples, network.form)
    outputs = np.stack([session.run(None, {"x": each})[0] for each in runs])
    return unpack(outputs, len(X))


@settings(max_examples=40, deadline=None)
@given(fitted(), st.integers(1, 70), st.sampled_from(FORMS))
def test_graph_computes_the_network(model: tuple[Any, npt.NDArray[Any]], samples: int, form: str) -> None:
    estimator, X = model
    network = attrs.evolve(network_from_estimator(estimator), form=form)
    reference = network.forward(X)
    # float32 throughout: 5 layers of fewer than 20 products, each rounding by 2**-24 of sums below 20 or so.
    np.testing.assert_allclose(run(network, X, samples), reference, rtol=1e-5, atol=5 * 20 * 20 * 2.0**-24)


@settings(max_examples=20, deadline=None)
@given(
    fitted(kinds=("softmax", "binary", "multilabel")), st.integers(1, 70), st.sampled_from(("conv", "matmul"))
)
def test_graph_can_hold_the_head(model: tuple[Any, npt.NDArray[Any]], samples: int, form: str) -> None:
    estimator, X = model
    network = attrs.evolve(network_from_estimator(estimator), form=form, head_on_npu=True)
    # Errors of the outputs before the head as above; softmax and logistic do not enlarge them.
    np.testing.assert_allclose(
        run(network, X, samples),
        estimator.predict_proba(X)[:, -network.n_outputs :],
        rtol=1e-5,
        atol=5 * 20 * 20 * 2.0**-24,
    )


@pytest.mark.parametrize(
    ("form", "operators"),
    [("matmul", ["MatMul", "Add", "Relu", "MatMul", "Add"]), ("gemm", ["Gemm", "Relu", "Gemm"])],
)
def test_forms_for_comparison_are_as_others_write_them(form: str, operators: list[str]) -> None:
    network = attrs.evolve(network_from_estimator(fit("softmax", n_features=3)[0]), form=form)
    graph = onnx_from_network(network, 5).graph
    assert [node.op_type for node in graph.node] == operators
    assert [each.dim_value for each in graph.input[0].type.tensor_type.shape.dim] == [5, 3]


@pytest.mark.parametrize("n_features", [1, 3, 4, 7, 8, 9, 16, 17])
def test_channels_are_a_multiple_of_eight(n_features: int) -> None:
    network = network_from_estimator(fit("softmax", n_features=n_features)[0])
    channels = input_channels(network)
    assert channels % 8 == 0
    assert n_features <= channels < n_features + 8
    shape = onnx_from_network(network, 5).graph.input[0].type.tensor_type.shape.dim
    assert [each.dim_value for each in shape] == [1, channels, 5, 1]


def test_form_is_the_one_that_stays_on_the_npu() -> None:
    network = network_from_estimator(fit("softmax", hidden=(5, 4), activation="tanh")[0])
    model = onnx_from_network(network, 2)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Tanh", "Conv", "Tanh", "Conv"]
    assert (model.ir_version, model.opset_import[0].version) == (8, 12)
    assert [each.dim_value for each in model.graph.output[0].type.tensor_type.shape.dim] == [1, 3, 2, 1]


def test_bytes_are_the_same_each_time() -> None:
    network = network_from_estimator(fit("softmax")[0])
    first, again = (onnx_from_network(network, 4).SerializeToString() for _ in range(2))
    assert first == again


@pytest.mark.parametrize("n_features", [7, 8])
def test_constant_network_has_a_weight_on_a_channel_that_is_zero(n_features: int) -> None:
    network = network_from_estimator(fit("softmax", n_features=n_features)[0])
    silent = Layer(np.zeros_like(network.layers[0].weights), network.layers[0].bias, "relu")
    network = collapse_constant(attrs.evolve(network, layers=(silent, *network.layers[1:])))
    X = np.random.default_rng(0).standard_normal((3, n_features))
    kernel = onnx_from_network(network, 2).graph.initializer[0]
    assert any(kernel.raw_data)
    np.testing.assert_allclose(run(network, X, 2), network.forward(X), rtol=1e-6)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 20))
def test_unpack_undoes_pack(rows: int, features: int, samples: int) -> None:
    values = np.arange(rows * features, dtype=np.float64).reshape(rows, features)
    runs = pack(values, 16, samples)
    assert runs.shape == (-(-rows // samples), 1, 16, samples, 1)
    assert runs.flags.c_contiguous
    table = unpack(runs, rows)
    assert np.array_equal(table[:, :features], values)
    assert not table[:, features:].any()
    # What fills the last run is rows again: zeros would be a row that a calibration never should meet.
    filled = unpack(runs, len(runs) * samples)[:, :features]
    assert {tuple(row) for row in filled} == {tuple(row) for row in values}

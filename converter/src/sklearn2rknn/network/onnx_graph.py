"""From a `Network` to ONNX: a chain of 1x1 convolutions over ``[1, C, N, 1]``.

Samples lie on the height axis and the batch is 1, the form in which every toolkit version places every layer
on the NPU. C, the input's width, is padded with zeros to a multiple of 8; 1, 3 or 4 channels would be taken
for an image. The head and both affine maps are the host's and not in the graph.

For comparison a network can have the form of the first scirknn's graphs, MatMul and Add over ``[N, C]``, or
Gemm, and its head in the graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from scirknn.arrays import Floats
from sklearn2rknn.network.layer import CLIPPED_TANH, CLIPPED_TANH_END, REFINED, SOFTMAX, Layer
from sklearn2rknn.network.network import SOFTMAX_OPSET, Network

OPSET = 12

IR_VERSION = 8
CHANNEL_MULTIPLE = 8

_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def input_channels(network: Network) -> int:
    """Return C, the channels of features and of an input that is always 0, padded.

    Without convolutions there are no images to be taken for, and nothing is padded.
    """
    first = network.layers[0].weights
    needed = len(first) + int(network.idle is not None or not first.any())
    return -(-needed // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE if network.form == "conv" else needed


def onnx_from_network(network: Network, batch_size: int) -> onnx.ModelProto:
    """Return the network's layers as an ONNX graph of a batch size (N).

    Returns
    -------
    onnx.ModelProto
        float32, opset 12 (13 with a softmax), IR 8; input ``x`` of shape ``[1, C, N, 1]``, output ``y`` of
        shape ``[1, K, N, 1]``; without convolutions ``[N, C]`` and ``[N, K]``. The same network gives the
        same bytes.
    """
    channels, conv = input_channels(network), network.form == "conv"
    nodes: list[onnx.NodeProto] = []
    constants, current = [], "x"
    for i, layer in enumerate(network.layers):
        if network.high_negated and layer is network.layers[-1]:
            layer = high_half(layer)
        weights = _kernel(layer, channels, network.idle) if i == 0 else _kernel(layer, len(layer.weights))
        constants += [
            numpy_helper.from_array(weights[:, :, None, None] if conv else weights.T, f"weights_{i}"),
            numpy_helper.from_array(layer.bias.astype(np.float32), f"bias_{i}"),
        ]
        nodes += _layer_nodes(network.form, current, i) + _activation_nodes(layer.activation, i)
        current = nodes[-1].output[0]
    if network.high_negated:
        constants += _opposites(constants[-2:])
        nodes += _low_nodes(nodes[-1].input[0], current, constants[-2:])
    if network.head_on_npu:
        nodes.append(_head_node(network.head, current))
    nodes[-1].output[0] = "y"
    constants += _activation_constants({layer.activation for layer in network.layers}, conv)
    graph = helper.make_graph(
        nodes,
        "mlp",
        [_value("x", channels, batch_size, conv)],
        [_value("y", network.widths[-1], batch_size, conv)],
        constants,
    )
    softmax = any(node.op_type == "Softmax" for node in nodes)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", SOFTMAX_OPSET if softmax else OPSET)],
        ir_version=IR_VERSION,
        producer_name="sklearn2rknn",
    )
    onnx.checker.check_model(model)
    return model


def _activation_constants(activations: set[str], conv: bool) -> list[onnx.TensorProto]:
    values: dict[str, npt.NDArray[np.float32]] = {}
    if REFINED in activations:
        values["one"] = np.ones((1, 1, 1, 1) if conv else (1, 1), np.float32)
    if CLIPPED_TANH in activations:
        values |= {"zero": np.array(0.0, np.float32), "end": np.array(CLIPPED_TANH_END, np.float32)}
    return [numpy_helper.from_array(value, name) for name, value in values.items()]


def high_half(layer: Layer) -> Layer:
    """Return the half of a layer's columns that give high numbers."""
    count = len(layer.bias) // 2
    return Layer(layer.weights[:, :count], layer.bias[:count], layer.activation)


def _opposites(constants: Sequence[onnx.TensorProto]) -> list[onnx.TensorProto]:
    return [numpy_helper.from_array(-numpy_helper.to_array(each), f"{each.name}_low") for each in constants]


def _low_nodes(source: str, high: str, constants: Sequence[onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Return the nodes that compute what float16 took away from `high`, the opposite, and join both.

    The toolkit makes one task of Conv and Add: the product is added before it is rounded.
    """
    names = [each.name for each in constants]
    return [
        helper.make_node("Conv", [source, *names], ["product"], "dense_low", kernel_shape=[1, 1]),
        helper.make_node("Add", ["product", high], ["low"], "low"),
        helper.make_node("Concat", [high, "low"], ["parts"], "parts", axis=1),
    ]


def _value(name: str, channels: int, batch_size: int, conv: bool) -> onnx.ValueInfoProto:
    shape = [1, channels, batch_size, 1] if conv else [batch_size, channels]
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _layer_nodes(form: str, current: str, i: int) -> list[onnx.NodeProto]:
    """Return the nodes that take `current` to ``layer_<i>``."""
    weights, bias, result, name = f"weights_{i}", f"bias_{i}", f"layer_{i}", f"dense_{i}"
    if form == "conv":
        kernel = [1, 1]
        return [helper.make_node("Conv", [current, weights, bias], [result], name, kernel_shape=kernel)]
    if form == "gemm":
        return [helper.make_node("Gemm", [current, weights, bias], [result], name)]
    product = f"product_{i}"
    return [
        helper.make_node("MatMul", [current, weights], [product], name),
        helper.make_node("Add", [product, bias], [result], f"bias_{i}"),
    ]


def _head_node(head: str, current: str) -> onnx.NodeProto:
    if head == "softmax":
        return helper.make_node("Softmax", [current], ["head"], "head", axis=1)
    return helper.make_node("Sigmoid", [current], ["head"], "head")


def _activation_nodes(activation: str, i: int) -> list[onnx.NodeProto]:
    """Return the nodes from ``layer_<i>`` to ``activation_<i>``; none for identity."""
    if activation == SOFTMAX:
        return [helper.make_node("Softmax", [f"layer_{i}"], [f"activation_{i}"], name=f"softmax_{i}", axis=1)]
    if activation in _OPERATORS:
        operator = _OPERATORS[activation]
        return [helper.make_node(operator, [f"layer_{i}"], [f"activation_{i}"], name=f"{activation}_{i}")]
    chains = {
        REFINED: [
            ("Tanh", [f"layer_{i}"], f"tanh_{i}"),
            ("Mul", [f"tanh_{i}", f"tanh_{i}"], f"square_{i}"),
            ("Add", [f"square_{i}", "one"], f"divisor_{i}"),
            ("Div", [f"tanh_{i}", f"divisor_{i}"], f"activation_{i}"),
        ],
        CLIPPED_TANH: [
            ("Clip", [f"layer_{i}", "zero", "end"], f"clip_{i}"),
            ("Tanh", [f"clip_{i}"], f"activation_{i}"),
        ],
    }
    return [
        helper.make_node(operator, inputs, [output], name=f"{operator.lower()}_{i}")
        for operator, inputs, output in chains.get(activation, [])
    ]


def _kernel(layer: Layer, channels: int, idle: Floats | None = None) -> npt.NDArray[np.float32]:
    n_in, n_out = layer.weights.shape
    kernel = np.zeros((n_out, channels), dtype=np.float32)
    kernel[:, :n_in] = layer.weights.T
    if idle is not None:
        kernel[:, n_in] = idle
    elif not layer.weights.any() and channels > n_in:
        # The toolkit refuses a graph of constants; this channel is always 0, so the weight changes nothing.
        kernel[:, n_in] = 1.0
    return kernel


def pack(values: Floats, channels: int, batch_size: int, form: str = "conv") -> npt.NDArray[np.float32]:
    """Cut prepared rows, shape (n, n_features), into the graph's inputs.

    Returns
    -------
    numpy.ndarray of float32, shape (ceil(n / N), 1, C, N, 1), without convolutions (ceil(n / N), N, C)
        For C channels and batch size N. The last run is padded with rows from the front, so that a
        calibration meets real rows only.
    """
    rows, features = values.shape
    runs = -(-rows // batch_size)
    padded = np.zeros((runs * batch_size, channels), dtype=np.float32)
    padded[:, :features] = np.take(values, np.arange(runs * batch_size), axis=0, mode="wrap")
    tables = padded.reshape(runs, batch_size, channels)
    return np.ascontiguousarray(tables.transpose(0, 2, 1))[:, None, :, :, None] if form == "conv" else tables


def unpack(outputs: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
    """Return the first rows, shape (rows, K), of (runs, 1, K, N, 1) or (runs, N, K)."""
    tables = outputs if outputs.ndim == 3 else outputs[:, 0, :, :, 0].transpose(0, 2, 1)
    return np.asarray(tables.reshape(-1, tables.shape[2])[:rows])

"""From a `Network` to ONNX: a chain of 1x1 convolutions over ``[1, C, N, 1]``.

Samples lie on the height axis and the batch is 1, the form in which every toolkit version places every layer
on the NPU. C, the input's width, is padded with zeros to a multiple of 8; 1, 3 or 4 channels would be taken
for an image. The head and both affine maps are the host's and not in the graph.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from sklearn2rknn.network import REFINED, Floats, Layer, Network

__all__ = ["CHANNEL_MULTIPLE", "OPSET", "input_channels", "onnx_from_network", "pack", "unpack"]

OPSET = 12
IR_VERSION = 8
CHANNEL_MULTIPLE = 8

_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def input_channels(network: Network) -> int:
    """Return C: the features' channels, one more for a network of constants, up to a multiple of 8."""
    first = network.layers[0].weights
    needed = len(first) + int(not first.any())
    return -(-needed // CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE


def onnx_from_network(network: Network, samples: int) -> onnx.ModelProto:
    """Write the network's layers as an ONNX graph.

    Parameters
    ----------
    network : Network
    samples : int
        Rows that one run takes (N).

    Returns
    -------
    onnx.ModelProto
        float32, opset 12, IR 8; input ``x`` of shape ``[1, C, N, 1]``, output ``y`` of shape ``[1, K, N,
        1]``. The same network gives the same bytes.
    """
    channels = input_channels(network)
    nodes, constants, current = [], [], "x"
    for i, layer in enumerate(network.layers):
        weights = _kernel(layer, channels if i == 0 else layer.weights.shape[0])
        last = i == len(network.layers) - 1
        constants += [
            numpy_helper.from_array(weights, f"weights_{i}"),
            numpy_helper.from_array(layer.bias.astype(np.float32), f"bias_{i}"),
        ]
        activation = _activation_nodes(layer.activation, i)
        result = "y" if last and not activation else f"layer_{i}"
        nodes.append(
            helper.make_node(
                "Conv",
                [current, f"weights_{i}", f"bias_{i}"],
                [result],
                name=f"dense_{i}",
                kernel_shape=[1, 1],
            )
        )
        nodes += activation
        current = activation[-1].output[0] if activation else result
        if activation and last:
            activation[-1].output[0] = "y"
    if any(layer.activation == REFINED for layer in network.layers):
        constants.append(numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "one"))
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, samples, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, network.widths[-1], samples, 1])],
        constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="sklearn2rknn",
    )
    onnx.checker.check_model(model)
    return model


def _activation_nodes(activation: str, i: int) -> list[onnx.NodeProto]:
    """Return the nodes that take ``layer_<i>`` to ``activation_<i>``; none for identity."""
    if activation in _OPERATORS:
        operator = _OPERATORS[activation]
        return [helper.make_node(operator, [f"layer_{i}"], [f"activation_{i}"], name=f"{activation}_{i}")]
    if activation != REFINED:
        return []
    return [
        helper.make_node(operator, inputs, [output], name=f"{operator.lower()}_{i}")
        for operator, inputs, output in (
            ("Tanh", [f"layer_{i}"], f"tanh_{i}"),
            ("Mul", [f"tanh_{i}", f"tanh_{i}"], f"square_{i}"),
            ("Add", [f"square_{i}", "one"], f"divisor_{i}"),
            ("Div", [f"tanh_{i}", f"divisor_{i}"], f"activation_{i}"),
        )
    ]


def _kernel(layer: Layer, channels: int) -> npt.NDArray[np.float32]:
    n_in, n_out = layer.weights.shape
    kernel = np.zeros((n_out, channels, 1, 1), dtype=np.float32)
    kernel[:, :n_in, 0, 0] = layer.weights.T
    if not layer.weights.any() and channels > n_in:
        # The toolkit refuses a graph of constants; this channel is always 0, so the weight changes nothing.
        kernel[:, n_in, 0, 0] = 1.0
    return kernel


def pack(values: Floats, channels: int, samples: int) -> npt.NDArray[np.float32]:
    """Cut rows into the graph's inputs.

    Parameters
    ----------
    values : numpy.ndarray, shape (n, n_features), n at least 1
        Rows that `Network.prepare` returned.
    channels, samples : int
        C and N of the graph.

    Returns
    -------
    numpy.ndarray of float32, shape (ceil(n / N), 1, C, N, 1)
        The last run is filled up with rows from the front, so that a calibration meets real rows only.
    """
    rows, features = values.shape
    runs = -(-rows // samples)
    padded = np.zeros((runs * samples, channels), dtype=np.float32)
    padded[:, :features] = np.take(values, np.arange(runs * samples), axis=0, mode="wrap")
    return np.ascontiguousarray(padded.reshape(runs, samples, channels).transpose(0, 2, 1))[
        :, None, :, :, None
    ]


def unpack(outputs: npt.NDArray[np.float32], rows: int) -> npt.NDArray[np.float32]:
    """Return the first `rows` rows, shape (rows, K), of outputs of shape (runs, 1, K, N, 1)."""
    runs, _, columns, samples, _ = outputs.shape
    table = outputs[:, 0, :, :, 0].transpose(0, 2, 1).reshape(runs * samples, columns)
    return np.asarray(table[:rows])

"""What the toolkit was given, read back from its ONNX: layers, as the converter made them of an estimator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import onnx
from onnx import numpy_helper

from rknn_harness.verdicts.reference import Floats, Layer
from scirknn.bundle import Bundle
from sklearn2rknn.network.layer import HALF
from sklearn2rknn.passes.float16_pairs import BELOW

__all__ = ["ToolkitGraph", "read_graph"]

_ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "logistic"}


@attrs.frozen(eq=False)
class ToolkitGraph:
    """A chain of layers that takes the features.

    Attributes
    ----------
    layers : tuple of Layer
        Those of the graph, their inputs and outputs whole numbers where the graph has them in parts.
    undivided : tuple of Layer
        The same function without the layers that only carry remainders (`sklearn2rknn.passes.float16_pairs`).
    split : tuple of bool
        Whether its input, and each result of the undivided layers, is carried in two parts.
    idle : numpy.ndarray of float64, shape (n_units,)
        The first layer's largest weights on channels that no feature takes: they count for scales alone.
    """

    layers: tuple[Layer, ...]
    undivided: tuple[Layer, ...]
    split: tuple[bool, ...]
    idle: Floats


def read_graph(model: bytes, bundle: Bundle) -> ToolkitGraph:
    """Read a chain of 1x1 convolutions, or of products of matrices.

    The columns that pad its input are left out, and where a feature is given in parts, the weights of its
    high parts are added up: they compute with the whole feature what the parts do. Where ``t / (1 + t**2)``
    follows ``t = tanh(z)``, that is ``tanh(2 z) / 2``; a Clip is half of the Tanh behind it.

    Raises
    ------
    ValueError
        The graph holds another kind of node.
    """
    graph = onnx.load_from_string(model).graph
    constants = {each.name: numpy_helper.to_array(each).astype(np.float64) for each in graph.initializer}
    columns = bundle.n_inputs
    following = {node.input[0]: node.input[1] for node in graph.node if node.op_type == "Add"}
    layers: list[Layer] = []
    idle: Floats | None = None
    factor = 1.0
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            weights = constants[node.input[1]]
            weights = weights[:, :, 0, 0].T if node.op_type == "Conv" else weights
            if idle is None:
                idle = np.abs(weights[bundle.parts * columns :]).max(axis=0, initial=0.0)
                weights = _whole(weights[: bundle.parts * columns], bundle.parts)
            bias = constants[node.input[2] if node.op_type != "MatMul" else following[node.output[0]]]
            layers.append(Layer(factor * weights, bias, "identity"))
            factor = 1.0
        elif node.op_type == "Clip":
            layers[-1] = attrs.evolve(layers[-1], activation=HALF)
        elif node.op_type in _ACTIVATIONS and layers[-1].activation != HALF:
            layers[-1] = attrs.evolve(layers[-1], activation=_ACTIVATIONS[node.op_type])
        elif node.op_type == "Div":
            last = layers[-1]
            layers[-1] = Layer(2.0 * last.weights, 2.0 * last.bias, last.activation)
            factor = 0.5
        elif node.op_type not in ("Mul", "Add", "Tanh"):
            raise ValueError(f"A chain of layers holds no {node.op_type}.")
    undivided, split = _undivided(layers, bundle)
    if bundle.output_parts > 1:
        last, count = layers[-1], bundle.n_outputs
        weights, bias = (part[..., :count] + part[..., count:] for part in (last.weights, last.bias))
        layers[-1] = Layer(weights, bias, last.activation)
    assert idle is not None
    return ToolkitGraph(tuple(layers), undivided, split, idle)


def _whole(weights: np.ndarray[Any, Any], parts: int) -> Floats:
    """Return the weights of numbers that come in parts: the two that a number's high part meets, added."""
    rows = len(weights) // parts
    return np.asarray(sum(weights[part * rows :][:rows] for part in range(0, parts, 2)), np.float64)


def _undivided(layers: Sequence[Layer], bundle: Bundle) -> tuple[tuple[Layer, ...], tuple[bool, ...]]:
    """Join the layers that carry remainders to those they serve.

    As far as relus lead, two layers stand for one: the first computes the high part and hands its input on,
    the second computes the layer again, its weights below those that take the high part off.
    """
    if bundle.parts == 1:
        return tuple(layers), (False,) * (len(layers) + 1)
    found: list[Layer] = []
    split = [True]
    rest = list(layers)
    while rest:
        layer = rest.pop(0)
        # Of the first layer that has been done.
        weights = _whole(layer.weights, bundle.parts) if found and split[-1] else layer.weights
        more = bool(rest) or bundle.output_parts > 1
        divided = split[-1] and layer.activation in ("relu", "identity") and more
        if divided:
            second = rest.pop(0)
            units = len(second.bias) // (bundle.parts if rest else bundle.output_parts)
            below = BELOW if layer.activation == "relu" else 1.0
            weights, layer = weights[:, :units] / below, attrs.evolve(layer, bias=layer.bias[:units] / below)
        found.append(attrs.evolve(layer, weights=weights))
        split.append(divided)
    return tuple(found), tuple(split)

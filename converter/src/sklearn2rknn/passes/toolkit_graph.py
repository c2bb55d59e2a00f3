"""The graph that a toolkit was given, read back from its ONNX, and the error bound of its files."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np
import onnx
from onnx import numpy_helper

from scirknn.arrays import Floats
from scirknn.bundle import Affine, Bundle, apply_affine
from scirknn.steps.step import width_after
from sklearn2rknn.checking.arithmetic import DOUBLE, FLOAT16, FLOAT32
from sklearn2rknn.checking.file_bound import LOW_NUMBERS, stored_sums
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.checking.integer_bounds import quantized_output_bound, tensor_count, tensor_steps
from sklearn2rknn.network.layer import CLIPPED_TANH, SOFTMAX, Layer
from sklearn2rknn.network.network import pair_rows
from sklearn2rknn.passes.float16_pairs import join_first_rows, join_pairs
from virtual_npu import RknnFile, UnsupportedProgram

_ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "logistic", "Softmax": SOFTMAX}


@attrs.frozen(eq=False)
class ToolkitGraph:
    """A chain of layers that takes the features.

    Attributes
    ----------
    bundle : Bundle
        What is left to the host.
    layers : tuple of Layer
        Those of the graph, pairs at its inputs and outputs joined.
    given : tuple of Layer
        The same, pairs apart; of added outputs, the layer of the low numbers alone.
    undivided : tuple of Layer
        The same function without float16 pairs.
    is_pair : tuple of bool
        Whether its input, and each result of the undivided layers, is a float16 pair.
    idle : numpy.ndarray of float64, shape (n_units,)
        The first layer's largest weights on channels that no feature takes: they count for scales alone.
    """

    bundle: Bundle
    layers: tuple[Layer, ...]
    given: tuple[Layer, ...]
    undivided: tuple[Layer, ...]
    is_pair: tuple[bool, ...]
    idle: Floats

    def float32_bound(self, X: Floats) -> Floats:
        """Bound the error of the graph in float32, shape (n, n_outputs)."""
        rows, maps = self._maps(X)
        return output_bound(self.layers, rows, FLOAT32, *maps)

    def file_bound(self, X: Floats, files: Sequence[RknnFile]) -> Floats | None:
        """Bound the error of its files, shape (n, n_outputs); None for tensors that are not the layers'."""
        rows, maps = self._maps(X)
        if self.bundle.precision == "float16":
            return self._float16_bound(rows, maps, files)
        steps = [tensor_steps(file) for file in files]
        if any(len(each) != tensor_count(self.layers) for each in steps):
            return None
        # Files of several sizes are calibrated apart; a row may pass through any of them.
        bounds = [quantized_output_bound(self.layers, rows, each, *maps, idle=self.idle) for each in steps]
        return np.asarray(np.max(bounds, axis=0))

    def _float16_bound(
        self, rows: Floats, maps: tuple[Affine | None, Affine | None], files: Sequence[RknnFile]
    ) -> Floats | None:
        formats = [DOUBLE if is_pair else FLOAT16 for is_pair in self.is_pair]
        values = pair_rows(apply_affine(maps[0], rows), self.bundle.parts)
        try:
            sums = [stored_sums(self.given, self.undivided, formats, values, file) for file in files]
        except UnsupportedProgram:
            return None
        # Where a file stores no sums of parts its bound is below that of one that does.
        bounds = [
            output_bound(self.undivided, rows, formats, *maps, stored_sums=each)
            for each in filter(None, sums)
        ] or [output_bound(self.undivided, rows, formats, *maps)]
        return np.asarray(np.max(bounds, axis=0) * (1 + LOW_NUMBERS * self.bundle.high_negated))

    def _maps(self, X: Floats) -> tuple[Floats, tuple[Affine | None, Affine | None]]:
        """Return the rows in front of the host's last map, and the maps around the layers."""
        bundle = self.bundle
        if bundle.maps_apart:
            return np.asarray(bundle.expand(X), np.float64), (bundle.scale, bundle.output)
        return X, (bundle.input, bundle.output)


def read_graph(model: bytes, bundle: Bundle) -> ToolkitGraph:
    """Read a chain of 1x1 convolutions, or of products of matrices.

    The columns that pad its input are left out. ``t / (1 + t**2)`` behind ``t = tanh(z)`` is read as
    ``tanh(2 z) / 2``; a Clip makes a half of the Tanh behind it.

    Raises
    ------
    ValueError
        The graph holds another kind of node.
    """
    given, idle = _read_layers(onnx.load_from_string(model).graph, bundle)
    if bundle.high_negated:
        del given[-2]
    first = attrs.evolve(given[0], weights=join_first_rows(given[0].weights, bundle.parts))
    layers = [first, *given[1:]]
    if bundle.high_negated:
        undivided, is_pair = join_pairs(layers, bundle.parts, 1)
        return ToolkitGraph(bundle, tuple(layers), tuple(given), undivided, (*is_pair[:-1], True), idle)
    undivided, is_pair = join_pairs(layers, bundle.parts, bundle.output_parts)
    if bundle.output_parts > 1:
        last, count = layers[-1], bundle.n_outputs
        weights, bias = (part[..., :count] + part[..., count:] for part in (last.weights, last.bias))
        layers[-1] = Layer(weights, bias, last.activation)
    return ToolkitGraph(bundle, tuple(layers), tuple(given), undivided, is_pair, idle)


def _read_layers(graph: onnx.GraphProto, bundle: Bundle) -> tuple[list[Layer], Floats]:
    """Return the layers, pairs apart, and the idle weights."""
    constants = {each.name: numpy_helper.to_array(each).astype(np.float64) for each in graph.initializer}
    biases = {node.input[0]: node.input[1] for node in graph.node if node.op_type == "Add"}
    layers: list[Layer] = []
    idle = np.zeros(0)
    factor = 1.0
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            weights = constants[node.input[1]]
            weights = weights[:, :, 0, 0].T if node.op_type == "Conv" else weights
            if not layers or node.input[0] == graph.input[0].name:
                rows = bundle.parts * width_after(bundle.features, bundle.n_inputs)
                idle = np.abs(weights[rows:]).max(axis=0, initial=0.0)
                weights = weights[:rows]
            bias = constants[node.input[2] if node.op_type != "MatMul" else biases[node.output[0]]]
            layers.append(Layer(factor * weights, bias, "identity"))
            factor = 1.0
        elif node.op_type == "Clip":
            layers[-1] = attrs.evolve(layers[-1], activation=CLIPPED_TANH)
        elif node.op_type in _ACTIVATIONS and layers[-1].activation != CLIPPED_TANH:
            layers[-1] = attrs.evolve(layers[-1], activation=_ACTIVATIONS[node.op_type])
        elif node.op_type == "Div":
            last = layers[-1]
            layers[-1] = Layer(2.0 * last.weights, 2.0 * last.bias, last.activation)
            factor = 0.5
        elif node.op_type not in ("Mul", "Add", "Tanh", "Concat"):
            raise ValueError(f"A chain of layers holds no {node.op_type}.")
    if layers[-1].activation == SOFTMAX:
        raise ValueError("A chain of layers does not end in a softmax.")
    return layers, idle

"""Networks as other programs export them to ONNX, PyTorch first: what is drawn is fixed by a graph's name."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]


@dataclass
class Sketch:
    """A graph in the making; methods add nodes and return the name of what they compute."""

    name: str
    shape: tuple[int, ...]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)
    features: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(zlib.crc32(self.name.encode()))

    def constant(self, values: npt.ArrayLike, kind: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(values, kind)
        return name

    def add(self, operator: str, *inputs: str, width: int = 0, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        self.features[name] = width or self.features.get(inputs[0], 0)
        return name

    def flatten(self, x: str = "x") -> str:
        return self.add("Flatten", x, width=prod(self.shape[1:]))

    def weights(self, kernels: int, channels: int) -> Array:
        values: Array = self.rng.normal(size=(kernels, channels)) / np.sqrt(channels)
        return values

    def gemm(self, x: str, width: int) -> str:
        """Linear of PyTorch: Gemm with transposed weights."""
        weights = self.constant(self.weights(width, self.features[x]))
        return self.add("Gemm", x, weights, self._small(width), width=width, transB=1)

    def matmul(self, x: str, width: int) -> str:
        """Dense of Keras: MatMul, then Add."""
        weights = self.constant(self.weights(width, self.features[x]).T)
        return self.add("Add", self.add("MatMul", x, weights, width=width), self._small(width))

    def _small(self, width: int) -> str:
        return self.constant(self.rng.normal(size=width) * 0.1)

    def batch_norm(self, x: str) -> str:
        width = self.features[x]
        factors, shifts = self.rng.uniform(0.5, 1.5, width), self.rng.normal(size=width) * 0.1
        means, variances = self.rng.normal(size=width) * 0.1, self.rng.uniform(0.5, 1.5, width)
        return self.add(
            "BatchNormalization", x, *map(self.constant, (factors, shifts, means, variances)), epsilon=1e-5
        )

    def layer_norm(self, x: str) -> str:
        """LayerNorm as PyTorch wrote it before opset 17."""
        width = self.features[x]
        centred = self.add("Sub", x, self.add("ReduceMean", x, axes=[-1]))
        variance = self.add("ReduceMean", self.add("Pow", centred, self.constant(2.0)), axes=[-1])
        root = self.add("Sqrt", self.add("Add", variance, self.constant(1e-5)))
        normal = self.add("Div", centred, root)
        scaled = self.add("Mul", normal, self.constant(self.rng.uniform(0.5, 1.5, width)))
        return self.add("Add", scaled, self._small(width))

    def layers(self, x: str, widths: tuple[int, ...], activate: Callable[[str], str], last: str = "") -> str:
        """Add linear layers with `activate` between them and the operator `last` behind them."""
        for width in widths[:-1]:
            x = activate(self.gemm(x, width))
        x = self.gemm(x, widths[-1])
        if not last:
            return x
        return self.add(last, x, **({"axis": 1} if last == "Softmax" else {}))

    def model(self, output: str, opset: int) -> onnx.ModelProto:
        ends = [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape),
            helper.make_tensor_value_info(output, TensorProto.FLOAT, [self.shape[0], self.features[output]]),
        ]
        constants = [numpy_helper.from_array(values, name) for name, values in self.constants.items()]
        graph = helper.make_graph(self.nodes, self.name, ends[:1], ends[1:], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _operator(name: str, **attributes: Any) -> Callable[[Sketch], Callable[[str], str]]:
    return lambda s: lambda x: s.add(name, x, **attributes)


def _clip(s: Sketch) -> Callable[[str], str]:
    return lambda x: s.add("Clip", x, s.constant(0.0), s.constant(6.0))


def _prelu(s: Sketch) -> Callable[[str], str]:
    return lambda x: s.add("PRelu", x, s.constant(s.rng.uniform(-0.5, 0.5, s.features[x])))


def _swish(s: Sketch) -> Callable[[str], str]:
    return lambda x: s.add("Mul", x, s.add("Sigmoid", x))


def _normal(norm: str) -> Callable[[Sketch], Callable[[str], str]]:
    return lambda s: lambda x: s.add("Relu", getattr(s, norm)(x))


def _maxout(s: Sketch) -> str:
    """Max of two convolutions: of two Gemms the toolkit leaves it to the CPU."""
    first, second = (
        s.add("Conv", "x", s.constant(s.weights(5, s.shape[1])[:, :, None, None]), s._small(5), width=5)
        for _ in range(2)
    )
    return s.add("Flatten", s.add("Max", first, second), width=5)


def _residual(s: Sketch, x: str) -> str:
    x = s.add("Relu", s.gemm(x, 32))
    for _ in range(2):
        x = s.add("Relu", s.add("Add", x, s.gemm(s.add("Relu", s.gemm(x, 32)), 32)))
    return s.gemm(x, 4)


def _concat(s: Sketch, x: str) -> str:
    left, right = s.add("Relu", s.gemm(x, 24)), s.add("Tanh", s.gemm(x, 16))
    return s.gemm(s.add("Concat", left, right, axis=1, width=40), 6)


def _dense_concat(s: Sketch, x: str) -> str:
    first = s.add("Relu", s.gemm(x, 32))
    return s.gemm(s.add("Concat", x, first, axis=1, width=s.features[x] + 32), 3)


def _keras(s: Sketch, x: str) -> str:
    x = s.add("Relu", s.matmul(x, 48))
    return s.add("Softmax", s.matmul(x, 8), axis=1)


def _gated(s: Sketch, x: str) -> str:
    return s.gemm(s.add("Mul", s.gemm(x, 32), s.add("Sigmoid", s.gemm(x, 32))), 4)


def _reshaped(s: Sketch) -> str:
    width = prod(s.shape[1:])
    shape = s.constant([s.shape[0], width], np.int64)
    x = s.add("Reshape", "x", shape, width=width)
    return s.layers(x, (40, 10), _operator("Relu")(s))


def _root(s: Sketch, x: str) -> str:
    return s.add("Sqrt", s.add("Relu", s.gemm(x, 12)))


Body = Callable[[Sketch], str]


def _mlp(
    widths: tuple[int, ...], activation: Callable[[Sketch], Callable[[str], str]], last: str = ""
) -> Body:
    return lambda s: s.layers(s.flatten(), widths, activation(s), last)


def _flat(body: Callable[[Sketch, str], str]) -> Body:
    return lambda s: body(s, s.flatten())


@dataclass(frozen=True)
class ForeignGraph:
    """One graph: the input's shape, and what draws it."""

    name: str
    shape: tuple[int, ...]
    body: Body
    opset: int = 12

    def model(self) -> onnx.ModelProto:
        sketch = Sketch(self.name, self.shape)
        return sketch.model(self.body(sketch), self.opset)


_RELU: Final = _operator("Relu")

GRAPHS: Final = tuple(
    ForeignGraph(name, shape, body)
    for name, shape, body in (
        ("wake word, layer norm", (1, 16, 96), _mlp((128, 128, 1), _normal("layer_norm"), "Sigmoid")),
        ("image, 4 rows", (4, 1, 28, 28), _mlp((64, 10), _RELU, "Softmax")),
        ("square root, 4 rows", (4, 20), _flat(_root)),
        ("elu, 8 rows", (8, 20), _mlp((40, 40, 5), _operator("Elu"))),
        ("maxout, 4 rows", (4, 20, 1, 1), _maxout),
        ("wake word", (1, 16, 96), _mlp((128, 128, 1), _RELU, "Sigmoid")),
        ("layer norm, three layers", (1, 16, 96), _mlp((64, 64, 32, 3), _normal("layer_norm"))),
        ("layer norm, few channels", (1, 10), _mlp((12, 5), _normal("layer_norm"), "Softmax")),
        ("layer norm, 8 rows", (8, 24), _mlp((32, 4), _normal("layer_norm"))),
        ("wake word, 4 rows", (4, 16, 96), _mlp((64, 1), _RELU, "Sigmoid")),
        ("image", (1, 1, 28, 28), _mlp((64, 10), _RELU, "Softmax")),
        ("image of three colours", (1, 3, 8, 8), _mlp((48, 10), _RELU)),
        ("image of three colours, 16 rows", (16, 3, 8, 8), _mlp((48, 10), _RELU)),
        ("table", (1, 13), _mlp((50, 50, 1), _RELU)),
        ("table, 64 rows", (64, 13), _mlp((50, 50, 1), _RELU)),
        ("batch norm", (1, 30), _mlp((40, 20, 2), _normal("batch_norm"), "Softmax")),
        ("batch norm, 16 rows", (16, 30), _mlp((40, 20, 2), _normal("batch_norm"), "Softmax")),
        ("leaky", (1, 20), _mlp((40, 40, 5), _operator("LeakyRelu", alpha=0.01))),
        ("leaky, 8 rows", (8, 20), _mlp((40, 40, 5), _operator("LeakyRelu", alpha=0.2))),
        ("prelu", (1, 20), _mlp((40, 5), _prelu)),
        ("clip", (1, 20), _mlp((40, 40, 5), _clip, "Softmax")),
        ("clip, 32 rows", (32, 20), _mlp((40, 40, 5), _clip)),
        ("sigmoid", (1, 20), _mlp((40, 40, 5), _operator("Sigmoid"))),
        ("sigmoid, 16 rows", (16, 20), _mlp((40, 3), _operator("Sigmoid"), "Sigmoid")),
        ("tanh", (1, 20), _mlp((40, 40, 5), _operator("Tanh"))),
        ("tanh, 16 rows", (16, 20), _mlp((40, 3), _operator("Tanh"), "Tanh")),
        ("elu", (1, 20), _mlp((40, 5), _operator("Elu"))),
        ("softplus", (1, 20), _mlp((40, 5), _operator("Softplus"), "Softplus")),
        ("abs", (1, 20), _mlp((40, 5), _operator("Abs"))),
        ("maxout", (1, 20, 1, 1), _maxout),
        ("swish", (1, 20), _mlp((40, 5), _swish)),
        ("gated", (1, 20), _flat(_gated)),
        ("residual", (1, 20), _flat(_residual)),
        ("residual, 16 rows", (16, 20), _flat(_residual)),
        ("concat", (1, 20), _flat(_concat)),
        ("concat, 8 rows", (8, 20), _flat(_concat)),
        ("dense concat", (1, 24), _flat(_dense_concat)),
        ("reshape", (1, 4, 30), _reshaped),
        ("reshape, 8 rows", (8, 4, 30), _reshaped),
        ("keras", (1, 20), _flat(_keras)),
        ("keras, 16 rows", (16, 20), _flat(_keras)),
        ("square root", (1, 20), _flat(_root)),
    )
)
"""Of all kinds, of one row and of more; the first are tried in every run."""

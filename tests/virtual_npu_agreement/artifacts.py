"""Seeded networks of every kind, as ONNX, and what the toolkit makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx

from sklearn2rknn.toolkit.toolkit import Built, Toolkit

Array = npt.NDArray[Any]
Form = Literal["conv", "matmul", "gemm"]
TOOLKITS = ("2.2.0", "2.3.0", "2.3.2", "2.5.0")
PRECISIONS = ("float16", "int8", "int16")


@dataclass(frozen=True)
class Artifact:
    """One network: layer widths from input to output, and how it is built.

    Attributes
    ----------
    form : str
        ``"conv"``: 1x1 convolutions over ``[1, C, N, 1]``; ``"matmul"``: MatMul and Add over ``[N, C]``;
        ``"gemm"``: Gemm over the same.
    hidden, last : str
        ONNX activations; `last` is empty for bare outputs. ``"Refined"`` is t / (1 + t^2) of t = tanh.
    samples : int
        Rows a run.
    platform : str
        The chip.
    """

    toolkit: str
    precision: str
    form: Form
    widths: tuple[int, ...]
    hidden: str
    last: str
    samples: int
    seed: int
    platform: str = "rk3588"


def onnx_bytes(artifact: Artifact) -> bytes:
    """Write the network as ONNX, opset 13."""
    rng = np.random.default_rng(artifact.seed)
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    conv = artifact.form == "conv"

    def constant(name: str, values: Array) -> str:
        constants.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def add(operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        nodes.append(onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    current, layers = "x", list(pairwise(artifact.widths))
    for i, (channels, kernels) in enumerate(layers):
        weights = rng.normal(size=(kernels, channels)) * np.sqrt(2 / channels)
        biases = rng.normal(size=kernels) * 0.3
        if conv:
            operands = [current, constant(f"w{i}", weights[:, :, None, None]), constant(f"b{i}", biases)]
            current = add("Conv", operands, f"sum{i}", kernel_shape=[1, 1])
        elif artifact.form == "gemm":
            operands = [current, constant(f"w{i}", weights.T), constant(f"b{i}", biases)]
            current = add("Gemm", operands, f"sum{i}")
        else:
            current = add("MatMul", [current, constant(f"w{i}", weights.T)], f"product{i}")
            current = add("Add", [current, constant(f"b{i}", biases)], f"sum{i}")
        activation = artifact.last if i == len(layers) - 1 else artifact.hidden
        if activation == "Refined":
            tanh = add("Tanh", [current], f"tanh{i}")
            square = add("Mul", [tanh, tanh], f"square{i}")
            divisor = add(
                "Add", [square, constant(f"one{i}", np.ones((1,) * (4 if conv else 2)))], f"divisor{i}"
            )
            current = add("Div", [tanh, divisor], f"layer{i}")
        elif activation:
            options = {"axis": 1} if activation == "Softmax" else {}
            current = add(activation, [current], f"layer{i}", **options)
    nodes[-1].output[0] = "y"
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, _shape(artifact, width))
        for name, width in (("x", artifact.widths[0]), ("y", artifact.widths[-1]))
    ]
    graph = onnx.helper.make_graph(nodes, "network", ends[:1], ends[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _shape(artifact: Artifact, width: int) -> tuple[int, ...]:
    samples = artifact.samples
    return (1, width, samples, 1) if artifact.form == "conv" else (samples, width)


def build(toolkit: Toolkit, artifact: Artifact) -> tuple[Array, Built]:
    """Convert; give the inputs, shape (runs, *shape), and what was built of them and simulated."""
    rng = np.random.default_rng(artifact.seed + 1)
    size = artifact.widths[-1] * artifact.samples
    runs = int(np.clip(2000 // size, 1, 12))
    # The simulator feeds float32 to the first layer where an NPU is fed float16: float16 values are both.
    x = rng.normal(size=(runs + 4, *_shape(artifact, artifact.widths[0]))).astype(np.float16)
    inputs = x.astype(np.float32)
    config: dict[str, Any] = {"target_platform": artifact.platform}
    if artifact.precision == "int16":
        config["quantized_dtype"] = "w16a16i_dfp"
    calibration = None if artifact.precision == "float16" else inputs[runs:]
    built = toolkit.build(
        onnx_bytes(artifact), config=config, calibration=calibration, simulate=inputs[:runs]
    )
    return inputs[:runs], built

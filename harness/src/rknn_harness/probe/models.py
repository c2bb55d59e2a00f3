"""The models that questions run: dense layers with weights set by hand, in any form of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import attrs
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scirknn.arrays import Array
from scirknn.files import sha256_of_bytes

Form = Literal["height", "width", "batch", "matmul"]
FORMS: tuple[Form, ...] = ("height", "width", "batch", "matmul")
"""Where the rows lie: on a 1x1 convolution's height, width or batch axis, or in the rows of a MatMul."""

QUANTIZED = {"int8": "w8a8", "int16": "w16a16i_dfp"}
_OPSET, _IR_VERSION = 12, 8  # what every toolkit reads
_SOFTMAX_OPSET = 13  # before it, axes behind the classes' are summed over too


@attrs.frozen
class Model:
    """A graph for the toolkit, and the form of its rows.

    Attributes
    ----------
    graph : bytes
        ONNX.
    form : str
        One of `FORMS`.
    samples, inputs, outputs : int
        N rows of C values in, of K values out.
    precision : {"float16", "int8", "int16"}
    calibration : numpy.ndarray of float32 or None, shape (runs, N, C)
        Rows that span the ranges of an integer model.
    """

    graph: bytes = attrs.field(repr=False)
    form: Form
    samples: int
    inputs: int
    outputs: int
    precision: str = "float16"
    calibration: Array | None = attrs.field(default=None, eq=False, repr=False)

    @property
    def key(self) -> str:
        """The same for the same model."""
        parts = [self.graph, self.precision.encode()]
        if self.calibration is not None:
            parts.append(np.ascontiguousarray(self.calibration).tobytes())
        return sha256_of_bytes(b"\0".join(parts))

    def config(self, platform: str) -> dict[str, Any]:
        """Return arguments for the toolkit's ``config``."""
        options: dict[str, Any] = {"target_platform": platform}
        if self.precision in QUANTIZED:
            options["quantized_dtype"] = QUANTIZED[self.precision]
        return options

    def shaped(self, rows: Array) -> Array:
        """Return rows, shape (N, C), in the shape of the graph's input."""
        values = np.asarray(rows, np.float32)
        if values.shape != (self.samples, self.inputs):
            raise ValueError(f"the model takes {self.samples} x {self.inputs} values, not {values.shape}")
        return np.ascontiguousarray(_laid_out(values, self.form))

    def rows(self, output: Array) -> Array:
        """Return rows, shape (N, K), of the runtime's output.

        Raises
        ------
        ValueError
            It has another number of values.
        """
        if output.size != self.samples * self.outputs:
            raise ValueError(f"{output.shape} came back, not {self.samples} x {self.outputs} values")
        if self.form in ("height", "width"):
            return np.ascontiguousarray(output.reshape(self.outputs, self.samples).T)
        return output.reshape(self.samples, self.outputs)

    def calibration_runs(self) -> Array | None:
        """Return the calibration in the graph's shape."""
        if self.calibration is None:
            return None
        return np.stack([self.shaped(run) for run in self.calibration])


@attrs.frozen
class Calibration:
    """What a model of integers is built with.

    Attributes
    ----------
    precision : {"int8", "int16"}
    rows : numpy.ndarray of float32, shape (runs, N, C)
        From which the toolkit takes its ranges.
    """

    precision: str
    rows: Array = attrs.field(eq=False, repr=False)


def dense(
    *weights: Array,
    samples: int,
    biases: Sequence[Array] | None = None,
    activation: str | None = None,
    form: Form = "height",
    calibration: Calibration | None = None,
) -> Model:
    """Make a chain of dense layers.

    Parameters
    ----------
    *weights : numpy.ndarray, shape (K, C)
        A layer's kernels.
    samples : int
        N.
    biases : sequence of numpy.ndarray, shape (K,), optional
        Default: 0.
    activation : {"Relu", "Tanh", "Sigmoid", "Softmax"}, optional
        After each layer.
    form : str
        One of `FORMS`.
    calibration : Calibration, optional
        For integers; by default the model is of float16.
    """
    nodes, constants, current = [], [], "x"
    for i, kernels in enumerate(weights):
        bias = np.zeros(len(kernels)) if biases is None else biases[i]
        result = f"dense_{i}" if activation or i < len(weights) - 1 else "y"
        if form == "matmul":
            parts = [kernels.T, bias]
            nodes += [
                helper.make_node("MatMul", [current, f"weights_{i}"], [f"product_{i}"]),
                helper.make_node("Add", [f"product_{i}", f"bias_{i}"], [result]),
            ]
        else:
            parts = [kernels[:, :, None, None], bias]
            inputs = [current, f"weights_{i}", f"bias_{i}"]
            nodes.append(helper.make_node("Conv", inputs, [result], kernel_shape=[1, 1]))
        for name, values in zip((f"weights_{i}", f"bias_{i}"), parts, strict=True):
            constants.append(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name))
        if activation:
            current, result = result, "y" if i == len(weights) - 1 else f"activation_{i}"
            axis: dict[str, Any] = {"axis": 1} if activation == "Softmax" else {}
            nodes.append(helper.make_node(activation, [current], [result], **axis))
        current = result
    inputs, outputs = weights[0].shape[1], len(weights[-1])
    precision = ("float16", None) if calibration is None else (calibration.precision, calibration.rows)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, _laid_out(np.empty((samples, n)), form).shape)
        for name, n in (("x", inputs), ("y", outputs))
    ]
    graph = helper.make_graph(nodes, "probe", ends[:1], ends[1:], constants)
    opset = helper.make_opsetid("", _SOFTMAX_OPSET if activation == "Softmax" else _OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION, producer_name="probe")
    onnx.checker.check_model(model)
    return Model(model.SerializeToString(), form, samples, inputs, outputs, *precision)


def _laid_out(rows: Array, form: Form) -> Array:
    forms: dict[str, Array] = {
        "height": rows.T[None, :, :, None],
        "width": rows.T[None, :, None, :],
        "batch": rows[:, :, None, None],
        "matmul": rows,
    }
    return forms[form]

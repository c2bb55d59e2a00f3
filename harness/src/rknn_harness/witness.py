"""Take down what each stage before the board says of some rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

import virtual_npu
from rknn_harness.reference import Layer
from scirknn.bundle import Affine, Bundle
from sklearn2rknn import Built, Toolkit
from sklearn2rknn.network import HALF
from sklearn2rknn.onnx_graph import pack, unpack

__all__ = [
    "Protocol",
    "RecordingToolkit",
    "idle_weights",
    "layers_of_graph",
    "model_files",
    "onnx_output",
    "simulator_output",
]

Array = np.ndarray[Any, Any]

_ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "logistic"}


class Protocol:
    """What passed through a `RecordingToolkit` in one conversion.

    Attributes
    ----------
    models : list of bytes
        The ONNX graphs.
    simulated : numpy.ndarray or None
        The simulator's outputs, shape (runs, 1, K, N, 1).
    inputs : numpy.ndarray or None
        What it was fed, shape (runs, 1, C, N, 1); without convolutions (runs, N, C), as the outputs.
    built : tuple of (bytes, mapping, numpy.ndarray or None)
        Model, config and calibration of the file that was simulated.
    """

    def __init__(self) -> None:
        self.models: list[bytes] = []
        self.simulated: Array | None = None
        self.inputs: Array | None = None
        self.built: tuple[bytes, Mapping[str, Any], Array | None] = (b"", {}, None)

    @property
    def samples(self) -> int:
        """Rows of one run of the simulator."""
        assert self.inputs is not None
        return int(self.inputs.shape[1 if self.inputs.ndim == 3 else 3])

    def operators(self) -> set[str]:
        """Return the kinds of node in the first graph."""
        return {node.op_type for node in onnx.load_from_string(self.models[0]).graph.node}


class RecordingToolkit(Toolkit):
    """A toolkit that lends another's process and keeps a record of what is asked of it.

    Parameters
    ----------
    toolkit : Toolkit
        Does the work; it stays open.
    """

    def __init__(self, toolkit: Toolkit) -> None:
        super().__init__(toolkit.environment)
        self._toolkit = toolkit
        self.protocol = Protocol()

    def build(
        self,
        model: bytes,
        *,
        config: Mapping[str, Any],
        calibration: Array | None = None,
        simulate: Array | None = None,
        timeout: float = 300.0,
    ) -> Built:
        """Convert one ONNX model; see `sklearn2rknn.Toolkit.build`."""
        self.protocol.models.append(model)
        built = self._toolkit.build(
            model, config=config, calibration=calibration, simulate=simulate, timeout=timeout
        )
        if simulate is not None:
            self.protocol.inputs, self.protocol.simulated = simulate, built.simulated
            self.protocol.built = (model, config, calibration)
        return built

    def digests(self) -> dict[str, str]:
        """Return the sha256 of each ONNX graph, by ``onnx`` and a number."""
        return {
            f"onnx {number}": hashlib.sha256(model).hexdigest()
            for number, model in enumerate(self.protocol.models)
        }


def layers_of_graph(model: bytes, bundle: Bundle) -> tuple[Layer, ...]:
    """Return the layers of a chain of 1x1 convolutions, or of products of matrices, that takes the features.

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
    factor = 1.0
    for node in graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            weights = constants[node.input[1]]
            weights = weights[:, :, 0, 0].T if node.op_type == "Conv" else weights
            if not layers:
                high = [weights[part * columns :][:columns] for part in range(0, bundle.parts, 2)]
                weights = np.sum(high, axis=0)
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
    if bundle.output_parts > 1:
        last, count = layers[-1], bundle.n_outputs
        weights, bias = (part[..., :count] + part[..., count:] for part in (last.weights, last.bias))
        layers[-1] = Layer(weights, bias, last.activation)
    return tuple(layers)


def idle_weights(model: bytes, bundle: Bundle) -> Array | None:
    """Return the first layer's largest weights on channels that are always 0, if there are any.

    They change nothing but the steps of their kernels.
    """
    graph = onnx.load_from_string(model).graph
    first = next(node for node in graph.node if node.op_type in ("Conv", "MatMul", "Gemm"))
    weights = next(numpy_helper.to_array(each) for each in graph.initializer if each.name == first.input[1])
    weights = weights[:, :, 0, 0].T if first.op_type == "Conv" else weights
    idle: Array = np.abs(weights[bundle.n_inputs * bundle.parts :].astype(np.float64)).max(
        axis=0, initial=0.0
    )
    return idle if idle.any() else None


def onnx_output(model: bytes, bundle: Bundle, X: Array) -> Array:
    """Run the float32 graph in onnxruntime; the host's maps are done around it in float64.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)
        Before the head.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    form, samples = ("conv", entry.shape[2]) if len(entry.shape) == 4 else ("matmul", entry.shape[0])
    runs = pack(bundle.prepare(np.asarray(X, np.float64)), bundle.channels, samples, form)
    outputs = np.stack([session.run(None, {entry.name: run})[0] for run in runs])
    return _mapped(bundle.output, bundle.join(unpack(outputs, len(X))))


def simulator_output(protocol: Protocol, bundle: Bundle, X: Array) -> tuple[Array, Array]:
    """Return what the vendor's simulator said while the model was converted.

    The converter chooses the rows, from those given as its example input; they are found again by what was
    fed.

    Returns
    -------
    rows : numpy.ndarray of int
        Rows of X that the simulator ran.
    output : numpy.ndarray of float64, shape (len(rows), n_outputs)
        Before the head.
    """
    assert protocol.inputs is not None
    assert protocol.simulated is not None
    prepared = bundle.prepare(np.asarray(X, np.float64)).astype(np.float32)
    columns = prepared.shape[1]
    fed = unpack(protocol.inputs, protocol.inputs.shape[0] * protocol.samples)[:, :columns]
    known = {row.tobytes(): index for index, row in enumerate(prepared)}
    places = [known.get(row.tobytes()) for row in np.ascontiguousarray(fed)]
    output = _mapped(bundle.output, bundle.join(unpack(protocol.simulated, len(fed))))
    found = [(row, place) for place, row in enumerate(places) if row is not None]
    # The last run is filled up with rows from the front.
    first = dict(reversed(found))
    rows = np.array(sorted(first))
    return rows, output[[first[row] for row in rows]]


def model_files(bundle: Bundle) -> list[virtual_npu.RknnFile]:
    """Read each model file."""
    return [virtual_npu.read(path) for _, path in bundle.files()]


def _mapped(affine: Affine | None, values: Array) -> Array:
    values = np.asarray(values, np.float64)
    return values if affine is None else (values - affine.offset) * affine.scale

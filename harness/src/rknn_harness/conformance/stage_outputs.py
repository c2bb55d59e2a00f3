"""Take down what each stage before the board says of some rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import virtual_npu
from scirknn.bundle import Affine, Bundle
from scirknn.files import sha256_of_bytes
from sklearn2rknn import Built, Toolkit
from sklearn2rknn.network.onnx_graph import pack, unpack
from sklearn2rknn.network.onnx_session import onnx_session

__all__ = [
    "Protocol",
    "RecordingToolkit",
    "model_files",
    "onnx_output",
    "simulator_output",
]

Array = np.ndarray[Any, Any]


class Protocol:
    """What passed through a `RecordingToolkit` in one conversion.

    Attributes
    ----------
    models : list of bytes
        The ONNX graphs, that of the bundle last: the converter may try one before it.
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
        """Return the kinds of node in the graph that was converted."""
        return {node.op_type for node in onnx.load_from_string(self.models[-1]).graph.node}

    def parameters(self) -> dict[str, Array]:
        """Return the weights and biases of the graph that was simulated, by name."""
        constants = onnx.load_from_string(self.built[0]).graph.initializer
        return {each.name: numpy_helper.to_array(each) for each in constants}


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
        return {f"onnx {number}": sha256_of_bytes(model) for number, model in enumerate(self.protocol.models)}


def onnx_output(model: bytes, bundle: Bundle, X: Array) -> Array:
    """Run the float32 graph in onnxruntime; the host's maps are done around it in float64.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)
        Before the head.
    """
    session = onnx_session(model)
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

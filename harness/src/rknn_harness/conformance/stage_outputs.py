"""Record the outputs of each stage before the board."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import numpy as np
import onnx
from onnx import numpy_helper

import virtual_npu
from scirknn.arrays import Array
from scirknn.bundle import Bundle
from scirknn.files import sha256_of_bytes
from sklearn2rknn import Toolkit
from sklearn2rknn.network.onnx_graph import pack, unpack
from sklearn2rknn.network.onnx_session import onnx_session
from sklearn2rknn.toolkit.building import Building, Built

COMPARED_RUNS = 2
"""Runs of a file in which the virtual NPU is held to the simulator's bits."""


@attrs.frozen(eq=False)
class ConversionRecord:
    """The builds of a bundle's files.

    Attributes
    ----------
    models : list of bytes
        The ONNX graphs, in the order in which they were built.
    simulated : numpy.ndarray or None
        The simulator's outputs, shape (runs, 1, K, N, 1).
    inputs : numpy.ndarray or None
        What it was fed, shape (runs, 1, C, N, 1); without convolutions (runs, N, C), as the outputs.
    built : tuple of (bytes, mapping, numpy.ndarray or None)
        Model, config and calibration of the file that was simulated.
    rounded : tuple of two numpy.ndarray, or None
        Of a float16 file without lookup tables: its first inputs in float16 numbers (an NPU is fed no others,
        the simulator any), and the simulator's outputs.
    """

    models: list[bytes] = attrs.field(factory=list)
    simulated: Array | None = None
    inputs: Array | None = None
    built: tuple[bytes, Mapping[str, Any], Array | None] = (b"", {}, None)
    rounded: tuple[Array, Array] | None = None

    @property
    def samples(self) -> int:
        """Rows of one run of the simulator."""
        assert self.inputs is not None
        return int(self.inputs.shape[1 if self.inputs.ndim == 3 else 3])

    def digests(self) -> dict[str, str]:
        """Return the sha256 of each ONNX graph, by ``onnx`` and a number."""
        return {f"onnx {number}": sha256_of_bytes(model) for number, model in enumerate(self.models)}

    @property
    def has_tables(self) -> bool:
        """Whether the graph that was simulated has layers that a file looks up."""
        return _has_tables(self.built[0])

    def parameters(self) -> dict[str, Array]:
        """Return the weights and biases of the graph that was simulated, by name."""
        constants = onnx.load_from_string(self.built[0]).graph.initializer
        return {each.name: numpy_helper.to_array(each) for each in constants}


def _has_tables(model: bytes) -> bool:
    operators = {node.op_type for node in onnx.load_from_string(model).graph.node}
    return not operators.isdisjoint(("Tanh", "Sigmoid", "Softmax"))


class _FirstRuns(Building):
    """A job that simulates more runs than its caller asked for."""

    def __init__(self, building: Building, runs: int) -> None:
        self._building, self._runs = building, runs

    def early_files(self) -> Iterator[bytes]:
        """Yield what the job yields."""
        return self._building.early_files()

    def result(self) -> Built:
        """Return what was built, with the outputs of the caller's runs."""
        built = self._building.result()
        simulated = None if built.simulated is None else built.simulated[: self._runs]
        return attrs.evolve(built, simulated=simulated)


class RecordingToolkit(Toolkit):
    """A toolkit that records its calls and has another do the work.

    Parameters
    ----------
    toolkit : Toolkit
        It stays open.
    """

    def __init__(self, toolkit: Toolkit) -> None:
        super().__init__(toolkit.environment)
        self._toolkit = toolkit
        self._records: dict[str, ConversionRecord] = {}

    def record_of(self, bundle: Bundle) -> ConversionRecord:
        """Return the record of the builds whose files a bundle has.

        The converter may build others before, and after, to see whether another precision would do.
        """
        records = [self._records[variant.sha256] for variant in bundle.variants]
        simulated = next((each for each in records if each.simulated is not None), records[0])
        return attrs.evolve(simulated, models=[model for each in records for model in each.models])

    @contextlib.contextmanager
    def start(
        self,
        model: bytes,
        *,
        config: Mapping[str, Any],
        calibration: Array | None = None,
        simulate: Array | None = None,
        timeout: float = 300.0,
    ) -> Iterator[Building]:
        """Start to convert one ONNX model; see `sklearn2rknn.Toolkit.start`.

        A float16 file is simulated on a few inputs more, see `ConversionRecord`.
        """
        asked = 0 if simulate is None else len(simulate)
        runs, inputs = simulate, None
        if simulate is not None and calibration is None and not _has_tables(model):
            inputs = simulate[:COMPARED_RUNS].astype(np.float16).astype(np.float32)
            runs = np.concatenate([simulate, inputs])
        with self._toolkit.start(
            model, config=config, calibration=calibration, simulate=runs, timeout=timeout
        ) as building:
            first = _FirstRuns(building, asked)
            yield first
            every, built = building.result().simulated, first.result()
        rounded = None if inputs is None or every is None else (inputs, every[asked:])
        self._records[sha256_of_bytes(built.rknn)] = ConversionRecord(
            [model], built.simulated, simulate, built=(model, config, calibration), rounded=rounded
        )


def onnx_output(model: bytes, bundle: Bundle, X: Array) -> Array:
    """Run the float32 graph in onnxruntime and the host's maps in float64; shape (n, n_outputs)."""
    session = onnx_session(model)
    (entry,) = session.get_inputs()
    form, samples = ("conv", entry.shape[2]) if len(entry.shape) == 4 else ("matmul", entry.shape[0])
    runs = pack(bundle.prepare(np.asarray(X, np.float64)), bundle.channels, samples, form)
    outputs = np.stack([session.run(None, {entry.name: run})[0] for run in runs])
    return bundle.finish(unpack(outputs, len(X)))


def simulator_output(record: ConversionRecord, bundle: Bundle, X: Array) -> tuple[Array, Array]:
    """Return the output that the vendor's simulator gave during the conversion.

    The converter chooses the rows from its example input; they are recognised by the inputs.

    Returns
    -------
    rows : numpy.ndarray of int
        Rows of X that the simulator ran.
    output : numpy.ndarray of float64, shape (len(rows), n_outputs)
        Before the output activation.
    """
    assert record.inputs is not None
    assert record.simulated is not None
    prepared = bundle.prepare(np.asarray(X, np.float64)).astype(np.float32)
    columns = prepared.shape[1]
    fed = unpack(record.inputs, record.inputs.shape[0] * record.samples)[:, :columns]
    numbers = {row.tobytes(): number for number, row in enumerate(prepared)}
    rows_fed = [numbers.get(row.tobytes()) for row in np.ascontiguousarray(fed)]
    output = bundle.finish(unpack(record.simulated, len(fed)))
    # The last run is padded with rows from the front: the first place of each counts.
    places = {row: place for place, row in reversed(list(enumerate(rows_fed))) if row is not None}
    rows = np.array(sorted(places))
    return rows, output[[places[row] for row in rows]]


def model_files(bundle: Bundle) -> list[virtual_npu.RknnFile]:
    """Read each model file."""
    return [virtual_npu.read(path) for _, path in bundle.files()]

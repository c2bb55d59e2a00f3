"""Bundles on a board: loaded, asked for predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import attrs
import numpy as np

import scirknn
from rknn_harness.board_runner import frames
from rknn_harness.boards.session.channel import Answer, RunnerChannel
from rknn_harness.boards.session.file_calls import FileCalls
from scirknn.arrays import Array
from scirknn.bundle import Bundle, bundle_files, metadata_path

_SEVERAL_SECONDS = 180.0  # of a request that runs a model several times


@attrs.frozen(eq=False)
class Prediction:
    """A model's answer.

    Attributes
    ----------
    output : numpy.ndarray of float32, shape (n, n_outputs)
        The network's output, before the output activation.
    predictions : numpy.ndarray, shape (n,) or (n, n_outputs)
    probabilities : numpy.ndarray or None, shape (n, n_classes)
        None for a regressor.
    """

    output: Array
    predictions: Array
    probabilities: Array | None


class ModelCalls:
    """Requests about the loaded bundle."""

    def __init__(self, runner: RunnerChannel, files: FileCalls) -> None:
        self._runner, self._files = runner, files

    def load(
        self, bundle: Path, *, device: str | None = None, core: str | None = None, deadline: float = 60.0
    ) -> None:
        """Load a bundle in place of any model; it is sent unless it is on the board.

        Parameters
        ----------
        bundle : pathlib.Path
            The model file, on this machine.
        device : {"npu", "virtual"}, optional
            Default: the board's.
        core : str, optional
            One of scirknn's names of cores, such as ``"1"`` or ``"pool"``.
        deadline : float
            Seconds, transfer excluded.

        Raises
        ------
        scirknn.BundleError
            The bundle on this machine is missing or damaged.
        BoardError, InfraError
        """
        read = scirknn.read_bundle(bundle)
        digests = [variant.sha256 for variant in read.variants]
        contents: tuple[object, ...] = (metadata_path(read.path).read_bytes(), *digests)
        sent = self._runner.sent
        path = sent.bundle
        # The one loaded last is loaded again for another core: the board itself checks its digests.
        if sent.contents != contents or PurePosixPath(path).name != read.path.name:
            path = self._upload(read)
        device = device or self._runner.board.device
        with self._runner.loading():
            self._runner.ask("load", deadline, bundle=path, device=device, core=core)
        self._runner.sent.bundle, self._runner.sent.contents = path, contents

    def predict(self, X: Any, *, deadline: float = 60.0) -> Prediction:
        """Run the loaded model.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
            Numbers: float32, float64, int32 and int64 are sent as they are, others as float64. A table of
            objects is sent as it is.
        deadline : float
            Seconds.
        """
        rows = table_of(X)
        _, arrays = ask_about_rows(self._runner, rows, "predict", deadline)
        output, predictions = arrays.get("output"), arrays.get("predictions")
        counts = {array.shape[:1] for array in arrays.values()}
        if output is None or predictions is None or not _is_output(output) or counts != {rows.shape[:1]}:
            raise self._runner.protocol_error(f"answered {len(rows)} rows with {_shapes(arrays)!r:.200}")
        return Prediction(output, predictions, arrays.get("probabilities"))

    def outputs(self, X: Any, inputs: Sequence[Array]) -> list[Array]:
        """Run the loaded model on several inputs, and return the network's outputs.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
        inputs : sequence of numpy.ndarray
            Integers in one axis choose rows of `X`; two axes are rows.

        Returns
        -------
        list of numpy.ndarray of float32, shape (len(input), n_outputs)
            Before the output activation.
        """
        arrays = {
            str(number): table_of(each) if each.ndim > 1 else np.asarray(each, np.int64)
            for number, each in enumerate(inputs)
        }
        _, answer = ask_about_rows(self._runner, table_of(X), "outputs", _SEVERAL_SECONDS, arrays)
        return self._outputs("outputs", answer, {name: len(array) for name, array in arrays.items()})

    def outputs_on(self, cores: Sequence[str], X: Any) -> dict[str, Array]:
        """Load the loaded bundle again for each of `cores`, and run it there.

        The last one's model stays loaded.

        Returns
        -------
        dict of str to numpy.ndarray of float32, shape (n, n_outputs)
            By core, the network's output before the output activation.
        """
        rows = table_of(X)
        with self._runner.loading():
            _, answer = ask_about_rows(self._runner, rows, "cores", _SEVERAL_SECONDS, cores=list(cores))
        return dict(zip(cores, self._outputs("cores", answer, dict.fromkeys(cores, len(rows))), strict=True))

    def close(self) -> None:
        """Release the loaded model; without one it does nothing."""
        self._runner.ask("close", 30.0)

    def _upload(self, bundle: Bundle) -> str:
        """Send a bundle, and return its path below the board's work folder."""
        files: dict[str, Path | bytes] = {file.name: file for file in bundle_files(bundle)}
        return f"{self._files.put(files)}/{bundle.path.name}"

    def _outputs(self, op: str, arrays: Mapping[str, Array], counts: Mapping[str, int]) -> list[Array]:
        """Return the outputs by their names, having checked their numbers of rows."""
        outputs = [arrays[name] for name in counts if name in arrays]
        lengths = [len(output) for output in outputs if _is_output(output)]
        if lengths != list(counts.values()):
            raise self._runner.protocol_error(
                f"answered {op!r} of {counts!r:.80} with {_shapes(arrays)!r:.200}"
            )
        return outputs


def table_of(X: Any) -> Array:
    """Return X as an array that can be sent, or raise ValueError."""
    rows = np.asarray(X)
    if rows.ndim != 2:
        raise ValueError(f"X has the shape {rows.shape}; it needs rows and columns.")
    if rows.dtype.kind in "OU":
        return frames.to_wire_table(rows)
    return rows if rows.dtype.str in ("<f4", "<f8", "<i4", "<i8") else rows.astype(np.float64)


def ask_about_rows(
    runner: RunnerChannel,
    rows: Array,
    op: str,
    deadline: float,
    arrays: Mapping[str, Array] | None = None,
    **fields: Any,
) -> Answer:
    """Ask about rows, which are sent unless the runner has them already."""
    rows_on_board, sent = runner.sent.rows, dict(arrays or {})
    if rows_on_board is not None and _starts_with(rows_on_board, rows):
        fields["rows"] = len(rows)
    else:
        sent["X"] = rows
        rows_on_board = rows.copy()
    answer = runner.ask(op, deadline, sent, **fields)
    runner.sent.rows = rows_on_board
    return answer


def _starts_with(rows: Array, first: Array) -> bool:
    """Whether `rows` begins with `first`, bit for bit."""
    start = rows[: len(first)]
    alike = start.dtype == first.dtype and start.shape == first.shape
    return alike and len(first) > 0 and start.tobytes() == first.tobytes()


def _is_output(array: Array) -> bool:
    return bool(array.dtype == np.float32 and array.ndim == 2)


def _shapes(arrays: Mapping[str, Array]) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {name: (array.dtype.str, array.shape) for name, array in arrays.items()}

"""Bare ``.rknn`` files on a board: arrays in, arrays out."""

from __future__ import annotations

import dataclasses

import numpy as np

from rknn_harness.boards.session.channel import RunnerChannel
from rknn_harness.boards.session.file_calls import FileCalls
from rknn_harness.boards.session.timing_calls import CALL_SECONDS, SamplingBounds, Timed, read_timed
from scirknn.arrays import Array


class RawModelCalls:
    """Requests about the loaded model file."""

    def __init__(self, runner: RunnerChannel, files: FileCalls) -> None:
        self._runner, self._files = runner, files

    def load_raw(
        self, model: bytes, core: str = "auto", *, device: str | None = None, deadline: float = 60.0
    ) -> None:
        """Load a model file in place of any model; it is sent unless it is on the board.

        Parameters
        ----------
        model : bytes
            A ``.rknn`` file.
        core : str
            One of `rknn_harness.board_runner.raw_model.CORES`.
        device : {"npu", "virtual"}, optional
            Default: the board's.
        deadline : float
            Seconds, transfer excluded.
        """
        folder = self._files.put({"raw.rknn": model})
        device = device or self._runner.board.device
        with self._runner.loading():
            self._runner.ask("raw_load", deadline, file=f"{folder}/raw.rknn", core=core, device=device)

    def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
        """Run the model on float32 of its input's shape, and return the runtime's float32."""
        _, arrays = self._runner.ask("raw_run", deadline, {"X": np.asarray(x, np.float32)})
        y = arrays.get("y")
        if y is None or y.dtype != np.float32:
            raise self._runner.protocol_error("answered 'raw_run' without an output")
        return y

    def time_raw(self, x: Array, bounds: SamplingBounds) -> Timed:
        """Time the bare runtime calls on `x`."""
        header, arrays = self._runner.ask(
            "raw_time",
            bounds.max_seconds + CALL_SECONDS,
            {"X": np.asarray(x, np.float32)},
            clocks=self._runner.board.clocks,
            **dataclasses.asdict(bounds),
        )
        return read_timed(self._runner, "raw_time", header, arrays.get("samples"))

"""A job that the toolkit does, and what it made of the model."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from sklearn2rknn.errors import ConversionError, LimitError, WorkerOutputError
from sklearn2rknn.toolkit.job_folders import JobFolders
from sklearn2rknn.toolkit.log_lines import clean_log, error_lines, over_wide_fields
from sklearn2rknn.toolkit.worker_answers import Answer, parse_outputs

LOG_LIMIT = 16 << 20  # bytes
SIMULATED_LIMIT = 256 << 20  # bytes

POLL_SECONDS = 0.001

LIMITS = {"timeout": "time", "memory": "memory"}
"""Kinds of failure that are limits."""


@attrs.frozen
class Built:
    """What the toolkit made of one model.

    Attributes
    ----------
    rknn : bytes
        The file.
    simulated : numpy.ndarray of float32 or None
        The vendor's simulator's outputs, shape (runs, *output shape).
    log : str
        Everything that the toolkit printed.
    seconds : float
    """

    rknn: bytes = attrs.field(repr=lambda data: f"<{len(data)} bytes>")
    simulated: npt.NDArray[np.float32] | None = attrs.field(repr=False, eq=False)
    log: str = attrs.field(repr=False)
    seconds: float


@attrs.frozen
class Limits:
    """Seconds until an answer, bytes of a model file, and how many runs are simulated, if any."""

    seconds: float
    model: int
    runs: int | None


class Answering(Protocol):
    """The worker's side of a job."""

    def has_answer(self, seconds: float) -> bool:
        """Whether it has answered, or does within some seconds."""

    def receive(self, seconds: float) -> Answer:
        """Wait for its answer."""


class Building:
    """A job that the toolkit does; `Toolkit.start` makes it.

    Attributes
    ----------
    is_answered : bool
        Whether the worker has answered, and can take the next job.
    """

    def __init__(self, worker: Answering, folders: JobFolders, limits: Limits) -> None:
        self.is_answered = False
        self._worker, self._folders, self._limits = worker, folders, limits
        self._built: Built | None = None

    def early_files(self) -> Iterator[bytes]:
        """Yield what there is of the model file while the simulator runs; it may be a part of it."""
        wait, end = POLL_SECONDS, time.monotonic() + self._limits.seconds
        while self._limits.runs and time.monotonic() < end and not self._worker.has_answer(wait):
            if self._folders.exists("model.rknn"):
                wait *= 2  # a large file takes its time
                with contextlib.suppress(WorkerOutputError):  # it is being written
                    yield self._folders.read("model.rknn", self._limits.model)

    def result(self) -> Built:
        """Wait for what the toolkit makes of the model; it raises what `Toolkit.build` raises."""
        if self._built is None:
            self._built = self._wait()
        return self._built

    def _wait(self) -> Built:
        folders, limits = self._folders, self._limits
        answer = self._worker.receive(limits.seconds)
        self.is_answered = True
        log = _read_log(folders)
        if answer.ok:
            _refuse_over_wide(log)
            rknn, simulated = folders.read("model.rknn", limits.model), None
            if limits.runs is not None:
                simulated = parse_outputs(folders.read("simulated.npy", SIMULATED_LIMIT), limits.runs)
            return Built(rknn, simulated, clean_log(log), answer.seconds)
        if answer.kind in LIMITS:
            raise LimitError(LIMITS[answer.kind], answer.stage, answer.reason, error_lines(log))
        raise ConversionError(answer.stage, answer.reason, error_lines(log))


def _read_log(folders: JobFolders) -> str:
    """Return what a job printed; nothing where it ended before it could."""
    if not folders.exists("log.txt"):
        return ""
    return folders.read("log.txt", LOG_LIMIT).decode("utf-8", "replace")


def _refuse_over_wide(log: str) -> None:
    """Refuse a file whose values the toolkit itself says are too large for their registers."""
    over_wide = over_wide_fields(log)
    if over_wide:
        raise ConversionError(
            "build",
            f"{len(over_wide)} values are too large for their registers: a board would give zeros.",
            "\n".join(over_wide[:8]),
            advice="Take a smaller batch size or narrower layers.",
        )

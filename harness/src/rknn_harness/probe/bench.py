"""A toolkit to build with, a board to run on, and a deadline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import Any, Protocol, TypeVar

import numpy as np

from rknn_harness.boards.session.timing_calls import SamplingBounds, Timed
from rknn_harness.errors import BoardError
from rknn_harness.probe.models import Model
from scirknn.arrays import Array, Floats
from sklearn2rknn.toolkit.toolkit import Built

__all__ = ["Bench", "Builder", "Device", "Floats", "OutOfTime", "refusal", "try_each"]

T = TypeVar("T")
Name = TypeVar("Name", bound=str)

_ENOUGH = SamplingBounds(warmup=5, min_count=100, min_seconds=0.3, max_seconds=3.0)
_FEW = SamplingBounds(warmup=1, min_count=3, min_seconds=0.0, max_seconds=1.0)


class OutOfTime(Exception):
    """The time for all questions is up."""


def refusal(error: BoardError) -> str:
    """Return why the board refused a model or a run; a hang is no refusal and is raised again."""
    if error.kind not in ("load_error", "run_error"):
        raise error
    return str(error)


def try_each(names: Iterable[Name], run: Callable[[Name], T]) -> tuple[dict[str, T], dict[str, str]]:
    """Run by each name; return what came of the runs, and why the board refused the others."""
    results: dict[str, T] = {}
    refused: dict[str, str] = {}
    for name in names:
        try:
            results[name] = run(name)
        except BoardError as error:
            refused[name] = refusal(error)
    return results, refused


class Builder(Protocol):
    """The part of `sklearn2rknn.Toolkit` that the bench uses."""

    def build(
        self, model: bytes, *, config: Any, calibration: Array | None = None, timeout: float = 300.0
    ) -> Built:
        """Convert one ONNX model."""


class Device(Protocol):
    """The part of `rknn_harness.boards.session.raw_model_calls.RawModelCalls` that the bench uses."""

    def load_raw(self, model: bytes, core: str = "auto", *, deadline: float = 60.0) -> None:
        """Load a model file in place of any other."""

    def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
        """Run it."""

    def time_raw(self, x: Array, bounds: SamplingBounds) -> Timed:
        """Return seconds of each call, and what the clocks did."""


class Bench:
    """Builds each model once, and runs it on the board.

    Parameters
    ----------
    toolkit : Builder
    device : function
        Returns the board's session; called anew for every use, so that it may open another.
    virtual : bool
        Whether there is no NPU: times then mean nothing, and few are taken.
    seconds : float
        After which nothing is started.
    platform : str
        The toolkit's target.

    Attributes
    ----------
    clocks : list of dict
        The board's clocks at each timing.
    """

    def __init__(
        self,
        toolkit: Builder,
        device: Callable[[], Device],
        *,
        virtual: bool,
        seconds: float = 600.0,
        platform: str = "rk3588",
    ) -> None:
        self.virtual = virtual
        self.clocks: list[dict[str, Any]] = []
        self._toolkit, self._device, self._platform = toolkit, device, platform
        self._end = monotonic() + seconds
        self._files: dict[str, bytes] = {}
        self._samples: dict[tuple[str, str], Floats] = {}
        self._loaded: tuple[Device, str, str] | None = None

    def left(self) -> float:
        """Return the seconds until the deadline.

        Raises
        ------
        OutOfTime
        """
        left = self._end - monotonic()
        if left <= 0:
            raise OutOfTime("The time for all questions was up.")
        return left

    def file(self, model: Model) -> bytes:
        """Return the toolkit's file."""
        key = model.key
        if key not in self._files:
            built = self._toolkit.build(
                model.graph,
                config=model.config(self._platform),
                calibration=model.calibration_runs(),
                timeout=min(120.0, self.left()),
            )
            self._files[key] = built.rknn
        return self._files[key]

    def run(self, model: Model, rows: Array, core: str = "auto") -> Array:
        """Run rows, shape (N, C), and return rows, float32, shape (N, K)."""
        device = self._load(model, core)
        with self._forgetting_on_failure():
            return model.rows(device.run_raw(model.shaped(rows), deadline=min(60.0, self.left())))

    def seconds(self, model: Model, core: str = "auto") -> Floats:
        """Time runs of the model on zeros; the same model on the same cores is timed once.

        Zeros, as NPU and host do the same work for any numbers.
        """
        key = (model.key, core)
        if key not in self._samples:
            device = self._load(model, core)
            x = model.shaped(np.zeros((model.samples, model.inputs), np.float32))
            with self._forgetting_on_failure():
                timed = device.time_raw(x, _FEW if self.virtual else _ENOUGH)
            self._samples[key] = timed.samples
            self.clocks.append(timed.clocks)
        return self._samples[key]

    @contextlib.contextmanager
    def _forgetting_on_failure(self) -> Iterator[None]:
        """Forget the loaded model after a failure: the board's process may be gone."""
        try:
            yield
        except BaseException:
            self._loaded = None
            raise

    def _load(self, model: Model, core: str) -> Device:
        data = self.file(model)
        device = self._device()
        if self._loaded is None or self._loaded[0] is not device or self._loaded[1:] != (model.key, core):
            self._loaded = None
            device.load_raw(data, core, deadline=min(60.0, self.left()))
            self._loaded = (device, model.key, core)
        return device

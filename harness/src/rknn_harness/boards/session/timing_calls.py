"""Times of a model on a board: on its NPU, and on its CPU."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from rknn_harness.board_runner.stopwatch import DEFAULT_BOUNDS, SamplingBounds
from rknn_harness.boards.session.channel import RunnerChannel
from rknn_harness.boards.session.model_calls import ask_about_rows, table_of
from scirknn.arrays import Array

__all__ = ["CALL_SECONDS", "SamplingBounds", "Timed", "TimingCalls", "read_timed"]

CALL_SECONDS = 60.0
"""Beyond the maximum, for the calls that have begun."""
_CPU_ENGINES = ("numpy", "scikit-learn")


@attrs.frozen(eq=False)
class Timed:
    """Timed calls.

    Attributes
    ----------
    samples : numpy.ndarray of float64, shape (n_samples,)
        Seconds of each call, in order.
    clocks : dict
        What the board's clocks did meanwhile, as `rknn_harness.board_runner.clocks.Watch.summary` has it, and
        ``interrupts``, the CPUs that served each of the NPU's; empty where they were not looked at.
    """

    samples: Array
    clocks: dict[str, Any]


class TimingCalls:
    """Requests that time the loaded bundle."""

    def __init__(self, runner: RunnerChannel) -> None:
        self._runner = runner

    def time_model(
        self, X: Any, bounds: SamplingBounds = DEFAULT_BOUNDS, *, deadline: float | None = None
    ) -> Timed:
        """Time ``predict`` on the board, and watch its clocks; see `Board.clocks`.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
        bounds : SamplingBounds
        deadline : float, optional
            Seconds; default the maximum and a minute.
        """
        seconds = bounds.max_seconds + CALL_SECONDS if deadline is None else deadline
        clocks = self._runner.board.clocks
        header, arrays = ask_about_rows(
            self._runner, table_of(X), "time", seconds, clocks=clocks, **dataclasses.asdict(bounds)
        )
        return read_timed(self._runner, "time", header, arrays.get("samples"))

    def time_cpu(
        self, X: Any, bounds: SamplingBounds = DEFAULT_BOUNDS, *, in_scikit_learn: bool = True
    ) -> dict[str, Timed]:
        """Time the loaded bundle on the board's CPU, by each engine within the bounds; it stays loaded there.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
        bounds : SamplingBounds
        in_scikit_learn : bool
            Whether scikit-learn is timed too.

        Returns
        -------
        dict of str to Timed
            By ``numpy``, what scirknn takes on the CPU, and ``scikit-learn``, a perceptron of the same layers
            where that is all of the model and scikit-learn is installed.
        """
        fields: dict[str, Any] = {"sklearn": in_scikit_learn, "clocks": self._runner.board.clocks}
        fields |= dataclasses.asdict(bounds)
        seconds = 2 * bounds.max_seconds + CALL_SECONDS
        header, answer = ask_about_rows(self._runner, table_of(X), "time_cpu", seconds, **fields)
        return {
            name: read_timed(self._runner, "time_cpu", header, answer[f"samples {name}"])
            for name in _CPU_ENGINES
            if f"samples {name}" in answer
        }


def read_timed(runner: RunnerChannel, op: str, header: Mapping[str, Any], samples: Array | None) -> Timed:
    """Return the times of an answer, or raise `ProtocolError`."""
    clocks = header.get("clocks", {})
    if not isinstance(clocks, dict) or (clocks and not _is_clock_record(clocks)):
        raise runner.protocol_error(f"answered {op!r} with the clocks {clocks!r:.200}")
    good = samples is not None and samples.dtype == np.float64 and samples.ndim == 1 and len(samples)
    if samples is None or not good or not np.isfinite(samples).all() or samples.min() < 0:
        raise runner.protocol_error(f"answered {op!r} without samples")
    return Timed(samples, clocks)


def _is_clock_record(clocks: Mapping[str, Any]) -> bool:
    def frequencies(value: Any) -> bool:
        return isinstance(value, dict) and all(type(hertz) is int for hertz in value.values())

    if set(clocks) != {"pinned", "before", "after", "moved", "temperature", "interrupts"}:
        return False
    range_ = clocks["temperature"]
    is_range = isinstance(range_, list) and len(range_) == 2 and all(type(each) is float for each in range_)
    return (
        (clocks["pinned"] is None or frequencies(clocks["pinned"]))
        and frequencies(clocks["before"])
        and frequencies(clocks["after"])
        and type(clocks["moved"]) is bool
        and isinstance(clocks["interrupts"], dict)
        and all(isinstance(cpus, str) for cpus in clocks["interrupts"].values())
        and (range_ is None or is_range)
    )

"""How long a model takes on a board: on its NPU, and beside that on its CPU."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds, Timed
from rknn_harness.errors import BoardError
from rknn_harness.records.case import Case
from rknn_harness.records.latency import Latency, summarize
from rknn_harness.records.run_lock import write_inside
from scirknn.arrays import Array


@attrs.frozen
class Timing:
    """How long a model is timed: until both minima are reached, or the maximum; and on the CPU by what."""

    bounds: SamplingBounds
    in_scikit_learn: bool = True


QUICK = Timing(SamplingBounds(3, 40, 0.02, 1.0), in_scikit_learn=False)
"""For a virtual board, whose times say nothing of an NPU; nor is scikit-learn's import worth its second."""

THOROUGH = Timing(SamplingBounds(5, 200, 2.0, 20.0))
"""For a board: 200 samples and two seconds, as long as that stays below 20 seconds."""


@attrs.frozen(eq=False)
class Times:
    """Times of one model.

    Attributes
    ----------
    latency : Latency
        Of the NPU's predict. Like those of `cpu`, unstable also when a clock moved meanwhile.
    clocks : dict
        See `CaseResult.clocks`.
    samples : dict of str to numpy.ndarray of float64
        Seconds of each call, by ``npu`` and the names of `cpu`.
    cpu : dict of str to Latency
        ``numpy`` and, where the board has it, ``scikit-learn``.
    note : str
        Why the CPU was not timed.
    """

    latency: Latency
    clocks: dict[str, Any]
    samples: dict[str, Array]
    cpu: dict[str, Latency] = attrs.field(factory=dict)
    note: str = ""


def time_on_board(session: BoardSession, rows: Array, timing: Timing) -> Times:
    """Time the loaded model on rows, shape (n, n_features).

    Raises
    ------
    BoardError, InfraError
    """
    timed = session.timing.time_model(rows, timing.bounds)
    return Times(_latency(timed, rows, timing), timed.clocks, {"npu": timed.samples})


def add_cpu_times(times: Times, session: BoardSession, rows: Array, timing: Timing) -> Times:
    """Add the times of the loaded model on the board's CPU, which are no part of a verdict.

    The last call for a session's model: it is loaded on the CPU then, or not at all any more.

    Raises
    ------
    InfraError
    """
    try:
        by_name = session.timing.time_cpu(rows, timing.bounds, in_scikit_learn=timing.in_scikit_learn)
    except (BoardError, ValueError) as error:
        return attrs.evolve(times, note=f"The board's CPU was not timed: {error}")
    cpu = {name: _latency(timed, rows, timing) for name, timed in by_name.items()}
    samples = {name: timed.samples for name, timed in by_name.items()}
    return attrs.evolve(times, cpu=cpu, samples=times.samples | samples)


def _latency(timed: Timed, rows: Array, timing: Timing) -> Latency:
    latency = summarize(timed.samples, rows=len(rows), warmup=timing.bounds.warmup)
    return attrs.evolve(latency, unstable=True) if timed.clocks.get("moved") else latency


def keep_samples(run_folder: Path, case: Case, board: str, samples: Mapping[str, Array]) -> str:
    """Write raw samples into a run's folder, and return the file's path in it."""
    name = re.sub(r"[^A-Za-z0-9._+-]", "_", f"{case.id}-{case.toolkit}-{board}")
    path = run_folder / "samples" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    write_inside(path, json.dumps({key: each.tolist() for key, each in samples.items()}))
    return f"samples/{name}.json"

"""Whether bound memory gives the bits of general calls, and which conversion of rows is faster here."""

from __future__ import annotations

import time
from typing import Iterator, Sequence, TypeVar

import numpy as np

from scirknn.arrays import Float32Array
from scirknn.bundle.contents import Bundle
from scirknn.devices.native.context import NativeContext
from scirknn.devices.native.declarations import NATIVE_INPUT_ATTR, NATIVE_OUTPUT_ATTR, OUTPUT_ATTR
from scirknn.devices.native.row_layouts import unexpected_layout
from scirknn.devices.protocol import Session
from scirknn.probe_rows import ProbeRows

_SomeSession = TypeVar("_SomeSession", bound=Session)

_TIMED_RUNS = 3
"""Runs of each session of which the shortest counts: what disturbs a run makes it longer."""


def layout_difference(context: NativeContext, bundle: Bundle, rows: int) -> str:
    """Say what is unexpected of a file's native input and output; empty where nothing is."""
    outputs = bundle.n_outputs * bundle.output_parts
    for query, columns, side in (
        (NATIVE_INPUT_ATTR, bundle.channels, "input"),
        (NATIVE_OUTPUT_ATTR, outputs, "output"),
    ):
        difference = unexpected_layout(context.attribute(query), rows, columns)
        if difference:
            return f"the native {side} of {context.name} has {difference}"
    given = context.attribute(OUTPUT_ATTR).n_elems
    return "" if given == rows * outputs else f"{context.name} has {given} outputs, not {rows * outputs}"


def difference_from_general(
    answers: Sequence[Float32Array], bound: Session, runs: Sequence[Float32Array]
) -> str:
    """Say in how many outputs a session's bits differ from those of general calls; empty where in none.

    `answers` are those of general calls to `runs`.
    """
    for expected, rows in zip(answers, runs):
        answer = bound.run(rows)
        wrong = int((expected.view(np.uint32) != answer.view(np.uint32)).sum())
        if wrong:
            return f"{wrong} of {answer.size} outputs have other bits than by general calls"
    return ""


def distance_from_record(answers: Sequence[Float32Array], bundle: Bundle) -> str:
    """Say by how much answers leave the error bound of those recorded; empty where they do not.

    `answers` are those to `probe_runs`.
    """
    probe = bundle.probe
    if probe is None:
        return ""
    raw = np.concatenate(answers)[: len(probe.outputs)]
    error = np.abs(bundle.finish(raw) - probe.outputs)
    if (error <= probe.error).all():
        return ""
    return f"outputs err by {np.max(error):.3g}, and the recorded error bound is {probe.error:.3g}"


def probe_runs(probe: ProbeRows, rows: int, channels: int) -> Iterator[Float32Array]:
    """Yield the recorded rows as runs of `rows` rows, padded with zeros."""
    for start in range(0, len(probe.inputs), rows):
        part = probe.inputs[start : start + rows]
        run = np.zeros((rows, channels), np.float32)
        run[: len(part), : part.shape[1]] = part
        yield run


def fastest(sessions: Sequence[_SomeSession], rows: Float32Array) -> _SomeSession:
    """Return the session whose shortest run on `rows` is the shortest; sessions take turns."""
    if len(sessions) == 1:
        return sessions[0]
    seconds = [float("inf")] * len(sessions)
    for _ in range(_TIMED_RUNS):
        for index, session in enumerate(sessions):
            started = time.perf_counter()
            session.run(rows)
            seconds[index] = min(seconds[index], time.perf_counter() - started)
    return sessions[seconds.index(min(seconds))]

"""Properties of a converted model that take more than one answer: each returns a sentence, or None.

What the judge sees in a single answer of each stage is `rknn_harness.judge`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import scirknn
import virtual_npu
from rknn_harness.judge import difference
from rknn_harness.latency import Latency
from rknn_harness.reference import Floats
from rknn_harness.runner_client import BoardSession
from scirknn.bundle import Bundle

__all__ = [
    "BASELINE_FACTOR",
    "batch_latency",
    "cores_agree",
    "digest_reproducible",
    "input_forms",
    "latency_baseline",
    "output_step",
    "rows_independent",
    "simulator_equals_virtual_npu",
]

BASELINE_FACTOR = 1.25
"""A call may take so many times the last accepted run's."""

CORES = ("0", "1", "2", "pool")

_FEW = 16

Array = np.ndarray[Any, Any]


def simulator_equals_virtual_npu(
    path: Path, rounded: Array | None, told: Array | None, bounds: Floats, simulated: Array, executed: Array
) -> str | None:
    """Hold the virtual NPU to the vendor's simulator.

    In float16 without lookup tables they are equal to the bit, where the inputs are float16 numbers (an NPU
    is fed no others, the simulator any) and the sums are taken in the simulator's order. The simulator
    computes tanh and sigmoid exactly where the program looks them up, and integer layers with scales that no
    register holds; there each lies within the bound of scikit-learn's, so they lie within twice that of each
    other.

    Parameters
    ----------
    path : pathlib.Path
        The model file that the simulator stands for.
    rounded, told : numpy.ndarray or None, shape (runs, *input shape) and (runs, *output shape)
        Float16 numbers that the simulator was fed and its outputs; None where equal bits cannot be asked for.
    bounds : numpy.ndarray, shape (n, n_outputs)
        The derived bound.
    simulated, executed : numpy.ndarray, shape (n, n_outputs)
        Both outputs before the head, for the same rows.
    """
    if rounded is not None and told is not None:
        npu = virtual_npu.VirtualNpu(virtual_npu.read(path), sums="simulator")
        found = np.stack([npu.run(run) for run in rounded])
        return difference(told.reshape(-1, 1), found.reshape(-1, 1), "the vendor's simulator")
    gap = np.abs(np.asarray(simulated, np.float64) - executed)
    over = gap > 2 * bounds
    if not over.any():
        return None
    row, column = np.argwhere(over)[0]
    return (
        f"Simulator and virtual NPU differ in row {row}, column {column} by {gap[row, column]:.3g}: not both "
        f"lie within {bounds[row, column]:.3g} of the same number."
    )


def rows_independent(session: BoardSession, X: Array, output: Array) -> str | None:
    """Ask the board for the rows the other way round, and for one row alone."""
    for rows, whose in (
        (np.arange(len(X))[::-1], "the answer to the same rows the other way round"),
        (np.array([len(X) // 2]), "the answer to the row among others"),
    ):
        wrong = difference(output[rows], session.predict(X[rows]).output, whose)
        if wrong is not None:
            return wrong
    return None


def input_forms(session: BoardSession, path: Path, X: Array) -> str | None:
    """Give the same numbers as other dtypes to the board, and in other memory orders to scirknn here."""
    X = X[:_FEW].astype(np.float32).astype(np.float64)
    whole = np.rint(np.clip(X, -1e6, 1e6))
    with np.errstate(over="ignore"):
        pairs = [("float32", X, X.astype(np.float32)), ("int64", whole, whole.astype(np.int64))]
    for name, one, other in pairs:
        wrong = difference(session.predict(one).output, session.predict(other).output, f"{name} input")
        if wrong is not None:
            return wrong
    with scirknn.load(path, device="virtual") as model:
        first = model.raw_output(X)
        for name, other in _orders(X):
            wrong = difference(first, model.raw_output(other), f"{name} input")
            if wrong is not None:
                return wrong
    return None


def _orders(X: Array) -> Iterator[tuple[str, Any]]:
    yield "Fortran-ordered", np.asfortranarray(X)
    yield "strided", np.repeat(X, 2, axis=0)[::2]
    yield "nested lists as", X.tolist()


def cores_agree(session: BoardSession, path: Path, X: Array, output: Array) -> str | None:
    """Run the rows on each core, and shared among all."""
    for core in CORES:
        session.load(path, core=core)
        where = "the pool of cores" if core == "pool" else f"core {core}"
        wrong = difference(output, session.predict(X).output, f"the first answer ({where} gave the other)")
        if wrong is not None:
            return wrong
    return None


def digest_reproducible(first: str, again: bytes) -> str | None:
    """Compare the digest of a file's content with that of the same model's second build."""
    digest = virtual_npu.content_digest(virtual_npu.read(again))
    return (
        None if digest == first else f"The content's digest is {first:.16}, of a second build {digest:.16}."
    )


def batch_latency(batch: Latency, single: Latency) -> str | None:
    """Compare a call of N rows with N calls of one; the quickest of each, which other load troubles least."""
    if batch.least <= batch.rows * single.least * 1.1:
        return None
    return (
        f"A call of {batch.rows} rows takes {batch.least:.3g} s at least, {batch.rows} calls of one row "
        f"{batch.rows * single.least:.3g} s."
    )


def latency_baseline(now: Latency, before: Latency) -> str | None:
    """Compare a call with that of the last accepted run."""
    if now.p50 is None or before.p50 is None:
        return None
    limit = BASELINE_FACTOR * before.p50 + 3 * (now.mad + before.mad)
    if now.p50 <= limit:
        return None
    return (
        f"A call takes {now.p50:.3g} s, in the last accepted run {before.p50:.3g} s: more than "
        f"{BASELINE_FACTOR} times as long, and beyond what both series scatter."
    )


def output_step(bundle: Bundle, output: Floats, files: Sequence[virtual_npu.RknnFile]) -> Floats:
    """Return one step of the output's format, shape (n_outputs,), in the output's units.

    Of float16 the spacing at each column's largest magnitude; of integers the coarsest file's scale.
    """
    factor = np.ones(output.shape[1]) if bundle.output is None else np.abs(bundle.output.scale)
    if bundle.precision == "float16":
        size = np.minimum(np.abs(output).max(axis=0) / factor, 65504.0)
        return np.asarray(np.spacing(size.astype(np.float16)).astype(np.float64) * factor)
    scales = [file.outputs[0].scale or 0.0 for file in files]
    return np.asarray(max(scales) * factor * np.ones(output.shape[1]))

"""Properties of a converted model that take more than one answer: each returns a sentence, or None.

What the judge sees in a single answer of each stage is `rknn_harness.verdicts.judge`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import virtual_npu
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.records.latency import Latency
from rknn_harness.verdicts.comparisons import difference
from rknn_harness.verdicts.lane_events import BitComparison, Compared, LaneComparison
from scirknn.arrays import Array, Floats
from scirknn.bundle import Bundle
from scirknn.estimators.methods import Methods

BASELINE_FACTOR = 1.25
"""Longest call, as a multiple of the last accepted run's."""

CORES = ("0", "1", "2", "pool")

_FEW = 16

Bits = BitComparison | LaneComparison
"""How a board's answers are compared with each other."""


def simulator_equals_virtual_npu(
    path: Path, inputs: Array, simulated: Array, parameters: Mapping[str, Array]
) -> str | None:
    """Compare the virtual NPU with the vendor's simulator, bit for bit.

    In float16 and int16 without lookup tables they are equal where the virtual NPU takes the simulator's
    arithmetic: its order of summation, and for int16 its scales, which no register holds. For float16 the
    inputs must be float16 numbers (an NPU is fed no others, the simulator any).

    Parameters
    ----------
    path : pathlib.Path
        The model file that was simulated.
    inputs, simulated : numpy.ndarray, shapes (runs, *input shape) and (runs, *output shape)
    parameters : mapping of str to numpy.ndarray
        The weights and biases of an integer model's graph by name; empty for float16.
    """
    npu = virtual_npu.VirtualNpu(virtual_npu.read(path), arithmetic="simulator", parameters=parameters)
    executed = np.stack([npu.run(run) for run in inputs])
    return difference(simulated.reshape(-1, 1), executed.reshape(-1, 1), "the vendor's simulator")


def within_twice_the_bound(simulated: Array, executed: Array, bounds: Floats) -> str | None:
    """Compare the two outputs where each lies within the error bound of scikit-learn's.

    The simulator computes tanh and sigmoid exactly where the program looks them up; and in its own arithmetic
    the program errs otherwise than the simulator.

    Parameters
    ----------
    simulated, executed, bounds : numpy.ndarray, shape (n, n_outputs)
        Before the output activation, for the same rows.
    """
    gap = np.abs(np.asarray(simulated, np.float64) - executed)
    over = gap > 2 * bounds
    if not over.any():
        return None
    row, column = np.argwhere(over)[0]
    return (
        f"Simulator and virtual NPU differ in row {row}, column {column} by {gap[row, column]:.3g}: more "
        f"than twice the error bound {bounds[row, column]:.3g}."
    )


def repeat_predictions(session: BoardSession, X: Array, *, has_forms: bool = True) -> dict[str, Array]:
    """Ask the board once for what `rows_independent` and `input_forms` compare.

    Returns
    -------
    dict of str to numpy.ndarray of float32
        Outputs: ``again`` for the same rows, ``reversed`` for them in reverse order, ``alone`` for the middle
        one; with `has_forms` also for a few by dtype, and for the same numbers in float64.
    """
    every = np.arange(len(X))
    inputs: dict[str, Array] = {"again": every, "reversed": every[::-1], "alone": every[[len(X) // 2]]}
    if has_forms:
        few, integers = _few(X)
        with np.errstate(over="ignore"):
            inputs |= {
                "float32": few.astype(np.float32),
                "of float32": few,
                "int64": integers.astype(np.int64),
                "of int64": integers,
            }
    return dict(zip(inputs, session.models.outputs(X, list(inputs.values())), strict=True))


def _few(X: Array) -> tuple[Array, Array]:
    """Return some rows in float64: numbers that float32 holds, and integers."""
    few = X[:_FEW].astype(np.float32).astype(np.float64)
    return few, np.rint(np.clip(few, -1e6, 1e6))


def rows_independent(bits: Bits, X: Array, output: Array, again: Mapping[str, Array]) -> Compared:
    """Compare the answer to all rows with those to them in reverse order, and to one row alone."""
    whose = "the answer to the same rows in reverse order"
    backwards = bits.compare(X[::-1], output[::-1], again["reversed"], whose)
    middle = [len(output) // 2]
    alone = bits.compare(X[middle], output[middle], again["alone"], "the answer to the row among others")
    return backwards + alone


def input_forms(bits: Bits, X: Array, again: Mapping[str, Array], model: Methods | None) -> Compared:
    """Compare other dtypes on the board, and other memory orders in scirknn here."""
    few, integers = _few(X)
    compared = Compared()
    for name, rows in (("float32", few), ("int64", integers)):
        compared += bits.compare(rows, again[f"of {name}"], again[name], f"{name} input")
    if model is not None:
        first = model.raw_output(few)
        for name, other in _orders(few):
            compared += Compared(difference(first, model.raw_output(other), f"{name} input"))
    return compared


def _orders(X: Array) -> Iterator[tuple[str, Any]]:
    yield "Fortran-ordered", np.asfortranarray(X)
    yield "strided", np.repeat(X, 2, axis=0)[::2]
    yield "nested lists as", X.tolist()


def cores_agree(bits: Bits, session: BoardSession, X: Array, output: Array) -> Compared:
    """Compare the answers of each core, and of all together."""
    compared = Compared()
    for core, on_core in session.models.outputs_on(CORES, X).items():
        where = "The pool of cores" if core == "pool" else f"Core {core}"
        found = bits.compare(X, output, on_core, "the first answer")
        error = found.error and f"{where} answers differently: {found.error}"
        compared += attrs.evolve(found, error=error)
    return compared


def digest_reproducible(first: str, again: bytes) -> str | None:
    """Compare the digest of a file's content with that of the same model's second build."""
    digest = virtual_npu.content_digest(virtual_npu.read(again))
    if digest == first:
        return None
    return f"The content's digest is {first:.16}, of a second build {digest:.16}."


def batch_latency(batch: Latency, single: Latency) -> str | None:
    """Compare the fastest call of N rows with N of the fastest calls of one."""
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
        # Above 2^15 all steps are alike, and numpy's spacing of the largest number is infinite.
        size = np.minimum(np.abs(output).max(axis=0) / factor, 2.0**15)
        return np.asarray(np.spacing(size.astype(np.float16)).astype(np.float64) * factor)
    scales = [file.outputs[0].scale or 0.0 for file in files]
    return np.asarray(max(scales) * factor * np.ones(output.shape[1]))

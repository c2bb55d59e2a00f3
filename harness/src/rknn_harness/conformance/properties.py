"""Properties of a converted model that take more than one answer: each returns a sentence, or None.

What the judge sees in a single answer of each stage is `rknn_harness.verdicts.judge`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import scirknn
import virtual_npu
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.records.latency import Latency
from rknn_harness.verdicts.comparisons import difference
from rknn_harness.verdicts.reference import Floats
from scirknn.bundle import Bundle

__all__ = [
    "BASELINE_FACTOR",
    "Model",
    "asked_again",
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

Model = scirknn.MLPClassifier | scirknn.MLPRegressor


def simulator_equals_virtual_npu(
    path: Path,
    fed: tuple[Array, Array] | None,
    parameters: Mapping[str, Array],
    bounds: Floats,
    simulated: Array,
    executed: Array,
) -> str | None:
    """Hold the virtual NPU to the vendor's simulator.

    In float16 and int16 without lookup tables they are equal to the bit, where the virtual NPU takes the
    simulator's arithmetic: its order of summation, and for int16 its scales, which no register holds. For
    float16 the inputs must be float16 numbers (an NPU is fed no others, the simulator any). The simulator
    computes tanh and sigmoid exactly where the program looks them up; and in its own arithmetic the program
    errs otherwise than the simulator. But each lies within the bound of scikit-learn's, so they lie within
    twice that of each other.

    Parameters
    ----------
    path : pathlib.Path
        The model file that the simulator stands for.
    fed : tuple of numpy.ndarray or None, shapes (runs, *input shape) and (runs, *output shape)
        What the simulator was fed and its outputs; None where equal bits cannot be asked for.
    parameters : mapping of str to numpy.ndarray
        The weights and biases of an integer model's graph by name; empty for float16.
    bounds : numpy.ndarray, shape (n, n_outputs)
        The derived bound.
    simulated, executed : numpy.ndarray, shape (n, n_outputs)
        Both outputs before the head, for the same rows.
    """
    if fed is not None:
        npu = virtual_npu.VirtualNpu(virtual_npu.read(path), sums="simulator", parameters=parameters)
        inputs, told = fed
        found = np.stack([npu.run(run) for run in inputs])
        wrong = difference(told.reshape(-1, 1), found.reshape(-1, 1), "the vendor's simulator")
        if wrong is not None:
            return wrong
    gap = np.abs(np.asarray(simulated, np.float64) - executed)
    over = gap > 2 * bounds
    if not over.any():
        return None
    row, column = np.argwhere(over)[0]
    return (
        f"Simulator and virtual NPU differ in row {row}, column {column} by {gap[row, column]:.3g}: not both "
        f"lie within {bounds[row, column]:.3g} of the same number."
    )


def asked_again(session: BoardSession, X: Array, *, forms: bool = True) -> dict[str, Array]:
    """Ask the board, in one question, for what `rows_independent` and, with `forms`, `input_forms` compare.

    Returns
    -------
    dict of str to numpy.ndarray of float32
        Outputs: ``again`` for the same rows, ``turned`` for them the other way round, ``alone`` for the one
        in the middle; then for a few, by dtype, and for the same numbers in float64.
    """
    every = np.arange(len(X))
    inputs: dict[str, Array] = {
        "again": every,
        "turned": every[::-1],
        "alone": every[[len(X) // 2]],
    }
    if forms:
        few, whole = _few(X)
        with np.errstate(over="ignore"):
            inputs |= {
                "float32": few.astype(np.float32),
                "of float32": few,
                "int64": whole.astype(np.int64),
                "of int64": whole,
            }
    return dict(zip(inputs, session.models.outputs(X, list(inputs.values())), strict=True))


def _few(X: Array) -> tuple[Array, Array]:
    """Return some rows in float64: numbers that float32 holds, and whole ones."""
    few = X[:_FEW].astype(np.float32).astype(np.float64)
    return few, np.rint(np.clip(few, -1e6, 1e6))


def rows_independent(output: Array, again: Mapping[str, Array]) -> str | None:
    """Compare the answer to all rows with those to them the other way round, and to one row alone."""
    turned = difference(output[::-1], again["turned"], "the answer to the same rows the other way round")
    middle = output[[len(output) // 2]]
    return turned or difference(middle, again["alone"], "the answer to the row among others")


def input_forms(again: Mapping[str, Array], model: Model | None, X: Array) -> str | None:
    """Compare other dtypes given to the board, and give other memory orders to scirknn here, if it can."""
    for name in ("float32", "int64"):
        wrong = difference(again[f"of {name}"], again[name], f"{name} input")
        if wrong is not None:
            return wrong
    if model is not None:
        few, _ = _few(X)
        first = model.raw_output(few)
        for name, other in _orders(few):
            wrong = difference(first, model.raw_output(other), f"{name} input")
            if wrong is not None:
                return wrong
    return None


def _orders(X: Array) -> Iterator[tuple[str, Any]]:
    yield "Fortran-ordered", np.asfortranarray(X)
    yield "strided", np.repeat(X, 2, axis=0)[::2]
    yield "nested lists as", X.tolist()


def cores_agree(session: BoardSession, X: Array, output: Array) -> str | None:
    """Run the rows on each core, and shared among all."""
    for core, found in session.models.outputs_on(CORES, X).items():
        where = "the pool of cores" if core == "pool" else f"core {core}"
        wrong = difference(output, found, f"the first answer ({where} gave the other)")
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

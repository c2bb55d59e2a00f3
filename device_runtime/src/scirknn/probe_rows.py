"""Rows that a bundle holds, with their answers, by which a runtime is verified where it is used.

The optional key ``probe_rows``; a runtime that does not know it ignores it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Callable, NoReturn

import numpy as np

from scirknn.arrays import Float32Array, Floats

MOST_ROWS = 8
MOST_VALUES = 2048
"""Inputs and outputs in all, unless one row has more: the key stays some ten kilobytes."""


@dataclass(frozen=True)
class ProbeRows:
    """Rows of the network, and what the estimator answers.

    Attributes
    ----------
    inputs : numpy.ndarray of float32, shape (n, columns)
        As the model file takes them, without its padding.
    outputs : numpy.ndarray of float64, shape (n, n_outputs)
        The estimator's outputs before the output activation.
    error : float
        By how much the file's outputs may differ from them: the derived error bound of these rows.
    """

    inputs: Float32Array
    outputs: Floats
    error: float


def to_json(probe: ProbeRows) -> dict[str, Any]:
    """Return the rows as JSON takes them, each number in the fewest digits that give it again."""
    return {
        "inputs": [[float(str(value)) for value in row] for row in probe.inputs],
        "outputs": probe.outputs.tolist(),
        "error": probe.error,
    }


def from_json(value: Any, columns: int, n_outputs: int, fail: Callable[[str], NoReturn]) -> ProbeRows:
    """Read what `to_json` wrote, from any JSON; `fail` raises what is wrong."""
    if not isinstance(value, dict) or not {"inputs", "outputs", "error"} <= set(value):
        fail("'probe_rows' has no inputs, outputs and error")
    error = value["error"]
    if type(error) not in (int, float) or not 0 <= error <= sys.float_info.max:
        fail(f"'probe_rows' has {error!r:.60} as error; it is a number from 0 on")
    inputs = _table(value["inputs"], columns)
    outputs = _table(value["outputs"], n_outputs)
    if inputs is None or outputs is None or len(inputs) != len(outputs):
        fail(f"'probe_rows' needs 1 to {MOST_ROWS} rows of {columns} inputs and {n_outputs} outputs, finite")
    with np.errstate(over="ignore"):
        narrow = inputs.astype(np.float32)
    if not np.isfinite(narrow).all():
        fail("'probe_rows' has an input beyond float32")
    return ProbeRows(narrow, outputs, float(error))


def _table(rows: Any, columns: int) -> Floats | None:
    """Return a table of finite numbers, or None for anything else; lengths are compared first."""
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_ROWS:
        return None
    if not all(isinstance(row, list) and len(row) == columns for row in rows):
        return None
    if not all(
        type(value) in (int, float) and abs(value) <= sys.float_info.max for row in rows for value in row
    ):
        return None
    return np.array(rows, np.float64)

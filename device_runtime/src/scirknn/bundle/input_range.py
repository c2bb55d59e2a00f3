"""The range of inputs that a model of integers was calibrated with.

Integers cut off what lies beyond a tensor's range. int8's end with the rows of its calibration; int16's go on
for some times as far. No output shows it, so rows are compared with the range on their way in.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Callable, NoReturn

import numpy as np

from scirknn.arrays import Floats
from scirknn.bundle.limits import float_array

_LARGEST = sys.float_info.max

ROUNDING = 2.0**-22
"""Share of a range's end by which a number may pass it: the same number in float32 is no other."""


@dataclass(frozen=True)
class InputRange:
    """The range of each input in calibration.

    Attributes
    ----------
    low, high : numpy.ndarray of float64, shape (n_inputs,)
        In the units of X, or of what the bundle's columns make of it: the least and greatest number of the
        example's rows, each moved away from their mean by a tenth.
    rows : int
        How many rows the example had.
    room : float
        How many times as far from the middle the model's integers go, 1 for int8.
    """

    low: Floats
    high: Floats
    rows: int
    room: float


def to_json(limits: InputRange) -> dict[str, Any]:
    """Return the range as JSON takes it."""
    return {
        "low": limits.low.tolist(),
        "high": limits.high.tolist(),
        "rows": limits.rows,
        "room": limits.room,
    }


def from_json(value: Any, n_inputs: int, fail: Callable[[str], NoReturn]) -> InputRange:
    """Read what `to_json` wrote, from any JSON; `fail` raises what is wrong."""
    if not isinstance(value, dict) or not {"low", "high", "rows", "room"} <= set(value):
        fail("'input_range' has no low, high, rows and room")
    low, high = (float_array(value[end], n_inputs) for end in ("low", "high"))
    if low is None or high is None or not np.isfinite([low, high]).all() or (low > high).any():
        fail(f"'input_range' needs {n_inputs} finite numbers from low to high")
    rows, room = value["rows"], value["room"]
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        fail(f"'input_range' has {rows!r:.60} rows")
    if not isinstance(room, (int, float)) or isinstance(room, bool) or not 1 <= room <= _LARGEST:
        fail(f"'input_range' has {room!r:.60} as room; it is a number from 1 on")
    return InputRange(low, high, rows, float(room))

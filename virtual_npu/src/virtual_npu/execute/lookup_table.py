"""The DPU's lookup tables: LE for low inputs, LO for high ones.

Between entries values lie on straight lines. The two tables, their priorities and slopes are those of
NVDLA's LUT (nvdla.org, hw/v1/ias/lut-programming). Beyond the tables the end values hold, or slopes lead on:
below a sigmoid that is a layer of its own 23107 / 2**22 leads from the first entry, 0.0018, to 0 at -10.5,
and what would lie below 0 is cut off by the larger of it and 0 that follows; above the tables of Elu and
Softplus lines go up. Other slopes are refused. The vendor's simulator does not look up float16 tanh and
sigmoid, it computes them; a chip has only the program to go by, so here the table counts. What is rounded
is for `LookupRules` to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.arrays import Array
from virtual_npu.errors import UnsupportedProgram
from virtual_npu.evidence import follows
from virtual_npu.execute.arithmetic import LookupRules
from virtual_npu.execute.data_processor_operands import float32_of_bits
from virtual_npu.program import registers as r
from virtual_npu.program.loader import LoadedTask

_SEGMENTS: Final = 512  # a table: 513 entries


@follows(
    evidence.LOOKUP_LINES,
    evidence.LOOKUP_ENDS,
    evidence.LOOKUP_SLOPES,
    evidence.LOOKUP_INDEX,
    evidence.LOOKUP_SIDE,
    evidence.INTEGER_LOOKUP,
)
@dataclass(frozen=True, slots=True)
class LookupTable:
    """LE and LO joined to one table of 1,024 segments.

    Attributes
    ----------
    start : float
        Input of the first entry.
    step : float
        Input from one entry to the next.
    base, rise : ndarray, shape (1025,)
        Value at the start of each segment, and growth along it; the last holds LO's end value.
    slope, slope_above : float
        Growth by input below the first entry, and above the last.
    exact : ndarray or None
        For integer programs, the value of every integer input from `start` on, rounded to an integer.
    zero : float
        Index of an input of 0.
    """

    start: float
    step: float
    base: Array
    rise: Array
    slope: float
    slope_above: float
    exact: npt.NDArray[np.float64] | None
    zero: float

    @classmethod
    def decode(cls, task: LoadedTask, *, integer: bool) -> LookupTable:
        """Decode the LUT registers and take the tables last uploaded."""
        if not task.tables:
            note = "a lookup before any table was uploaded: the chip's result is stale"
            raise UnsupportedProgram("DPU", "EW_LUT_BYPASS", 0, note)
        task.require(r.LUT_CFG, r.LOOKUP_PRIORITIES)
        task.require(r.LUT_LE_SLOPE_OFLOW_SCALE, 0)
        task.require(r.LUT_LO_SLOPE_UFLOW_SCALE, 0)
        above = np.ldexp(float(task[r.LUT_LO_SLOPE_OFLOW_SCALE]), -task[r.LUT_LO_SLOPE_OFLOW_SHIFT])
        slope = np.ldexp(float(task[r.LUT_LE_SLOPE_UFLOW_SCALE]), -task[r.LUT_LE_SLOPE_UFLOW_SHIFT])
        select = task[r.LUT_LE_INDEX_SELECT]
        task.require(r.LUT_LO_INDEX_SELECT, select)
        seam = task[r.LUT_LE_END]
        task.require(r.LUT_LO_START, seam)
        if select > 8:
            raise UnsupportedProgram("DPU", "LUT_LE_INDEX_SELECT", select)
        step = 1 << select
        task.require(r.LUT_LE_START, seam - _SEGMENTS * step)
        task.require(r.LUT_LO_END, seam + _SEGMENTS * step)
        low, high = task.tables
        base = np.concatenate([low[:-1], high])
        rise = np.concatenate([np.diff(low), np.diff(high), [0]])
        exact = None
        if integer:
            at = np.arange(2 * _SEGMENTS * step + 1)
            exact = np.floor(base[at // step] + rise[at // step] * (at % step) / step + 0.5)
        start = seam - _SEGMENTS * step
        ends = (slope, above)
        values = (base.astype(np.float64), rise.astype(np.float64))
        return cls(start, step, *values, *ends, exact=exact, zero=_index_of_zero(task))

    def apply(self, values: Array, rules: LookupRules) -> Array:
        """Look values up; NaN looks up the first entry's NaN and stays NaN."""
        if self.exact is not None:
            place = np.floor(values + (0.5 - self.start))
            results: npt.NDArray[np.float64] = self.exact[
                np.clip(place, 0, len(self.exact) - 1).astype(np.intp)
            ]
            if self.slope or self.slope_above:
                results += np.minimum(place, 0) * self.slope
                results += np.maximum(place - (len(self.exact) - 1), 0) * self.slope_above
                np.floor(results + 0.5, out=results)
            return results
        # In float64, where a float32 input and the table's values lose nothing that float16 could show.
        offset: npt.NDArray[np.float64] = np.subtract(values, self.start, dtype=np.float64)
        if rules.rounds:
            np.rint(offset, out=offset)
        at: npt.NDArray[np.float64] = offset * (1 / self.step)
        np.clip(at, 0, 2 * _SEGMENTS, out=at)
        if rules.sides_by_sign:
            at = np.where(values < self.zero, np.minimum(at, _SEGMENTS), np.maximum(at, _SEGMENTS))
        segment = at.astype(np.int32)
        np.clip(segment, 0, 2 * _SEGMENTS, out=segment)
        at -= segment
        at *= self.rise[segment]
        at += self.base[segment]
        if self.slope:
            at += np.minimum(offset, 0) * self.slope
        if self.slope_above:
            at += np.maximum(offset - 2 * _SEGMENTS * self.step, 0) * self.slope_above
        if rules.rounds:
            np.rint(at, out=at)
        return at


def _index_of_zero(task: LoadedTask) -> float:
    """Return the index that BN makes of 0."""
    has_addend = not task.registers.get(r.BN_CFG, 0) & 0b11
    return float32_of_bits(task[r.BN_ALU_OPERAND]) if has_addend else 0.0

"""How the integer path rounds and saturates, as it was measured on silicon.

Integers are held in float64, exact below 2**53. [silicon: github.com/gregordinary/rockchip-npu-notes,
encodings/out-cvt-converter.md at 224b1390, September 2026: RK3588 and RK3576; the rounding also in
github.com/oRKLLM/ork-driver, OPS_REGISTRY.md]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.evidence import follows

_Floats = npt.NDArray[np.float64]

_INT32: Final = np.iinfo(np.int32)
_LONGEST_EXACT_SHIFT: Final = 22  # a product over 2**53 shifted by this or less passes int32, rounded or not


@follows(evidence.CHANNEL_SCALING)
@dataclass(frozen=True)
class ChannelScaling:
    """The per-channel stage: ``saturate32(round((sum + addend) * factor >> shift))``, halves to even.

    Attributes
    ----------
    addend, factor : float or ndarray of float64, shape (channels,)
        Integers: of 32 bits, and of 16.
    shift, negative_shift : int
        Of products from 0 up, and below 0: two fields of the registers.
    """

    addend: Any
    factor: Any
    shift: int
    negative_shift: int

    def __call__(self, sums: npt.NDArray[Any]) -> _Floats:
        """Return the scaled sums; both have shape (points, channels)."""
        shifted: _Floats = np.add(sums, self.addend, dtype=np.float64)
        if max(self.shift, self.negative_shift) > _LONGEST_EXACT_SHIFT:
            products = shifted.astype(np.int64) * np.asarray(self.factor, np.int64)
            shifts = np.where(products < 0, self.negative_shift, self.shift)
            return np.clip(_shift_to_even(products, shifts).astype(np.float64), _INT32.min, _INT32.max)
        shifted *= self.factor
        if self.shift == self.negative_shift:
            shifted *= 0.5**self.shift
        else:
            shifted *= np.where(shifted < 0, 0.5**self.negative_shift, 0.5**self.shift)
        np.rint(shifted, out=shifted)
        return np.clip(shifted, _INT32.min, _INT32.max, out=shifted)


def _shift_to_even(values: npt.NDArray[np.int64], shifts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Shift to the right, to nearest, halves to even."""
    floor = values >> shifts
    rest = values - (floor << shifts)
    half = np.int64(1) << np.maximum(shifts - 1, 0)
    up = (rest > half) | ((rest == half) & (floor & 1 == 1))
    rounded: npt.NDArray[np.int64] = floor + up
    return rounded


@follows(evidence.OUTPUT_CONVERSION)
@dataclass(frozen=True)
class OutputConversion:
    """The output converter: ``saturate(round(value * scale >> shift) + offset)``.

    Attributes
    ----------
    scale : int
        Of 16 bits, with its sign.
    shift, offset : int
        The offset is added after the shift has rounded.
    halves_away : bool
        Halves go away from zero (CVT_ROUND 1); otherwise to even.
    dtype : numpy.dtype
        int8, int16 or int32, to which results saturate.
    """

    scale: int
    shift: int
    offset: int
    halves_away: bool
    dtype: np.dtype[Any]

    def __call__(self, values: npt.NDArray[Any]) -> _Floats:
        """Return the converted values, integers of `dtype` held in float64."""
        scaled: _Floats = np.multiply(values, np.ldexp(float(self.scale), -self.shift), dtype=np.float64)
        if self.halves_away:
            signs = np.copysign(1.0, scaled)
            np.abs(scaled, out=scaled)
            scaled += 0.5
            np.floor(scaled, out=scaled)
            scaled *= signs
        else:
            np.rint(scaled, out=scaled)
        scaled += self.offset
        limits = np.iinfo(self.dtype)
        return np.clip(scaled, limits.min, limits.max, out=scaled)

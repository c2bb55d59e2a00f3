"""float16 and bfloat16 values kept in float32 between layers.

numpy's conversions from and to float16 are slow, and it has no bfloat16. A float32 that holds such a value
stays exact through copies and casts; only what a unit writes is rounded.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.arrays import Array, Float32Array
from virtual_npu.evidence import follows

BFLOAT16: Final = np.dtype(np.uint16)
"""The upper 16 bits of a float32, held as an integer: no tensor of a file is unsigned."""

_FEW: Final = 1024  # values that numpy converts sooner than its calls below take
_SIGNIFICAND: Final = 13  # bits that float32 has more
_TOP: Final = np.float32(65520).view(np.uint32)  # from here on float16 rounds to infinity
_NORMAL: Final = np.float32(2.0**-14).view(np.uint32)  # below, float16 keeps multiples of 2**-24


def magnitude_bits(values: Float32Array) -> npt.NDArray[np.uint32]:
    """Return the bits without the sign: they order as the magnitudes do, NaN last."""
    bits: npt.NDArray[np.uint32] = values.view(np.uint32) & np.uint32(0x7FFFFFFF)
    return bits


def round_to_half(values: Float32Array) -> Float32Array:
    """Round to the nearest float16 value, in place; return the array.

    Halves go to even. `values` is writable and contiguous in C's or Fortran's order. Infinity from 65520
    on; NaN stays NaN.
    """
    if values.size <= _FEW:
        with np.errstate(all="ignore"):
            values[...] = values.astype(np.float16)
        return values
    flat = (values if values.flags.c_contiguous else values.T).reshape(-1)
    magnitudes = magnitude_bits(flat)
    if magnitudes.max(initial=0) >= _TOP:
        with np.errstate(all="ignore"):
            values[...] = values.astype(np.float16)
        return values
    magnitudes -= np.uint32(1)  # 0 becomes the largest
    small = np.flatnonzero(magnitudes < _NORMAL - np.uint32(1))
    few = flat[small]
    bits: Array = flat.view(np.uint32)
    np.right_shift(bits, np.uint32(_SIGNIFICAND), out=magnitudes)
    magnitudes &= np.uint32(1)
    magnitudes += np.uint32(
        (1 << _SIGNIFICAND - 1) - 1
    )  # half a step, less one unless the last bit kept is odd
    bits += magnitudes
    bits &= np.uint32(0xFFFFFFFF << _SIGNIFICAND & 0xFFFFFFFF)
    # A float32 between 1/2 and 1 is a multiple of 2**-24: adding 3/4 rounds as float16 does below 2**-14.
    flat[small] = np.copysign(np.abs(few) + np.float32(0.75) - np.float32(0.75), few)
    return values


@follows(evidence.BFLOAT16_OUTPUT)
def round_to_bfloat16(values: Array) -> Float32Array:
    """Round to the nearest bfloat16 value, halves to even, in an array of its own."""
    singles: Float32Array = values.astype(np.float32)
    bits: Array = singles.view(np.uint32)
    finite = np.isfinite(singles)
    rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    bits[finite] = rounded[finite] & np.uint32(0xFFFF0000)
    return singles


def bfloat16_bits(values: Float32Array) -> npt.NDArray[np.uint16]:
    """Return bfloat16 values that float32 holds as they lie in memory."""
    bits: npt.NDArray[np.uint16] = (
        np.ascontiguousarray(values, np.float32).view(np.uint32) >> np.uint32(16)
    ).astype(np.uint16)
    return bits


def widened(stored: Array) -> Array:
    """Return float16 and bfloat16 as float32, other types as they are."""
    if stored.dtype == BFLOAT16:
        singles: Array = (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return singles
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored

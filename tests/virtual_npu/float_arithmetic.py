"""The published rule for float16 sums in fractions, one value at a time, without the executor's code."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

__all__ = ["grouped_sum", "to_float16", "to_float32"]

GROUP = 32


def _rounded(value: Fraction, bits: int, lowest: int) -> Fraction:
    """Round to the nearest number of `bits` bits, or multiple of ``2**lowest``; halves to even."""
    if value == 0:
        return value
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    step = Fraction(2) ** max(exponent - bits + 1, lowest)
    return round(value / step) * step  # Python rounds halves of fractions to even


def to_float32(value: Fraction) -> Fraction:
    """Round to float32; nothing here comes near its ends."""
    return _rounded(value, 24, -149)


def to_float16(value: Fraction) -> float:
    """Round to float16, infinity included."""
    rounded = float(_rounded(value, 11, -24))
    return rounded if abs(rounded) < 65520 else float("inf") if rounded > 0 else float("-inf")


def grouped_sum(row: Iterable[float], kernel: Iterable[float]) -> Fraction:
    """Sum one row times one kernel: groups of 32 exactly, each rounded, then added in order."""
    products = [Fraction(float(x)) * Fraction(float(w)) for x, w in zip(row, kernel, strict=True)]
    total = Fraction(0)
    for first in range(0, len(products), GROUP):
        total = to_float32(total + to_float32(sum(products[first : first + GROUP], Fraction(0))))
    return total

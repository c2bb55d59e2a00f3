"""What a chain of dense layers computes, from its definition: the judge of the executor's tests."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.virtual_npu.rknn_writer import Chain, Dense

Array = npt.NDArray[Any]


def as_input(rows: Array) -> Array:
    """Rows (samples, channels) as the model's logical shape (1, channels, samples, 1)."""
    return np.ascontiguousarray(rows.T)[None, :, :, None]


def as_rows(output: Array) -> Array:
    rows: Array = output[0, :, :, 0].T
    return rows


def float16(chain: Chain, rows: Array) -> Array:
    """Sums in float64, rounded to float16 after each layer."""
    values: Array = rows.astype(np.float16)
    for layer in chain.layers:
        sums = values.astype(np.float64) @ layer.weights.astype(np.float16).astype(np.float64).T
        sums += layer.biases.astype(np.float32)
        if layer.table is not None:
            sums = (np.rint(lookup(layer.table, np.rint(sums * layer.factor))) + 1) / 32768
        values = (np.maximum(sums, 0) if layer.relu else sums).astype(np.float16)
    return values


def lookup(table: tuple[Array, Array], x: Array) -> Array:
    """LE over -16384 to 0, LO over 0 to 16384, straight lines between, end values beyond."""
    at = np.arange(-16384, 16385, 32)
    values: Array = np.interp(x, at, np.concatenate([table[0][:-1], table[1]]))
    return values


def integers(layer: Dense, rows: Array, dtype: str) -> Array:
    """One layer in exact integer arithmetic, as silicon was measured.

    Sums end at 32 bits. The channel's factor and the output's each round halves to even; the offset comes
    after.
    """
    limits = np.iinfo(dtype)
    assert layer.multipliers is not None
    result = np.empty((len(rows), len(layer.weights)), dtype)
    for i, row in enumerate(rows):
        for k, kernel in enumerate(layer.weights):
            total = sum(int(a) * int(b) for a, b in zip(row, kernel, strict=True))
            total = min(max(total, -(2**31)), 2**31 - 1) + int(layer.biases[k])
            total = round(Fraction(total * int(layer.multipliers[k]), 1 << 14))
            total = min(max(total, 0 if layer.relu else -(2**31)), 2**31 - 1)
            rounded = round(Fraction(total * layer.out_scale, 1 << layer.out_shift)) + layer.zero_point
            result[i, k] = min(max(rounded, limits.min), limits.max)
    return result


def halfway_steps(actual: Array, expected: Array) -> Array:
    """Distance in float16 steps (units in the last place)."""

    def ordered(values: Array) -> Array:
        bits = values.astype(np.float16).view(np.int16).astype(np.int64)
        return np.where(bits < 0, -32768 - bits, bits)

    distance: Array = np.abs(ordered(actual) - ordered(expected))
    return distance

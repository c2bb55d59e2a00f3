"""Sums of float16 products as the RK3588 was measured to form them: in groups of 32 channels.

Each aligned group of 32 products along the channels (0 to 31, 32 to 63, ...) is summed exactly and rounded
once to float32, to nearest, halves to even. The groups' sums are added in order, in float32, from zero.
[silicon: github.com/gregordinary/rockchip-npu-notes, chips/rk3588.md at 224b1390, September 2026: three cores
of one RK3588, 131 million elements of 512 x 384 x 256, bit for bit; rare events on output channels that are
multiples of 16]

A group is summed in float64. All its products are multiples of one power of two; as long as their magnitudes
come to less than 2^53 of it, no product and no addition rounds, so that no bit depends on the order of a BLAS
kernel, on its threads or on fused multiply-adds. Where a group's values span more, each is taken as two
integers of 20 bits, whose sums are exact for the same reason, and the three partial sums are rounded once.
For the same reason the processors may share the outputs of a large layer: see `_each`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.evidence import follows
from virtual_npu.execute.half_precision import magnitude_bits

GROUP: Final = 32
"""Channels whose products are summed before the first rounding."""

_Floats = npt.NDArray[np.float64]
_Singles = npt.NDArray[np.float32]

_LOWEST: Final = -24  # exponent of the least float16 above 0, of which every float16 is a multiple
_HALF: Final = 20  # a finite float16 is 40 bits of that multiple: two integers of 20 bits
_EXACT: Final = 2.0**53  # up to here float64 holds every integer
_ROWS, _KERNELS = 64, 256  # at a time: a group's sums stay in a core's cache
_TOGETHER: Final = 1 << 13  # sums of several groups at a time, for few rows
_SHARED: Final = 1 << 22  # products from which another thread's start costs less than it saves


@follows(evidence.FLOAT16_SUMS)
class GroupedSums:
    """Sums of rows times `weights`, group by group; a function of rows.

    Parameters
    ----------
    weights : ndarray of float32, shape (channels, kernels)
        float16 values.
    """

    def __init__(self, weights: _Singles) -> None:
        channels, self._kernels = weights.shape
        groups = -(-channels // GROUP)
        filled = np.zeros((groups * GROUP, self._kernels), np.float32)
        filled[:channels] = weights
        values = filled.reshape(groups, GROUP, -1)
        # A middling layer too is in two parts, which two processors may share.
        self._width = min(_KERNELS, max(_KERNELS // 4, -(-self._kernels // 2)))
        self._blocks: list[_Floats] = [
            values[:, :, first : first + self._width].astype(np.float64)
            for first in range(0, self._kernels, self._width)
        ]
        reach = np.abs(values).sum(axis=1, dtype=np.float64)
        finite = np.isfinite(reach)
        self._is_finite = bool(finite.all())
        # Largest sum of magnitudes in a group, and the power of two of which all its weights are multiples.
        self._reach: _Floats = np.where(finite, reach, 0).max(axis=1, initial=0)
        self._steps = _common_steps(filled.reshape(groups, -1))
        # Rows below it are summed exactly in float64 whatever their own steps.
        with np.errstate(divide="ignore", invalid="ignore"):
            limits = np.ldexp(self._steps * _EXACT, _LOWEST) / self._reach
        self._limit = float(np.nan_to_num(limits, nan=np.inf).min(initial=np.inf)) if self._is_finite else 0.0

    def __call__(self, rows: _Singles) -> _Singles:
        """Return the sums, shape (points, kernels), of rows, shape (points, channels), of float16 values."""
        features = self._by_group(rows)
        is_small = float(max(rows.max(initial=0), -rows.min(initial=0))) < self._limit  # NaN is not
        is_wide, is_finite = (None, True) if is_small else self._wide(features)
        total = np.empty((len(rows), self._kernels), np.float32)

        def add_block(first: int, number: int) -> None:
            points = slice(first, first + _ROWS)
            kernels = slice(number * self._width, (number + 1) * self._width)
            wide = None if is_wide is None else is_wide[:, points]
            with np.errstate(all="ignore"):  # each thread has its own; infinities and NaN are results
                total[points, kernels] = _block_sums(features[:, points], self._blocks[number], wide)

        blocks = [(first, n) for first in range(0, len(rows), _ROWS) for n in range(len(self._blocks))]
        _each(add_block, blocks, features.size * self._kernels)
        if not (is_finite and self._is_finite):
            total[np.isnan(total)] = np.nan  # which of several NaN comes through is a matter of order
        return total

    def _by_group(self, rows: _Singles) -> _Floats:
        """Return rows, shape (points, channels), in shape (groups, points, channels of a group)."""
        points, channels = rows.shape
        features = np.zeros((len(self._steps), points, GROUP))
        full = channels // GROUP
        features[:full] = rows[:, : full * GROUP].reshape(points, full, GROUP).transpose(1, 0, 2)
        if full * GROUP < channels:
            features[full, :, : channels - full * GROUP] = rows[:, full * GROUP :]
        return features

    def _wide(self, features: _Floats) -> tuple[npt.NDArray[np.bool_], bool]:
        """Tell for each group and row whether float64 may lose bits of the sum, and whether all is finite."""
        values = features.astype(np.float32)
        largest = magnitude_bits(values).max(axis=2).view(np.float32).astype(np.float64)
        finite = np.isfinite(largest)
        steps = _common_steps(values) * self._steps[:, None] * _EXACT
        wide: npt.NDArray[np.bool_] = finite & ~(largest * self._reach[:, None] < steps)
        return wide, bool(finite.all())


def _each(act: Callable[[int, int], None], blocks: Sequence[tuple[int, int]], products: int) -> None:
    """Call `act` with each block, by all processors where there are enough products."""
    if len(blocks) == 1 or products < _SHARED:
        for block in blocks:
            act(*block)
    else:
        list(_threads(os.getpid()).map(lambda block: act(*block), blocks))


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Return a process's threads; a forked child has none of its parent's, and makes its own."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(count, f"sums of process {process}")


def _common_steps(values: _Singles) -> _Floats:
    """Return powers of two of which the last axis's float16 values are multiples; of zeros infinity."""
    # 0 becomes the largest unsigned integer, so that the least is that of the other values.
    least = (magnitude_bits(values) - np.uint32(1)).min(axis=-1, initial=0xFFFFFFFF) + np.uint32(1)
    exponents = np.maximum((least >> 23).astype(np.int64) - 127, _LOWEST + 10) - 10
    steps: _Floats = np.where(least == 0, np.inf, np.ldexp(1.0, exponents))
    return steps


def _block_sums(features: _Floats, weights: _Floats, is_wide: npt.NDArray[np.bool_] | None) -> _Singles:
    """Sum a block: features (groups, points, 32) times weights (groups, 32, kernels)."""
    groups, points, _ = features.shape
    total = np.zeros((points, weights.shape[2]), np.float32)
    count = max(1, _TOGETHER // total.size)
    products = np.empty((count, *total.shape))
    for first in range(0, groups, count):
        chosen = slice(first, first + count)
        exact = np.matmul(features[chosen], weights[chosen], out=products[: groups - first])
        parts = exact.astype(np.float32)
        if is_wide is not None:
            for group, point in np.argwhere(is_wide[chosen]):
                parts[group, point] = _exact_sum(features[first + group, point], weights[first + group])
        total += parts[0]
        if len(parts) > 1:
            parts[0] = total
            total = np.add.accumulate(parts, axis=0)[-1]
    return total


def _exact_sum(features: _Floats, weights: _Floats) -> _Singles:
    """Return the sums of one row's group, whatever its values span, rounded once."""
    finite = np.isfinite(weights).all(axis=0)
    x = np.ldexp(features, -_LOWEST)
    w = np.ldexp(np.where(finite, weights, 0), -_LOWEST)
    x_high, w_high = (np.trunc(np.ldexp(value, -_HALF)) for value in (x, w))
    x_low, w_low = x - np.ldexp(x_high, _HALF), w - np.ldexp(w_high, _HALF)
    parts = (
        np.ldexp(x_high @ w_high, 2 * _HALF),
        np.ldexp(x_high @ w_low + x_low @ w_high, _HALF),
        x_low @ w_low,
    )
    sums = round_sum_to_float32(*(np.ldexp(part, 2 * _LOWEST) for part in parts))
    sums[~finite] = (features @ weights[:, ~finite]).astype(np.float32)
    return sums


def round_sum_to_float32(large: _Floats, middle: _Floats, small: _Floats) -> _Singles:
    """Round the exact sum of three float64 arrays once to float32, to nearest, halves to even.

    Knuth's two-sum (The Art of Computer Programming 2, 4.2.2, theorem B) keeps what an addition loses. It
    is then rounded to odd in float64, so that its last bit shows whether something is left (Boldo and
    Melquiond, Emulation of FMA and correctly rounded sums, 2008).
    """
    low, low_rest = _two_sum(middle, small)
    high, high_rest = _two_sum(large, low)
    rest, last = _two_sum(high_rest, low_rest)
    total, rest = _two_sum(high, rest)
    rest = rest + last  # its sign is what counts, and rounding keeps it
    is_even = (total.view(np.int64) & 1) == 0
    to_odd = (rest != 0) & is_even
    toward = np.where(rest > 0, np.inf, -np.inf)
    total = np.where(to_odd, np.nextafter(total, toward), total)
    rounded: _Singles = total.astype(np.float32)
    return rounded


def _two_sum(a: _Floats, b: _Floats) -> tuple[_Floats, _Floats]:
    """Return ``a + b`` rounded, and what the rounding took away."""
    total: Any = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)

"""What rare events in float16 sums can change: values that a chip may give in place of the executor's.

On output channels that are multiples of 16 ("lane 0") one group of 32 products is now and then summed low by
2^(4 C - 44), before its rounding. C is the largest sum of coarse exponents of the group's products that are
not 0; a number's coarse exponent is max(e, 1) >> 2, e its biased exponent. Each core does so on inputs of its
own, by a rule that is not known; a 0 among the group's features prevents it, a -0 need not. [silicon:
github.com/gregordinary/rockchip-npu-notes, chips/rk3588.md at 224b1390, September 2026]

So the outputs of a file's last layer have a few values each. Behind an earlier layer that may have had an
event only a range is known. It is carried through the steps, each evaluated at both ends, since every stage
rises or falls throughout, and those of Abs and of PRelu with a slope below 0 also where they turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.arrays import Array, Float32Array
from virtual_npu.evidence import follows
from virtual_npu.execute.convolution import Convolution
from virtual_npu.execute.steps import Step
from virtual_npu.execute.sums.grouped_sums import GROUP
from virtual_npu.execute.virtual_npu import VirtualNpu
from virtual_npu.rknn_file.model_file import RknnFile

LANES: Final = 16
_NEVER: Final = -1000  # coarse exponent of what is no product
_UNIT: Final = -48  # exponent of the least product of two float16 numbers
_LEAST: Final = 2.0**-24  # float16 number: as little as -0, which unlike 0 prevents no event


@dataclass(frozen=True, slots=True)
class LaneEvents:
    """A run's outputs, and what events can make of them.

    Attributes
    ----------
    output : ndarray of float32, shape (points, channels)
        Without any event.
    carried : ndarray of float64, shape (points, channels)
        The most that events in earlier layers can move an output, one in its own sum included; 0 where no
        earlier layer can have had one.
    """

    output: Float32Array
    carried: npt.NDArray[np.float64]
    _last: tuple[Step, list[Array]] | None

    def values(self, point: int, channel: int) -> Float32Array:
        """Return what an output can be by an event in its own sum; the first value is without one."""
        here = self.output[point, channel : channel + 1]
        if self._last is None or channel % LANES:
            return here
        step, sources = self._last
        assert step.convolution is not None
        assert step.finish is not None
        rows = [rows[point : point + 1] for rows in sources]
        lowered = _lowered_sums(step.convolution, rows[0][0], channel)
        sums = np.repeat(step.convolution.apply(rows[0]), len(lowered), axis=0)
        sums[:, channel] = lowered
        second = np.repeat(rows[1], len(lowered), axis=0) if len(rows) > 1 else None
        return np.concatenate([here, step.finish(sums, second)[:, channel].astype(np.float32)])


@follows(evidence.LANE_ZERO)
class LaneZero:
    """Finds what events can change in the runs of a file.

    Parameters
    ----------
    file : RknnFile
    own_values : bool
        Whether a last layer's values with an event are given one by one, which takes its features to be a
        chip's to the bit. Otherwise they lie within `LaneEvents.carried`.

    Raises
    ------
    UnsupportedProgram
        The program does what is not modelled.
    """

    def __init__(self, file: RknnFile, *, own_values: bool = True) -> None:
        self._own_values = own_values
        self._npus = [VirtualNpu(file) for _ in range(3)]  # a run as it is, its lower and its upper end

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Logical shape of the input."""
        return self._npus[0].input_shape

    def run(self, x: npt.ArrayLike) -> LaneEvents:
        """Run the model on real values, shape `input_shape`.

        Raises
        ------
        InputError
            `x` has another shape or is not numeric.
        """
        runs = [npu.start(x) for npu in self._npus]
        last, last_index = None, self._npus[0].last_step
        with np.errstate(all="ignore"):
            for index, step in enumerate(self._npus[0].steps):
                sources = [run.sources() for run in runs]
                if self._own_values and index == last_index and _sums_floats(step):
                    last = (step, sources[0])
                for run, rows in zip(runs, _ends(step, sources, is_last=last is not None), strict=True):
                    run.put(rows)
            output, low, high = (run.output().astype(np.float64) for run in runs)
            carried = np.fmax(high - output, output - low)
        return LaneEvents(output.astype(np.float32), np.nan_to_num(carried, nan=0.0, posinf=np.inf), last)


def _ends(step: Step, sources: list[list[Array]], *, is_last: bool) -> list[Array]:
    """Return a step's rows without events, and the least and the largest with them."""
    here, low, high = sources
    convolution = step.convolution
    if not _sums_floats(step):
        firsts, *seconds = zip(low, high, strict=True)
        inputs = itertools.product(_with_turn(firsts, step.turn), *seconds)
        corners = [step.compute(_copies(each)) for each in inputs]
        return _with_range(step.compute(_copies(here)), corners)
    assert convolution is not None
    assert step.finish is not None
    sums = convolution.apply(here[0])
    reach = _reach(convolution, sources, is_last=is_last)
    ends = [(sums + sign * reach).astype(np.float32) for sign in (-1, 1)]
    operands = [rows[1] if len(rows) > 1 else None for rows in (low, high)]
    ends = _with_turn(ends, step.turn)
    corners = [step.finish(end.copy(), operand) for end in ends for operand in operands]
    return _with_range(step.finish(sums.copy(), here[1] if len(here) > 1 else None), corners)


def _with_turn(ends: Sequence[Array], turn: Array | None) -> list[Array]:
    """Return the ends of a range, and what of it is nearest to where results turn."""
    low, high = ends
    return [low, high] if turn is None else [low, high, np.clip(turn[: low.shape[1]], low, high)]


def _sums_floats(step: Step) -> bool:
    return step.convolution is not None and step.convolution.floats is not None


def _copies(rows: Sequence[Array]) -> list[Array]:
    return [each.copy() for each in rows]  # stages may overwrite what they are given


def _with_range(here: Array, corners: Sequence[Array]) -> list[Array]:
    low, high = here, here
    for corner in corners:
        low, high = np.fmin(low, corner), np.fmax(high, corner)
    return [here, low, high]


def _reach(convolution: Convolution, sources: list[list[Array]], *, is_last: bool) -> npt.NDArray[np.float64]:
    """Return how far sums can lie from those without events, shape (points, outputs).

    In the last layer an event in a sum itself counts only where the features may be others already.
    """
    here, low, high = (rows[0].astype(np.float64) for rows in sources)
    assert convolution.floats is not None
    weights = np.abs(convolution.floats.astype(np.float64))
    channels, kernels = weights.shape
    away = np.fmax(high - here, here - low)[:, :channels]
    reach = np.zeros((len(here), convolution.outputs))
    reach[:, :kernels] = away @ weights
    sizes = np.abs(here[:, :channels]) + away
    sizes[(sizes == 0) & np.signbit(here[:, :channels])] = _LEAST
    counts = slice(None) if not is_last else away.any(axis=1)
    events = _largest_events(sizes[counts], convolution.floats[:, ::LANES])
    reach[counts, :kernels:LANES] += events
    # Other groups' roundings, and those of adding them, may turn the other way.
    turned = np.zeros_like(reach)
    turned[:, :kernels] = sizes @ weights * (2 * (channels // GROUP + 2) * 2.0**-24)
    return np.where(reach > 0, reach * (1 + 2.0**-20) + turned, 0)


def coarse_exponents(values: Array) -> npt.NDArray[np.int64]:
    """Return max(e, 1) >> 2 of float16 numbers, e their biased exponents."""
    biased = values.astype(np.float16).view(np.uint16).astype(np.int64) >> 10 & 31
    exponents: npt.NDArray[np.int64] = np.maximum(biased, 1) >> 2
    return exponents


def _grouped(values: Array) -> Array:
    """Split the last axis into groups of 32, filled up with zeros."""
    missing = -values.shape[-1] % GROUP
    filled = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, missing)])
    return filled.reshape(*values.shape[:-1], filled.shape[-1] // GROUP, GROUP)


def _largest_events(sizes: Array, weights: Array) -> npt.NDArray[np.float64]:
    """Return the largest event of each sum, shape (points, kernels); 0 where none can be.

    `sizes` are the largest magnitudes that features can have.
    """
    groups, kernels = _grouped(sizes), _grouped(weights.T)
    can_have = (groups != 0).all(axis=2)
    coarse = coarse_exponents(kernels)
    exponents = np.full((len(sizes), len(kernels)), _NEVER)
    for group in range(groups.shape[1]):
        points = can_have[:, group]
        of_features = coarse_exponents(groups[points, group])
        of_weights = np.where(kernels[:, group] != 0, coarse[:, group], _NEVER)
        largest = (of_features[:, None] + of_weights).max(axis=2)
        exponents[points] = np.maximum(exponents[points], largest)
    return np.where(exponents < 0, 0.0, np.ldexp(1.0, 4 * exponents - 44))


def _lowered_sums(convolution: Convolution, features: Array, channel: int) -> Float32Array:
    """Return a sum with each of its groups that can have an event lowered by it."""
    assert convolution.floats is not None
    channels, kernels = convolution.floats.shape
    if channel >= kernels:
        return np.zeros(0, np.float32)
    groups, weights = _grouped(features[:channels]), _grouped(convolution.floats[:, channel])
    exact = [
        sum(a * b for a, b in zip(_multiples(group), _multiples(kernel), strict=True))
        for group, kernel in zip(groups, weights, strict=True)
    ]
    parts = np.array([_nearest_float32(each) for each in exact], np.float32)
    lowered = []
    for group, total in enumerate(exact):
        products = (weights[group] != 0) & (groups[group] != 0)
        if not ((groups[group] != 0) | np.signbit(groups[group])).all() or not products.any():
            continue
        coarse = coarse_exponents(groups[group]) + coarse_exponents(weights[group])
        event = 1 << 4 * int(coarse[products].max()) - 44 - _UNIT
        others = parts.copy()
        others[group] = _nearest_float32(total - event)
        lowered.append(np.add.accumulate(np.concatenate([np.zeros(1, np.float32), others]))[-1])
    return np.array(lowered, np.float32)


def _multiples(values: Array) -> list[int]:
    """Return finite float16 numbers as multiples of the least one, 2^-24; others as 0."""
    finite = np.where(np.isfinite(values), values, 0).astype(np.float64)
    return [int(value) for value in np.ldexp(finite, -_UNIT // 2)]


def _nearest_float32(units: int) -> float:
    """Round a multiple of the least product to float32, halves to even."""
    excess = max(abs(units).bit_length() - 24, 0)
    kept, rest = divmod(abs(units), 1 << excess)
    half = (1 << excess) / 2
    kept += rest > half or (rest == half and excess > 0 and kept & 1)
    return float(np.ldexp(float(kept if units > 0 else -kept), excess + _UNIT))

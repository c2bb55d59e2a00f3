"""Questions of rounding to float16."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from rknn_harness.probe.models import dense
from rknn_harness.probe.question import PredictionQuestion, Question
from scirknn.arrays import Array

ROWS: Final = 8
LARGEST_FLOAT16: Final = 65504.0  # the largest float16

Rounding = Callable[[Array], Array]


def halves_up(values: Array) -> Array:
    """Round to the nearest integer, halves up."""
    rounded: Array = np.floor(values + 0.5)
    return rounded


def halves_away(values: Array) -> Array:
    """Round to the nearest integer, halves away from zero."""
    rounded: Array = np.copysign(halves_up(abs(values)), values)
    return rounded


_ROUNDINGS: Final[Mapping[str, tuple[str, Rounding]]] = {
    "nearest_even": ("to the nearest, halves to even", np.rint),
    "nearest_away": ("to the nearest, halves away from zero", halves_away),
    "nearest_up": ("to the nearest, halves up", halves_up),
    "toward_zero": ("toward zero: low bits are cut off", np.trunc),
    "down": ("down", np.floor),
    "up": ("up", np.ceil),
}
_ROUNDING_ANSWERS: Final = {key: f"It rounds {text}." for key, (text, _) in _ROUNDINGS.items()}


def rounded(values: Array, rule: str, bits: int = 11) -> Array:
    """Round to `bits` significant ones, float64 in and out; with 11 to float16, its range aside."""
    values = np.asarray(values, np.float64)
    exponents = np.frexp(values)[1] - bits
    if bits == 11:
        exponents = np.maximum(exponents, -24)  # below 2**-14 float16 keeps multiples of 2**-24
    result: Array = np.ldexp(_ROUNDINGS[rule][1](np.ldexp(values, -exponents)), exponents)
    return result


def roundings(exact: Array) -> dict[str, Array]:
    """Return what each rounding makes of real numbers."""
    return {rule: rounded(exact, rule) for rule in _ROUNDINGS}


def _between() -> Array:
    """Numbers on, a quarter, half and three quarters of a step above float16 values, even and odd; (K, 2)."""
    pairs = []
    for base in (1.0, 100.0, -1.0, -100.0, 0.75):
        step = np.spacing(np.float16(abs(base))).astype(np.float64) * np.sign(base)
        pairs += [(base, step * part) for part in (0.25, 0.5, 0.75, 1.5, 2.5)]
        pairs.append((base, step * (0.5 + 2.0**-7)))
    return np.array(pairs)


def input_rounding() -> Question:
    """Ask how inputs are rounded."""
    rows = np.zeros((ROWS, 8), np.float32)
    values = _between().sum(axis=1)
    rows.flat[: len(values)] = values
    return PredictionQuestion(
        name="input_rounding",
        text="How are float32 inputs rounded to float16?",
        why="Every prediction begins with it; it is the vendor's library that does it, or the NPU.",
        answers=_ROUNDING_ANSWERS,
        assumed="nearest_even",
        decided_in="virtual_npu.execute.virtual_npu",
        model=dense(np.eye(8), samples=ROWS),
        rows=rows,
        predict=lambda _: roundings(rows),
    )


def output_rounding() -> Question:
    """Ask how results are rounded."""
    kernels = np.zeros((len(_between()), 8))
    kernels[:, :2] = _between()
    rows = np.zeros((ROWS, 8), np.float32)
    rows[:, :2] = np.ldexp(1.0, np.arange(ROWS) - 4)[:, None]
    return PredictionQuestion(
        name="output_rounding",
        text="How is a layer's float32 result rounded to float16?",
        why="It happens after every layer; cut off instead of rounded, errors add up to one side.",
        answers=_ROUNDING_ANSWERS,
        assumed="nearest_even",
        decided_in="virtual_npu.execute.half_precision",
        model=dense(kernels, samples=ROWS),
        rows=rows,
        predict=lambda _: roundings(rows.astype(np.float64) @ kernels.T),
    )

"""int8 and int16: rounding of inputs and outputs, saturation, and sums beyond 32 bits.

The toolkit takes a range of 255 steps from the calibration, and from each kernel's weights. All are chosen
here so that every scale is a power of two and every zero point 0: then a result can lie exactly between two
steps, and how it is rounded shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

import virtual_npu
from rknn_harness.probe.models import Calibration, Model, dense
from rknn_harness.probe.question import NOTES, PredictionQuestion, Question
from rknn_harness.probe.questions.float_rounding import Rounding, halves_away, halves_up
from scirknn.arrays import Array

_SAMPLES: Final = 256
_ROUNDINGS: Final[Mapping[str, tuple[str, Rounding]]] = {
    "half_up": ("to the nearest, halves up", halves_up),
    "half_even": ("to the nearest, halves to even", np.rint),
    "half_away": ("to the nearest, halves away from zero", halves_away),
    "toward_zero": ("toward zero", np.trunc),
    "down": ("down", np.floor),
}
_BEFORE: Final[Mapping[str, tuple[str, Rounding]]] = {
    "": ("", lambda v: v),
    "_after_half_even": (", having rounded the kernel's share halves to even", np.rint),
    "_after_half_up": (", having rounded the kernel's share halves up", halves_up),
    "_after_cut": (", having cut off the kernel's share", np.trunc),
}
_REQUANTIZATIONS: Final = (
    *((rule, "") for rule in _ROUNDINGS),
    *((rule, "_after_half_even") for rule in ("half_even", "half_away")),  # half_up: as after half_up
    *((rule, "_after_half_up") for rule in ("half_up", "half_even", "half_away")),
    *((rule, "_after_cut") for rule in ("half_up", "half_even")),  # others give what cutting once gives
)

_STEP: Final = 4.0  # of the output; an input's is 1, a weight's 1/128 or a part of it
_STORED: Final = np.array(
    [  # the last two inputs are always 0: their weights fill a kernel's range
        (64, 0, 0, 0, 0, 0, -128, 127),
        (127, 127, 127, 127, 4, 0, -128, 127),  # -512 to 508: fills the output's range
        (-64, 0, 0, 0, 0, 0, -128, 127),
        (73, 0, 0, 0, 0, 0, -128, 127),
        (19, 0, 0, 0, 0, 0, -128, 127),
        (37, 0, 0, 0, 0, 0, -128, 127),
        (127, 127, 127, 127, 4, 127, -128, 127),  # goes beyond it, but not in the calibration
        (127, 127, 127, 127, 4, 127, -128, 127),
    ]
)
_PARTS: Final = np.array([1, 1, 1, 2, 2, 4, 1, 2])  # of 1/128: the kernel's factor is 1 / part


def _model() -> Model:
    calibration = np.zeros((2, _SAMPLES, 8), np.float32)
    calibration[0, :, :6] = -128, -128, -128, -128, -128, 127
    calibration[1, :, :6] = 127, 127, 127, 127, 127, -128
    weights = _STORED / _PARTS[:, None] / 128
    return dense(weights, samples=_SAMPLES, calibration=Calibration("int8", calibration))


def _requantized(rows: Array, final: Rounding, before: Rounding, fit: Rounding) -> Array:
    shares = before(rows.astype(np.float64) @ _STORED.T / _PARTS)
    return _STEP * fit(final(shares / (128 * _STEP)))


def _saturated(values: Array) -> Array:
    return np.clip(values, -128, 127)


def _wrapped(values: Array) -> Array:
    return (values + 128) % 256 - 128


def _output_rounding() -> Question:
    rows = np.zeros((_SAMPLES, 8), np.float32)
    rows[:, 0] = np.arange(-128, 128)
    return PredictionQuestion(
        name="int8_output_rounding",
        text="How are a layer's sums rounded to int8?",
        why="A step in one output of two hundred depends on it; deep models feel it.",
        answers={
            rule + before: f"It rounds {_ROUNDINGS[rule][0]}{_BEFORE[before][0]}."
            for rule, before in _REQUANTIZATIONS
        },
        assumed="half_even_after_half_even",
        decided_in="virtual_npu.execute.integer_rounding",
        published=NOTES,
        model=_model(),
        rows=rows,
        predict=lambda _: {
            rule + before: _requantized(rows, _ROUNDINGS[rule][1], _BEFORE[before][1], _saturated)
            for rule, before in _REQUANTIZATIONS
        },
    )


def _output_range() -> Question:
    rows = np.zeros((_SAMPLES, 8), np.float32)
    rows[:, :6] = np.arange(-128, 128)[:, None]
    half_up, as_is = _ROUNDINGS["half_up"][1], _BEFORE[""][1]
    return PredictionQuestion(
        name="int8_output_range",
        text="What becomes of results beyond int8's range?",
        why="Rows outside the calibration's ranges meet it.",
        answers={"saturates": "They stay at -128 and 127.", "wraps": "They wrap around."},
        assumed="saturates",
        decided_in="virtual_npu.execute.data_processor",
        published=NOTES,
        model=_model(),
        rows=rows,
        predict=lambda _: {
            "saturates": _requantized(rows, half_up, as_is, _saturated),
            "wraps": _requantized(rows, half_up, as_is, _wrapped),
        },
        tolerance=_STEP,  # however it rounds
    )


def _doubled(samples: int) -> Model:
    """Twice a half: gives inputs of step 1 back, and has a range that a calibration fills."""
    calibration = np.zeros((2, samples, 8), np.float32)
    calibration[0, :, :2], calibration[1, :, :2] = -128, 127
    weights = np.tile(np.array([64, 64, 0, 0, 0, 0, -128, 127]) / 128, (8, 1))
    return dense(weights, samples=samples, calibration=Calibration("int8", calibration))


def _input_rounding() -> Question:
    rows = np.zeros((64, 8), np.float32)
    rows[:, :2] = (np.arange(64) * 1.25 - 40)[:, None]  # quarters, a fourth of them halves, odd and even
    return PredictionQuestion(
        name="int8_input_rounding",
        text="How are inputs rounded to int8?",
        why="Every int8 prediction begins with it; the vendor's library does it, or the NPU.",
        answers={key: f"It rounds {how}." for key, (how, _) in _ROUNDINGS.items()},
        assumed="half_even",
        decided_in="virtual_npu.execute.quantization",
        model=_doubled(64),
        rows=rows,
        predict=lambda _: {
            key: np.repeat(rule(rows[:, :1].astype(np.float64)), 8, axis=1)
            for key, (_, rule) in _ROUNDINGS.items()
        },
    )


def _input_range() -> Question:
    rows = np.zeros((64, 8), np.float32)
    values = np.concatenate([[np.nan, np.inf, -np.inf, 1e9, -1e9, 3e38, 200.0, -200.0], np.arange(56) - 28.0])
    rows[:, :2] = values[:, None]
    nan = {"zero": 0.0, "lowest": -128.0, "highest": 127.0}

    def predict(_: bytes) -> dict[str, Array]:
        found = {}
        for name, value in nan.items():
            known = np.where(np.isnan(values), value, values)
            found[f"nan_{name}"] = _saturated(known)
            with np.errstate(invalid="ignore"):
                wrapped = np.where(np.isfinite(known), _wrapped(known), 0)
            found[f"nan_{name}_wraps"] = wrapped
        return {key: np.repeat(value[:, None], 8, axis=1) for key, value in found.items()}

    return PredictionQuestion(
        name="int8_input_range",
        text="What become of inputs that int8 cannot hold: far ones, infinities, NaN?",
        why="An int8 model gives a plausible row for NaN, so the runtime must refuse it first.",
        answers={
            f"nan_{name}{way}": f"NaN is {value:g}, others {text}."
            for way, text in (("", "stay at -128 and 127"), ("_wraps", "wrap around"))
            for name, value in nan.items()
        },
        assumed="nan_zero",
        decided_in="virtual_npu.execute.quantization",
        model=_doubled(64),
        rows=rows,
        predict=predict,
    )


_WIDTHS: Final = (32, 34, 36, 38)


def _int16_sums() -> Question:
    channels = 1024
    kernels = np.zeros((8, channels))
    for k in range(8):
        kernels[k, : 8 << k] = 32767 / 32768
    calibration = np.stack([np.full((_N_INT16, channels), v, np.float32) for v in (-1.0, 1.0)])
    rows = np.repeat(np.ldexp(1.0, -np.arange(_N_INT16))[:, None], channels, axis=1).astype(np.float32)
    rows[1::2] *= -0.9

    def predict(file: bytes) -> dict[str, Array]:
        unit = 32767 / (virtual_npu.read(file).inputs[0].scale or 1.0)  # of a sum, for a product of 1
        sums = rows.astype(np.float64) @ kernels.T * unit
        found = {"wide": sums}
        for bits in _WIDTHS:
            half = 2.0 ** (bits - 1)
            found[f"saturates_{bits}"] = np.clip(sums, -half, half - 1)
            found[f"wraps_{bits}"] = (sums + half) % (2 * half) - half
        return {key: value / unit for key, value in found.items()}

    return PredictionQuestion(
        name="int16_sums",
        text="How wide are sums of int16 products?",
        why="16 bits times 16 leave one of 32 for their sum; int16 models of many inputs came out wrong.",
        answers={
            "wide": "Wider than 39 bits.",
            **{f"saturates_{bits}": f"They stay at the ends of {bits} bits." for bits in _WIDTHS},
            **{f"wraps_{bits}": f"They wrap around at {bits} bits." for bits in _WIDTHS},
        },
        assumed="saturates_32",
        decided_in="virtual_npu.execute.convolution",
        published=NOTES,
        model=dense(kernels, samples=_N_INT16, calibration=Calibration("int16", calibration)),
        rows=rows,
        predict=predict,
        # The output's step is 1/16; a product of 1 is 2^29, and what is wrapped is off by its rounding.
        tolerance=0.5,
    )


_N_INT16: Final = 16

INTEGER_QUESTIONS: Final[tuple[Question, ...]] = (
    _output_rounding(),
    _output_range(),
    _input_rounding(),
    _input_range(),
    _int16_sums(),
)

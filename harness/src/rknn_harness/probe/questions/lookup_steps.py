"""float16 lookups in steps finer than a table's: is the place rounded, does the offset count, what is 0.

Of a softmax no exponential comes out by itself; those of 512 classes are seen in their sum.

The candidates are those of an audit of the vendor's tables against published spikes (rockchip-npu-notes,
encodings/dpu-lut-activation.md at 224b1390). One law explains them all: a result of exactly 0 comes out as
2^(17 - MINUS_EXP), where place and result are rounded to integers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rknn_harness.probe.models import dense
from rknn_harness.probe.question import PredictionQuestion, Question
from rknn_harness.probe.questions.lookup_tables import Table, half_of_steps, table
from scirknn.arrays import Array

_CHANNELS: Final = 16
_OF_ZERO: Final = 4.0  # 2^(17 - MINUS_EXP) of the vendor's tables
_RULES: Final = {
    "as_it_is": "Neither place nor result is rounded, and the offset is nothing.",
    "offset": "Neither is rounded, and an offset of 1 is added.",
    "rounded": "Place and result are rounded to integers, and the offset is nothing.",
    "rounded_offset": "Place and result are rounded to integers, and an offset of 1 is added.",
    "offset_zero": "Neither is rounded, an offset of 1 is added, and a result cut off to 0 comes out as 4.",
    "rounded_zero": "Both are rounded, the offset is nothing, and a result of 0 comes out as 4.",
}


def _rows() -> Array:
    """640 numbers around 0, 256 over the table's first steps, 128 in its tails and beyond."""
    near, steps = np.linspace(-1e-4, 1e-4, 640), np.linspace(-0.02, 0.02, 256)
    tails = np.concatenate([np.linspace(-16, -2.9, 64), np.linspace(2.9, 16, 64)])
    rows = np.concatenate([near, steps, tails]).astype(np.float16).astype(np.float32)
    return rows.reshape(-1, _CHANNELS)


def _results(file_table: Table, place: Array) -> dict[str, Array]:
    """Return what each rule makes of places between -16384 and 16384, in units of 2^-15."""

    def looked_up(place: Array) -> Array:
        at = np.clip((place + 16384) / 32, 0, 1024)
        segment = np.minimum(np.floor(at), 1023).astype(int)
        rise = np.diff(file_table.entries)[segment]
        found: Array = file_table.entries[segment] + rise * (at - segment)
        return found

    exact, rounded = looked_up(place), np.rint(looked_up(np.rint(place)))
    return {
        "as_it_is": exact,
        "offset": exact + 1,
        "rounded": rounded,
        "rounded_offset": rounded + 1,
        "offset_zero": np.where(np.abs(exact + 1) < 1, _OF_ZERO * 2**15, exact + 1),
        "rounded_zero": np.where(rounded == 0, _OF_ZERO * 2**15, rounded),
    }


def _predictions(file_table: Table, rows: Array) -> dict[str, Array]:
    results = _results(file_table, rows.astype(np.float64) * file_table.scale)
    return {key: half_of_steps(value) for key, value in results.items()}


def _question(operator: str, *rules: str) -> Question:
    rows = _rows()
    return PredictionQuestion(
        name=f"lookup_fine_{operator.lower()}",
        text=f"What does {operator} give in steps finer than its table's, around 0 and in its tails?",
        why="Rounding costs every unit 9e-5, an offset 3e-5; and a result of 0 might come out as 4.0.",
        answers={rule: _RULES[rule] for rule in rules},
        assumed="rounded_offset",
        decided_in="virtual_npu.execute.lookup_table",
        blind_spot="It cannot show which of the two tables was read on their seam, where both hold the same, "
        "nor what a result of 0 comes out as where an offset keeps every result from 0.",
        model=dense(np.eye(_CHANNELS), samples=len(rows), activation=operator),
        rows=rows,
        predict=lambda file: {
            key: value for key, value in _predictions(table(file, operator), rows).items() if key in rules
        },
    )


_CLASSES: Final = 512
_SOFTMAX_START: Final = 16380.0  # where the vendor's softmax looks up 0, the largest of its inputs
_ROUNDINGS: Final = 3 * 2.0**-11  # to float16: of the sum, of the share, perhaps of an inverse


def _softmax_predictions(file_table: Table, distances: Array) -> dict[str, Array]:
    """Return a softmax of a first class and of others that all lie a distance below it, by rule."""
    first = _results(file_table, np.array([_SOFTMAX_START]))
    others = _results(file_table, _SOFTMAX_START - distances.astype(np.float64) * file_table.scale)
    predictions = {}
    for rule, result in others.items():
        high, low = half_of_steps(first[rule]), half_of_steps(result)
        exponentials = np.concatenate([np.full_like(low, high.item()), *[low] * (_CLASSES - 1)], axis=1)
        predictions[rule] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return predictions


def _softmax_question() -> Question:
    """Ask how a softmax looks its exponentials up: a sum over many classes shows less than a unit of each."""
    distances = np.linspace(5, 9.9, 128).astype(np.float16).astype(np.float32)[:, None]
    kernels = np.zeros((_CLASSES, 8))
    kernels[1:, 0] = -1
    rules = ("as_it_is", "offset", "rounded", "rounded_offset")
    return PredictionQuestion(
        name="lookup_fine_softmax",
        text=f"How does a softmax over {_CLASSES} classes look up its exponentials?",
        why="An offset of 2^-15 counts in each of them: over 525 classes it moves the shares by 0.0063.",
        answers={rule: _RULES[rule] for rule in rules},
        assumed="rounded_offset",
        decided_in="virtual_npu.execute.lookup_table",
        blind_spot="It cannot show what a result of 0 comes out as, which the tables of toolkits 2.2.0 and "
        "2.3.0 have for classes 10 below the largest.",
        model=dense(kernels, samples=len(distances), activation="Softmax"),
        rows=np.pad(distances, ((0, 0), (0, 7))),
        predict=lambda file: {
            key: value
            for key, value in _softmax_predictions(table(file, "Softmax"), distances).items()
            if key in rules
        },
        tolerance=_ROUNDINGS,
    )


STEP_QUESTIONS: Final[tuple[Question, ...]] = (
    _question("Tanh", *_RULES),
    # No result of a logistic table is 0.
    _question("Sigmoid", "as_it_is", "offset", "rounded", "rounded_offset"),
    _softmax_question(),
)

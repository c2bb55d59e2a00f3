"""float16 lookups in steps finer than a table's: is the place rounded, does the offset count, what is 0.

The candidates are those of an audit of the vendor's tables against published spikes (rockchip-npu-notes,
encodings/dpu-lut-activation.md at 224b1390). One law explains them all: a result of exactly 0 comes out as
2^(17 - MINUS_EXP), where place and result are rounded to integers.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from rknn_harness.probe.models import dense
from rknn_harness.probe.question import PredictionQuestion, Question
from rknn_harness.probe.questions.lookup_tables import Table, table
from scirknn.arrays import Array

__all__ = ["STEP_QUESTIONS"]

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


def _predictions(file_table: Table, rows: Array) -> dict[str, Array]:
    def looked_up(place: Array) -> Array:
        at = np.clip((place + 16384) / 32, 0, 1024)
        segment = np.minimum(np.floor(at), 1023).astype(int)
        rise = np.diff(file_table.entries)[segment]
        found: Array = file_table.entries[segment] + rise * (at - segment)
        return found

    place = rows.astype(np.float64) * file_table.scale
    exact, rounded = looked_up(place), np.rint(looked_up(np.rint(place)))
    results = {
        "as_it_is": exact,
        "offset": exact + 1,
        "rounded": rounded,
        "rounded_offset": rounded + 1,
        "offset_zero": np.where(np.abs(exact + 1) < 1, _OF_ZERO * 2**15, exact + 1),
        "rounded_zero": np.where(rounded == 0, _OF_ZERO * 2**15, rounded),
    }
    return {key: (value * 2.0**-15).astype(np.float16).astype(np.float64) for key, value in results.items()}


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


STEP_QUESTIONS: Final[tuple[Question, ...]] = (
    _question("Tanh", *_RULES),
    # No result of a logistic table is 0.
    _question("Sigmoid", "as_it_is", "offset", "rounded", "rounded_offset"),
)

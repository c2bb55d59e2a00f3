"""float16: rounding, products and sums, the ends of its range, and what is no number."""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np

from rknn_harness.probe.models import dense
from rknn_harness.probe.question import NOTES, PredictionQuestion, Question
from rknn_harness.probe.questions.float_rounding import (
    LARGEST_FLOAT16,
    ROWS,
    input_rounding,
    output_rounding,
    rounded,
)
from rknn_harness.probe.questions.float_sums import accumulator_bits, bias_order, product_precision, sum_order
from scirknn.arrays import Array

_PLACES_OF_SUBNORMALS: Final = ("input", "weight", "output")


def _subnormals() -> Question:
    # (input, weight): each of the three subnormal by itself; a number to be rounded among them.
    pairs = np.array(
        [
            (2.0**-20, 2.0**10), (1.5 * 2.0**-16, 2.0**8), (2.0**10, 2.0**-20), (2.0**8, 1.5 * 2.0**-16),
            (2.0**-10, 2.0**-10), (2.0**-12, 1.5 * 2.0**-13), (2.0**-14, 1.0), (2.0**-12, 1.25 * 2.0**-6),
        ]
    )  # fmt: skip
    rows, kernels = np.diag(pairs[:, 0]).astype(np.float32), np.diag(pairs[:, 1])

    def flushed(values: Array, flush: bool) -> Array:
        return np.where(abs(values) < 2.0**-14, 0, values) if flush else values

    def name(places: tuple[str, ...]) -> str:
        return "kept" if not places else "flushed_" + "_".join(places)

    every = [places for count in range(4) for places in combinations(_PLACES_OF_SUBNORMALS, count)]

    def predict(_: bytes) -> dict[str, Array]:
        found = {}
        for places in every:
            x, w = flushed(rows, "input" in places), flushed(kernels, "weight" in places)
            y = rounded(x.astype(np.float64) @ w.T, "nearest_even")
            found[name(places)] = flushed(y, "output" in places)
        return found

    return PredictionQuestion(
        name="subnormals",
        text="Are numbers below 2^-14 kept, or taken for 0?",
        why="Small weights and small features vanish silently where they are not.",
        answers={
            name(places): f"Taken for 0: {', '.join(places)}." if places else "All are kept."
            for places in every
        },
        assumed="kept",
        decided_in="virtual_npu.execute.half_precision",
        published=f"{NOTES}, of inputs and weights",
        model=dense(kernels, samples=len(rows)),
        rows=rows,
        predict=predict,
    )


def _overflow() -> Question:
    added = np.array([0, 8, 15, 15.9375, 16, 24, 32, 4096.0])
    kernels, rows = np.zeros((16, 8)), np.zeros((ROWS, 8), np.float32)
    kernels[:, 0] = np.repeat([1.0, -1.0], 8)
    kernels[:, 1] = np.concatenate([added, -added]) / 16
    rows[:, 0], rows[:, 1] = LARGEST_FLOAT16, 16.0
    rows[1:, 0] = [LARGEST_FLOAT16 / 2, LARGEST_FLOAT16, 1.0, 0.0, LARGEST_FLOAT16 - 32, 32768, 2.0]

    def predict(_: bytes) -> dict[str, Array]:
        exact = rows.astype(np.float64) @ kernels.T
        halves, size = rounded(exact, "nearest_even"), abs(exact)
        return {
            "infinity_nearest": np.where(size >= 65520, np.copysign(np.inf, exact), halves),
            "infinity_above": np.where(size > LARGEST_FLOAT16, np.copysign(np.inf, exact), halves),
            "saturates": np.clip(halves, -LARGEST_FLOAT16, LARGEST_FLOAT16),
            "wider": halves,
        }

    return PredictionQuestion(
        name="overflow",
        text="What becomes of results beyond 65504?",
        why="An infinity shows; a saturated value passes for a right one.",
        answers={
            "infinity_nearest": "Infinity from 65520 on, as IEEE has it.",
            "infinity_above": "Infinity beyond 65504.",
            "saturates": "They stay at 65504.",
            "wider": "They go on: the largest exponent is one like others.",
        },
        assumed="infinity_nearest",
        decided_in="virtual_npu.execute.half_precision",
        model=dense(kernels, samples=ROWS),
        rows=rows,
        predict=predict,
    )


def _ieee(rows: Array, kernels: Array, *, skip: bool) -> Array:
    """Multiply with NaN and infinities; with `skip`, weights of 0 give 0 whatever they meet."""
    with np.errstate(invalid="ignore"):
        products = rows[:, None].astype(np.float64) * kernels[None]
        if skip:
            products = np.where(kernels[None] == 0, 0, products)
        result: Array = products.sum(axis=2)
    return result


def _not_a_number() -> Question:
    kernels = np.vstack([np.eye(8), np.ones((1, 8)), np.eye(8)[::-1][:7] * 0.5])
    rows = np.arange(1, 65, dtype=np.float32).reshape(ROWS, 8)
    rows[1, 0] = rows[4, 5] = np.nan

    def instead(value: float) -> Array:
        return _ieee(np.where(np.isnan(rows), value, rows), kernels, skip=False)

    exponent = instead(1.5 * 2.0**16)  # what the bits would be, were the largest exponent one like others
    return PredictionQuestion(
        name="nan_input",
        text="What does a NaN among a row's inputs give?",
        why="A missing feature must not pass for a prediction; nor spoil other rows.",
        answers={
            "whole_row": "NaN in every output of its row, and in no other row.",
            "its_outputs": "NaN in the outputs whose weight for it is not 0.",
            "zero": "It is taken for 0.",
            "number_infinity": "It is taken for a number beyond the range, which becomes infinity.",
            "number_saturated": "It is taken for a number beyond the range, which becomes 65504.",
        },
        assumed="whole_row",
        decided_in="virtual_npu.execute.sums.summation",
        model=dense(kernels, samples=ROWS),
        rows=rows,
        predict=lambda _: {
            "whole_row": _ieee(rows, kernels, skip=False),
            "its_outputs": _ieee(rows, kernels, skip=True),
            "zero": instead(0.0),
            "number_infinity": np.where(exponent >= 65520, np.inf, rounded(exponent, "nearest_even")),
            "number_saturated": np.minimum(rounded(exponent, "nearest_even"), LARGEST_FLOAT16),
        },
    )


def _infinite() -> Question:
    kernels = np.zeros((8, 8))
    kernels[:4, :4] = [(1, 0, 0, 0), (0, 1, 0, 0), (1, 1, 0, 0), (0, 0, 1, 0)]
    kernels[4:, 2:4] = [(-1, 0), (0.5, 1), (0, 1), (0, 0.5)]
    kernels[7, 0] = 0.5
    rows = np.arange(1, 65, dtype=np.float32).reshape(ROWS, 8)
    rows[2, 0], rows[3, 1], rows[5, :2] = np.inf, -np.inf, (np.inf, -np.inf)

    def capped(value: float, limit: float) -> Array:
        exact = _ieee(np.clip(rows, -value, value), kernels, skip=False)
        halves = rounded(exact, "nearest_even")
        return np.where(abs(exact) >= 65520, np.copysign(limit, exact), halves)

    return PredictionQuestion(
        name="infinite_input",
        text="What does an infinity among a row's inputs give?",
        why="float32 features beyond 65504 become one on their way in.",
        answers={
            "ieee": "What IEEE says: NaN where it meets a weight of 0 or its opposite, else infinity.",
            "skips_zero": "The same, but a weight of 0 gives 0.",
            "saturates": "It is taken for 65504.",
            "number_infinity": "It is taken for 65536, and results beyond the range are infinite.",
            "number_saturated": "It is taken for 65536, and results beyond the range are 65504.",
        },
        assumed="ieee",
        decided_in="virtual_npu.execute.sums.summation",
        model=dense(kernels, samples=ROWS),
        rows=rows,
        predict=lambda _: {
            "ieee": _ieee(rows, kernels, skip=False),
            "skips_zero": _ieee(rows, kernels, skip=True),
            "saturates": capped(LARGEST_FLOAT16, LARGEST_FLOAT16),
            "number_infinity": capped(65536.0, np.inf),
            "number_saturated": capped(65536.0, LARGEST_FLOAT16),
        },
    )


def _relu_of_nan() -> Question:
    rows = np.linspace(-4, 3.875, 64, dtype=np.float32).reshape(ROWS, 8)
    rows[1, 0] = rows[6, 7] = np.nan
    kernels = np.vstack([np.ones((4, 8)), -np.ones((4, 8))])

    def predict(_: bytes) -> dict[str, Array]:
        sums = _ieee(rows, kernels, skip=False)
        usual = rounded(np.maximum(sums, 0), "nearest_even")
        return {
            key: np.where(np.isnan(sums), value, usual)
            for key, value in (
                ("nan", np.nan),
                ("zero", 0.0),
                ("infinity", np.inf),
                ("largest", LARGEST_FLOAT16),
            )
        }

    return PredictionQuestion(
        name="relu_of_nan",
        text="What does ReLU make of NaN?",
        why="Where it gives 0, a layer hides that its input was no number.",
        answers={
            "nan": "NaN.", "zero": "0.", "infinity": "Infinity.", "largest": "65504."
        },
        assumed="nan",
        decided_in="virtual_npu.execute.data_processor",
        model=dense(kernels, samples=ROWS, activation="Relu"),
        rows=rows,
        predict=predict,
    )  # fmt: skip


FLOAT_QUESTIONS: Final[tuple[Question, ...]] = (
    input_rounding(),
    output_rounding(),
    product_precision(),
    accumulator_bits(),
    sum_order(),
    bias_order(),
    _subnormals(),
    _overflow(),
    _not_a_number(),
    _infinite(),
    _relu_of_nan(),
)

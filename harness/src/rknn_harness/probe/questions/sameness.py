"""Whether the same row gives the same bits: again, in another place of a run, on other cores."""

from __future__ import annotations

from typing import Final

import numpy as np

from rknn_harness.probe.bench import Bench, try_each
from rknn_harness.probe.models import Model, dense
from rknn_harness.probe.question import FAILED, Answer, FunctionQuestion, Question
from scirknn.arrays import Array

_SAMPLES: Final = 64
_CORES: Final = ("0", "1", "2", "0_1", "0_1_2")
_REPEATS: Final = 20
_ANSWERS: Final = {"same": "Yes, to the bit.", "differ": "No; the figures say how many values differ."}


def _model() -> tuple[Model, Array]:
    rng = np.random.default_rng(4)
    weights = [rng.normal(size=shape) / np.sqrt(shape[1]) for shape in ((96, 64), (40, 96), (24, 40))]
    rows = rng.normal(size=(_SAMPLES, 64)).astype(np.float32)
    return dense(*weights, samples=_SAMPLES, activation="Tanh"), rows


def _count_differing(a: Array, b: Array) -> int:
    return int((a.view(np.uint32) != b.view(np.uint32)).sum())


def _repeat_rows(bench: Bench) -> Answer:
    """Run the same rows repeatedly."""
    model, rows = _model()
    first = bench.run(model, rows)
    counts = [_count_differing(first, bench.run(model, rows)) for _ in range(_REPEATS)]
    key = "differ" if any(counts) else "same"
    return Answer.of_run(key, {"values": first.size, "differing": counts}, rows, first)


def _move_rows(bench: Bench) -> Answer:
    """Run the rows in reverse, and each among zeros."""
    model, rows = _model()
    first = bench.run(model, rows)
    moved = bench.run(model, rows[::-1])[::-1]
    odd = np.arange(_SAMPLES)[:, None] % 2
    among_zeros = np.where(odd, bench.run(model, rows * odd), bench.run(model, rows * (1 - odd)))
    counts = {
        "reversed": _count_differing(first, moved),
        "among zeros": _count_differing(first, among_zeros.astype(np.float32)),
    }
    key = "differ" if any(counts.values()) else "same"
    return Answer.of_run(key, {"values": first.size, "differing": counts}, rows, first)


def _try_cores(bench: Bench) -> Answer:
    """Run the rows on each core and mask."""
    model, rows = _model()
    first = bench.run(model, rows)
    counts, refused = try_each(_CORES, lambda core: _count_differing(first, bench.run(model, rows, core)))
    key = FAILED if not counts else "differ" if any(counts.values()) else "some" if refused else "same"
    figures = {"values": first.size, "differing_from_auto": counts, "refused": refused}
    return Answer.of_run(key, figures, rows, first)


SAMENESS_QUESTIONS: Final[tuple[Question, ...]] = (
    FunctionQuestion(
        run=_repeat_rows,
        name="repeats",
        text=f"Do the same rows give the same bits {_REPEATS} times over?",
        why="Otherwise no two boards, and no two nights, can be compared.",
        answers=_ANSWERS,
        assumed="same",
        decided_in="virtual_npu.execute.virtual_npu",
    ),
    FunctionQuestion(
        run=_move_rows,
        name="row_position",
        text="Does a row give the same bits wherever it stands in a run, whatever stands beside it?",
        why="Rows of several callers may share a run.",
        answers=_ANSWERS,
        assumed="same",
        decided_in="virtual_npu.execute.sums.summation",
    ),
    FunctionQuestion(
        run=_try_cores,
        name="cores",
        text="Do all cores and core masks give the same bits?",
        why="A pool spreads rows over cores; a mask of several takes another program of the file.",
        answers={**_ANSWERS, "some": "Those that run do; the figures say which are refused."},
        assumed="same",
        decided_in="virtual_npu.execute.virtual_npu",
    ),
)

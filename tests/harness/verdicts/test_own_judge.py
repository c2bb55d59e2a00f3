"""Recorded predictions and true labels: what is counted, on which rows, and which stage fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rknn_harness.records.case import Score
from rknn_harness.records.outcomes import Cause, Outcome, Stage
from rknn_harness.verdicts.judge import Verdict
from rknn_harness.verdicts.own_judge import few_rows, score_of, with_expected
from rknn_harness.verdicts.reference import Answer
from scirknn.arrays import Array

PASSED = Verdict(Outcome.PASS, None, "")
ROWS = np.arange(8, 40)


def labels(wrong: int = 0, *, count: int = 200, ties: int = 0) -> Answer:
    """Return an answer whose right labels are 1; the first ones are wrong, and so are ties behind them."""
    predictions = np.ones(count, int)
    predictions[: wrong + ties] = 0
    chances = np.tile([0.1, 0.9], (count, 1))
    chances[wrong : wrong + ties] = 0.501, 0.499
    return Answer(np.zeros((count, 2)), predictions, chances)


def compared(here: Answer, board: Answer, expected: Array, task: str = "classifier") -> Verdict:
    bundle: Any = SimpleNamespace(precision="int8", task=task)
    return with_expected(PASSED, expected, bundle, {Stage.VIRTUAL_NPU: here, Stage.BOARD: board})


@pytest.mark.parametrize(
    ("here", "board", "stage"),
    [
        (labels(4), labels(4), None),  # 98 % are promised
        (labels(5), labels(5), Stage.VIRTUAL_NPU),
        (labels(0), labels(5), Stage.BOARD),
        (labels(0, ties=9), labels(0, ties=9), None),
        (labels(1, count=20), labels(1, count=20), None),
        (labels(2, count=20), labels(2, count=20), Stage.VIRTUAL_NPU),
    ],
)
def test_labels_away_from_ties_are_the_recorded_ones_at_both_stages(
    here: Answer, board: Answer, stage: Stage | None
) -> None:
    verdict = compared(here, board, np.ones(len(here.predictions), int))
    assert verdict.stage is stage
    if stage is None:
        assert verdict is PASSED
    else:
        assert (verdict.outcome, verdict.cause) == (Outcome.MISMATCH, Cause.RECORDED)
        assert "labels away from ties are not the recorded ones" in verdict.reason


def test_the_worst_output_is_compared_with_recorded_values() -> None:
    expected = np.random.default_rng(0).normal(size=(50, 2))
    half_right = np.column_stack([expected[:, 0], expected[::-1, 1]])
    right, wrong = (Answer(each, each, None) for each in (expected, half_right))
    assert compared(right, right, expected, "regressor") is PASSED
    verdict = compared(right, wrong, expected, "regressor")
    assert verdict.stage is Stage.BOARD
    assert verdict.reason.startswith("R2 against the recorded predictions is -")
    for error, stage in ((0.029, None), (0.031, Stage.VIRTUAL_NPU)):  # 0.97 is promised
        values = expected.copy()
        values[::2, 0] += np.sqrt(2 * error * expected[:, 0].var())
        near = Answer(values, values, None)
        assert compared(near, near, expected, "regressor").stage is stage


def test_a_score_counts_the_rows_that_the_file_was_not_built_from() -> None:
    y = np.arange(50) % 2
    board = np.where(np.isin(np.arange(50), ROWS), y, 1 - y)
    assert score_of("classifier", y, board, 1 - board, ROWS) == Score("accuracy", 32, 1.0, 0.0)
    assert score_of("classifier", y, board, None, ROWS[1:]) == Score("accuracy", 31, None, None)
    assert score_of("classifier", None, board, None, ROWS) is None


def test_a_score_is_of_complete_rows_or_r2() -> None:
    y = np.zeros((50, 2), int)
    board = y.copy()
    board[ROWS[:8], 0] = 1
    assert score_of("multilabel", y, board, y, ROWS) == Score("accuracy", 32, 0.75, 1.0)
    values = np.arange(50.0)
    assert score_of("transformer", values, values, None, ROWS) == Score("R2", 32, 1.0, None)


def test_too_few_rows_are_said() -> None:
    assert few_rows(31).startswith("Not checked on rows of its own: 31 rows were not used")
    assert few_rows(32) == ""

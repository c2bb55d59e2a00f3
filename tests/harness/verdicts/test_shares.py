"""Shares of labels and R2 are of rows of their own, off ties, and of what varies."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.verdicts.limits import Limits
from rknn_harness.verdicts.reference import Answer, Reference, answer_from_output
from tests.harness.samples import truth_of
from tests.harness.verdicts.test_judge import BINARY, MULTILABEL, REGRESSOR, board_says


def shares(count: int, wrong: int, *, ties: int = 0) -> tuple[Reference, Answer]:
    """Return a reference, and an answer with the first labels wrong, some of them at ties.

    Rows have the margin 0.1, ties 0.002.
    """
    truth = truth_of(attrs.evolve(BINARY, rows=count))
    chances = np.tile([0.45, 0.55], (count, 1))
    chances[wrong - ties : wrong] = 0.499, 0.501
    predictions = np.ones(count, bool)
    known = attrs.evolve(truth.answer, predictions=predictions, probabilities=chances)
    answer = attrs.evolve(known, predictions=np.arange(count) >= wrong)
    return attrs.evolve(truth, answer=known), answer


@pytest.mark.parametrize(
    ("wrong", "ties", "counted", "agreement", "outcome"),
    [
        (1, 0, 100, 0.99, Outcome.PASS),
        (2, 0, 100, 0.99, Outcome.MISMATCH),
        (2, 1, 100, 0.99, Outcome.PASS),
        (2, 0, 98, 0.99, Outcome.PASS),  # both are rows that the file was built from
        (9, 0, 20, 0.99, Outcome.PASS),  # too few to count
    ],
)
def test_a_share_is_of_rows_of_its_own_and_ties_count_as_equal(
    wrong: int, ties: int, counted: int, agreement: float, outcome: Outcome
) -> None:
    truth, answer = shares(100, wrong, ties=ties)
    limits = Limits("made up", agreement=agreement, counted=np.arange(100) >= 100 - counted)
    verdict = board_says(truth, answer, limits)
    assert verdict.outcome is outcome
    share = verdict.metrics[Stage.BOARD].agreement
    assert share == (1 - wrong / 100 if counted == 100 else 1.0 if counted > 32 else None)


@pytest.mark.parametrize(("margin", "outcome"), [(0.09, Outcome.MISMATCH), (0.11, Outcome.PASS)])
def test_a_label_counts_where_its_margin_is_larger_than_the_limit(margin: float, outcome: Outcome) -> None:
    truth, answer = shares(40, 1)
    assert board_says(truth, answer, Limits("made up", margin=margin)).outcome is outcome


def test_of_several_labels_the_one_nearest_to_a_tie_decides_whether_a_row_counts() -> None:
    truth = truth_of(MULTILABEL)
    chances = np.tile([0.9, 0.9, 0.9, 0.501], (64, 1))
    known = attrs.evolve(truth.answer, predictions=np.ones((64, 4), int), probabilities=chances)
    moved = known.predictions.copy()
    moved[5, 3] = 0
    truth = attrs.evolve(truth, answer=known)
    for margin, outcome in ((0.01, Outcome.PASS), (0.001, Outcome.MISMATCH)):
        answer = attrs.evolve(known, predictions=moved)
        assert board_says(truth, answer, Limits("made up", margin=margin)).outcome is outcome


def test_r2_is_of_rows_of_its_own_and_of_columns_that_vary() -> None:
    truth = truth_of(attrs.evolve(REGRESSOR, rows=100))
    known = truth.answer.predictions.copy()
    known[:, 2] = 5.0 + 0.01 * known[:, 2] / np.abs(known[:, 2]).max()  # by 0.2 % of its size
    truth = attrs.evolve(truth, answer=attrs.evolve(truth.answer, predictions=known))
    moved = known.copy()
    moved[:, 2] = 5.0
    spread = known[50:, 0].std()
    moved[50:, 0] += np.sqrt(0.03) * spread
    moved[:50] = 0.0
    answer = attrs.evolve(truth.answer, predictions=moved)
    for r2, outcome in ((0.9699, Outcome.PASS), (0.9701, Outcome.MISMATCH)):
        verdict = board_says(truth, answer, Limits("made up", r2=r2, counted=np.arange(100) >= 50))
        assert verdict.outcome is outcome
        assert verdict.metrics[Stage.BOARD].r2 == pytest.approx(0.97)


def test_r2_is_of_the_worst_column_and_against_scikit_learn() -> None:
    truth = truth_of(attrs.evolve(REGRESSOR, rows=50))
    output = truth.answer.output.copy()
    output[:, 1] = output[:, 1].mean()
    verdict = board_says(truth, answer_from_output(truth, output), Limits("agreement", r2=0.97))
    assert verdict.outcome is Outcome.MISMATCH
    assert verdict.metrics[Stage.BOARD].r2 == pytest.approx(0, abs=1e-12)


def test_no_r2_of_one_row() -> None:
    truth = truth_of(attrs.evolve(REGRESSOR, rows=1))
    verdict = board_says(truth, truth.answer, Limits("agreement", r2=0.97))
    assert verdict.outcome is Outcome.PASS
    assert verdict.metrics[Stage.BOARD].r2 is None

"""What a user's own model is compared with beside scikit-learn: recorded predictions, and the truth."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
from sklearn.metrics import r2_score

from rknn_harness.records.case import Score
from rknn_harness.records.outcomes import Cause, Outcome, Stage
from rknn_harness.verdicts.judge import Verdict
from rknn_harness.verdicts.reference import Answer
from scirknn.answers import gives_numbers
from scirknn.arrays import Array
from scirknn.bundle import Bundle
from sklearn2rknn.checking.comparisons import are_clear
from sklearn2rknn.tolerances import FEWEST_ROWS, promises

_ON_NPU = (Stage.VIRTUAL_NPU, Stage.BOARD)


def without_figures(verdict: Verdict) -> Verdict:
    """Remove the shares and R2 of a verdict: they were counted on too few rows."""
    metrics = {stage: attrs.evolve(each, agreement=None, r2=None) for stage, each in verdict.metrics.items()}
    return attrs.evolve(verdict, metrics=metrics)


def without_reference(verdict: Verdict) -> Verdict:
    """Remove what was compared with the bundle itself, as there is no answer of scikit-learn."""
    kept = {name: wrong for name, wrong in verdict.properties.items() if name not in ("bound", "labels")}
    return attrs.evolve(verdict, metrics={}, properties=kept)


def with_expected(
    verdict: Verdict, expected: Array, bundle: Bundle, answers: Mapping[Stage, Answer]
) -> Verdict:
    """Compare answers with recorded predictions; the first stage that fails is the verdict.

    Labels count away from ties, by the virtual NPU's probabilities: predictions do not say how near one is.
    """
    promised, first = promises(bundle.precision)[0], answers[Stage.VIRTUAL_NPU]
    for stage in _ON_NPU:
        predictions = answers[stage].predictions
        wrong = None
        if gives_numbers(bundle):
            r2 = float(r2_score(expected, predictions, multioutput="raw_values").min())
            if not r2 >= promised.r2:
                wrong = f"R2 against the recorded predictions is {r2:.4f}; it must be {promised.r2} at least."
        else:
            clear = are_clear(first.deciding, one_of_them=bundle.task != "multilabel")
            same = np.equal(expected, predictions).reshape(clear.shape)[clear]
            least = promised.labels_of(len(same))
            if len(same) and same.mean() < least:
                wrong = (
                    f"{int((~same).sum())} of {len(same)} labels away from ties are not the recorded ones; "
                    f"{least:.1%} must be."
                )
        if wrong is not None:
            return attrs.evolve(
                verdict, outcome=Outcome.MISMATCH, stage=stage, reason=wrong, cause=Cause.RECORDED
            )
    return verdict


def score_of(task: str, y: Array | None, board: Array, sklearn: Array | None, rows: Array) -> Score | None:
    """Score predictions by what is true of the rows; None where that was not given.

    Parameters
    ----------
    task : str
        Of the model; R2 of one that gives numbers, otherwise accuracy.
    y : numpy.ndarray or None
    board, sklearn : numpy.ndarray, shape of y
        Predictions; None: there is no estimator.
    rows : numpy.ndarray of int
        Those to count.
    """
    if y is None:
        return None
    measure = "R2" if task in ("regressor", "transformer") else "accuracy"
    values = [
        None if predictions is None or len(rows) < FEWEST_ROWS else _score(task, y[rows], predictions[rows])
        for predictions in (board, sklearn)
    ]
    return Score(measure, len(rows), *values)


def _score(task: str, y: Array, predictions: Array) -> float:
    if task in ("regressor", "transformer"):
        return float(r2_score(y, predictions))
    return float(np.equal(y, predictions).reshape(len(y), -1).all(axis=1).mean())


def few_rows(count: int) -> str:
    """Return the note on rows that are too few to count on; empty where they are not."""
    if count >= FEWEST_ROWS:
        return ""
    return (
        f"Not checked on rows of its own: {count} rows were not used to build the file, and shares of labels "
        f"and R2 are counted on {FEWEST_ROWS} or more."
    )

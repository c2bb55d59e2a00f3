"""Scores of targets and predictions, as scikit-learn's metrics take and refuse them."""

from __future__ import annotations

import numpy as np
import pytest

import scirknn
from scirknn.estimators.scores import r2

Y = np.array([1.0, 2.0, 4.0])


def test_targets_in_one_dimension_are_scored_against_a_column_of_predictions() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    predictions = np.array([[1.0], [2.5], [3.0]])
    assert r2(Y, predictions) == pytest.approx(metrics.r2_score(Y, predictions))


def test_predictions_that_are_no_numbers_are_refused() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    predictions = np.array([1.0, np.nan, 3.0])
    for score, error in ((metrics.r2_score, ValueError), (r2, scirknn.InputError)):
        with pytest.raises(error, match=r"^Input contains NaN\."):
            score(Y, predictions)

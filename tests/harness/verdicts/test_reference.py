"""scikit-learn's answer and the converter's reading of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.naive_bayes import GaussianNB

from rknn_harness.verdicts.reference import reference

CALIBRATED = CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2)


@pytest.mark.parametrize("fitted", [np.float64, np.float32])
@pytest.mark.parametrize("asked", [np.float64, np.float32])
def test_isotonic_curves_with_steps_are_read_in_either_precision(
    fitted: type[np.floating], asked: type[np.floating]
) -> None:
    """Pieces of the curves lie between probabilities that differ by 1e-14, as float64's rounding does."""
    X, y = load_breast_cancer(return_X_y=True)
    model = CALIBRATED.fit(X.astype(fitted), y)
    rows = X.astype(asked)
    truth = reference(model, rows)
    assert truth.answer.probabilities is not None
    expected: npt.NDArray[np.float64] = model.predict_proba(rows.astype(np.float64))
    np.testing.assert_array_equal(truth.answer.probabilities, expected)


def test_a_curve_that_was_changed_is_misread() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    model = CALIBRATED.fit(X, y)
    for pair in model.calibrated_classifiers_:
        pair.calibrators[0].y_thresholds_ *= 0.999
    with pytest.raises(AssertionError, match="misread"):
        reference(model, X)

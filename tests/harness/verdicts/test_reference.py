"""scikit-learn's answer and the converter's reading of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from rknn_harness.verdicts.reference import Answer, answer_from_output, in_form_of, reference
from scirknn.bundle import Bundle
from sklearn2rknn import network_from_estimator
from sklearn2rknn.network.bundle_fields import bundle_fields
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.kernel_on_npu import distance_kernel, kernel_on_npu
from tests.harness.samples import truth_of
from tests.harness.verdicts.test_judge import MULTILABEL

CALIBRATED = CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2)


@pytest.mark.parametrize(("targets", "deciding"), [(1, [0.4, 0.6]), (2, [0.4, 0.6]), (4, [0.6, 0.1])])
def test_the_second_class_of_each_target_decides(targets: int, deciding: list[float]) -> None:
    """Of one class for each row, of labels with a probability each, and of targets with two each."""
    chances = np.array([[0.4, 0.6]] if targets < 4 else [[0.4, 0.6, 0.9, 0.1]])
    predictions = np.ones((1, 2) if targets > 1 else 1, int)
    assert Answer(np.zeros((1, 2)), predictions, chances).deciding.tolist() == [deciding]


def test_labels_of_several_change_where_outputs_do() -> None:
    truth = truth_of(MULTILABEL)
    output = np.array([[1e-9, 0.0, -1e-9, 5.0]])
    answer = answer_from_output(truth, output)
    assert answer.predictions.tolist() == [[1, 0, 0, 1]]
    assert answer.probabilities is not None
    np.testing.assert_allclose(answer.probabilities, 1 / (1 + np.exp(-output)))


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


@pytest.mark.parametrize(
    "model",
    [MLPRegressor(hidden_layer_sizes=(4,), max_iter=5), LogisticRegression()],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_predictions_that_are_not_those_of_the_coefficients_are_misread(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    model.fit(X, y)
    reference(model, X)
    method = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    right = getattr(type(model), method)
    monkeypatch.setattr(type(model), method, lambda self, X: right(self, X) + 1e-5)
    with pytest.raises(AssertionError, match="misread"):
        reference(model, X)


def bundle_of(network: Network) -> Bundle:
    return Bundle(
        path=Path("model.rknn"),
        **bundle_fields(network),
        channels=64,
        precision="float16",
        variants=(),
        details={},
    )


def test_outputs_are_expected_in_the_form_that_the_converter_chose() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), SVC()).fit(X, y)
    truth, network = reference(model, X), network_from_estimator(model)
    kernel = distance_kernel(network)
    assert kernel is not None
    other = in_form_of(truth, bundle_of(kernel_on_npu(network, kernel)))
    assert other.answer.output.shape == (len(X), 2)
    assert [layer.activation for layer in other.layers] == ["softmax", "identity"]
    answered = answer_from_output(other, other.answer.output)
    np.testing.assert_array_equal(answered.predictions, model.predict(X))
    assert in_form_of(truth, bundle_of(network)) is truth

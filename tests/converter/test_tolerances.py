"""Tolerances: one for each precision and task, and what a check asks for is never less."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import softmax

from scirknn.arrays import Floats
from sklearn2rknn.checking.comparisons import are_clear
from sklearn2rknn.tolerances import (
    MARGIN,
    expected_labels,
    probability_reach,
    promises,
)


@pytest.mark.parametrize(
    ("precision", "activation", "promised", "required"),
    [
        ("float16", "relu", (0.002, 0.005, 0.995, 0.9994), (0.002, 0.998, 0.999, 0.9997)),
        ("float16", "tanh", (0.01, 0.025, 0.995, 0.9994), (0.01, 0.998, 0.999, 0.9997)),
        ("int16", "relu", (None, None, 0.995, 0.9994), (None, 0.998, 0.999, 0.9997)),
        ("int8", "relu", (None, None, 0.98, 0.97), (None, 0.98, 0.99, 0.985)),
    ],
)
def test_a_check_asks_for_more_than_is_promised_as_the_documents_have_both(
    precision: str,
    activation: str,
    promised: tuple[float | None, ...],
    required: tuple[float | None, ...],
) -> None:
    promise = promises(precision, [activation, "identity"])[0]
    assert (promise.probability, promise.margin, promise.labels, promise.r2) == pytest.approx(promised)
    asked = promise.for_check()
    numbers = (asked.probability, asked.labels, asked.expected_labels, asked.r2)
    assert numbers == pytest.approx(required)


def test_only_straight_networks_are_promised_the_narrow_tolerance_and_else_the_wide_one() -> None:
    assert [each.probability for each in promises("float16", ["relu", "identity"])] == [0.002, 0.01]
    assert [each.probability for each in promises("float16", ["tanh", "identity"])] == [0.01]
    assert [each.probability for each in promises("int8")] == [None]


def test_one_wrong_label_is_no_share() -> None:
    (promise,) = promises("int16")
    assert promise.labels_of(1000) == promise.labels
    assert promise.labels_of(100) == 0.99
    assert promise.labels_of(0) == 0.5


def test_no_label_beyond_the_margin_can_change_within_the_tolerance() -> None:
    for promise in promises("float16", ["relu"]):
        assert promise.margin is not None
        assert promise.probability is not None
        assert promise.margin > 2 * promise.probability


def test_ties_are_left_out() -> None:
    apart = np.array([0.9, 1.1]) * MARGIN
    two = np.column_stack([0.5 + apart / 2, 0.5 - apart / 2])
    assert are_clear(two, one_of_them=True).tolist() == [False, True]
    assert are_clear(two, one_of_them=False).tolist() == [[False, False], [True, True]]


def test_no_error_moves_a_probability_by_more_than_its_reach() -> None:
    random = np.random.default_rng(0)
    outputs = np.zeros((500, 2))  # all at a decision
    errors = 0.1 * random.normal(size=outputs.shape)
    reach = probability_reach(outputs, errors, head="softmax", near=1.0)
    moved = np.abs(softmax(outputs + errors, axis=1) - softmax(outputs, axis=1)).max()
    assert 0.5 * reach < moved <= reach


def test_the_reach_is_that_of_the_rows_nearest_to_a_decision() -> None:
    outputs = np.linspace(1, 200, 200)[:, None]
    assert probability_reach(outputs, outputs, head="logistic") == pytest.approx(12 / 4)
    assert probability_reach(outputs[:20], outputs[:20], head="logistic") == pytest.approx(8 / 4)


@pytest.mark.parametrize(("head", "reach"), [("identity", 0.03), ("softmax", (0.01 + 0.03) / 4)])
def test_outputs_that_are_probabilities_move_as_they_are(head: str, reach: float) -> None:
    outputs, errors = np.tile([0.6, 0.4], (20, 1)), np.tile([0.01, -0.03], (20, 1))
    assert probability_reach(outputs, errors, head=head) == pytest.approx(reach)
    # Of one output there is no decision to be near to: the largest error counts.
    errors[3] = -0.08
    one = probability_reach(outputs[:, :1], errors[:, :1], head=head)
    assert one == pytest.approx(0.08 if head == "identity" else 0.08 / 4)


def test_a_label_of_a_probability_changes_at_a_half() -> None:
    outputs, clear = np.array([[0.6], [0.9]]), np.ones((2, 1), bool)
    share = expected_labels(outputs, np.array([[0.2]]), clear, one_of_them=False, threshold=0.5)
    assert share == 3 / 4


def test_labels_to_expect_count_every_error_on_every_row() -> None:
    outputs, clear = np.array([[1.0], [3.0]]), np.ones((2, 1), bool)
    # Of four pairs and both signs one label changes: the first row's, by the second error downwards.
    assert expected_labels(outputs, np.array([[0.5], [2.0]]), clear, one_of_them=False) == 7 / 8


@pytest.mark.parametrize("one_of_them", [True, False])
@pytest.mark.parametrize("size", [0.0, 1e-3, 0.1, 3.0, np.nan])
def test_labels_to_expect_are_those_of_every_row_with_every_error(size: float, *, one_of_them: bool) -> None:
    random = np.random.default_rng(0)
    outputs, errors = random.normal(size=(50, 4)), size * random.normal(size=(8, 4))
    clear = random.random(50 if one_of_them else (50, 4)) < 0.8

    def labels(values: Floats) -> npt.NDArray[np.generic]:
        return (values.argmax(axis=1) if one_of_them else values > 0)[clear]

    shares = [np.mean(labels(outputs + error) == labels(outputs)) for error in (*errors, *-errors)]
    share = expected_labels(outputs, errors, clear, one_of_them=one_of_them)
    assert share == pytest.approx(np.mean(shares), rel=1e-12)

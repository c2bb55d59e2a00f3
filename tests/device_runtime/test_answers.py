"""What a model's values mean at the places where a label changes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scirknn.answers import answer, check_labels

LETTERS, PAIR = np.array(["a", "b", "c"]), np.array(["a", "b"])
SEVERAL = np.array([["a", "b"], ["c", "d"]])


def model(task: str, head: str, classes: Any = None, **fields: Any) -> Any:
    default = {"head_on_npu": False, "single_output": True, "features": (), "epilogue": (), "responses": None}
    return SimpleNamespace(task=task, head=head, classes=classes, **{**default, **fields})


@pytest.mark.parametrize(
    ("asked", "values", "expected"),
    [
        (model("classifier", "softmax", LETTERS), [[0, 2, 1], [3, 3, 0]], ["b", "a"]),
        (model("classifier", "logistic", PAIR), [[1e-9], [0], [-1e-9]], ["b", "a", "a"]),
        (model("classifier", "logistic", PAIR, head_on_npu=True), [[0.51], [0.5], [0.4]], ["b", "a", "a"]),
        (model("classifier", "identity", PAIR), [[0.51], [0.5], [0.4]], ["b", "a", "a"]),
        (model("classifier", "logistic", PAIR[:1]), [[1.0], [-1.0]], ["a", "a"]),
        (model("multilabel", "logistic", np.arange(2)), [[1e-9, 0], [-1, 1]], [[1, 0], [0, 1]]),
        (model("multilabel", "logistic", SEVERAL), [[1, 1], [0, -1]], [["b", "d"], ["a", "c"]]),
        (model("outlier", "identity", np.array([-1, 1])), [[0], [-1e-9]], [1, -1]),
        (model("regressor", "exp"), [[0.0]], [1.0]),
        (model("regressor", "exp", head_on_npu=True), [[0.0]], [0.0]),
    ],
)
def test_a_label_changes_where_scikit_learns_does(asked: Any, values: Any, expected: Any) -> None:
    np.testing.assert_array_equal(answer(asked, "predict", np.array(values, np.float64)), expected)


def test_decisions_of_one_output_are_a_column_where_labels_are() -> None:
    values = np.array([[1.0], [-2.0]])
    for task, expected in (("classifier", [1.0, -2.0]), ("multilabel", [[1.0], [-2.0]])):
        asked = model(task, "logistic", PAIR, responses={"decision_function": ()})
        np.testing.assert_array_equal(answer(asked, "decision_function", values), expected)


def test_two_classes_of_one_output_are_in_their_order() -> None:
    asked = model("classifier", "logistic", PAIR)
    np.testing.assert_allclose(answer(asked, "predict_proba", np.log([[3.0]])), [[0.25, 0.75]])
    logarithms = answer(asked, "predict_log_proba", np.log([[3.0]]))
    np.testing.assert_allclose(logarithms, np.log([[0.25, 0.75]]))
    asked.head_on_npu = True
    np.testing.assert_allclose(answer(asked, "predict_proba", np.array([[0.75]])), [[0.25, 0.75]])
    np.testing.assert_allclose(answer(asked, "predict_log_proba", np.array([[0.75]])), logarithms)


@pytest.mark.parametrize(
    ("asked", "n_values", "is_refused"),
    [
        (model("classifier", "logistic", PAIR), 1, False),
        (model("classifier", "logistic", LETTERS), 1, True),
        (model("classifier", "logistic", PAIR), 2, True),
        (model("classifier", "softmax", LETTERS), 3, False),
        (model("classifier", "softmax", LETTERS), 2, True),
        (model("outlier", "identity", np.array([-1, 0, 1])), 1, True),
        (model("regressor", "identity"), 7, False),
    ],
)
def test_labels_are_as_many_as_values_decide_between(asked: Any, n_values: int, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(ValueError, match=f"labels for {n_values} outputs"):
            check_labels(asked, n_values)
    else:
        check_labels(asked, n_values)

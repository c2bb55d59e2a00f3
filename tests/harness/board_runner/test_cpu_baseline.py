"""The network on the board's CPU predicts what scikit-learn does, from arrays alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from rknn_harness.board_runner.cpu_baseline import in_numpy, in_scikit_learn
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds
from rknn_harness.models.datasets import fitted
from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.models.strategies import specs
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.reference import Reference, reference


def request(network: Reference) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = {"classes": network.classes} if network.classes is not None else {}
    for index, layer in enumerate(network.layers):
        arrays |= {f"weights_{index}": layer.weights, f"bias_{index}": layer.bias}
    return {"activation": network.activation, "task": network.task, "head": network.head}, arrays


@settings(deadline=None, max_examples=40)
@given(specs(extreme=False))
def test_both_predict_what_the_estimator_does(spec: MlpSpec) -> None:
    X = build_rows(spec)
    truth = reference(build_estimator(spec), X)
    theirs = in_scikit_learn(*request(truth))
    assert theirs is not None
    np.testing.assert_array_equal(theirs(X), truth.answer.predictions)  # the same code on the same numbers
    ours = in_numpy(*request(truth))(X)
    assert ours.shape == truth.answer.predictions.shape
    if truth.task == "regressor":
        scale = np.abs(truth.answer.predictions).max() + 1
        np.testing.assert_allclose(ours, truth.answer.predictions, atol=1e-3 * scale, rtol=1e-3)
    else:
        # float32 may settle a tie the other way: rows whose margin is clear must agree.
        output = np.sort(truth.answer.output, axis=1)
        single = output.shape[1] == 1 or truth.task == "multilabel"
        margin = np.abs(truth.answer.output).min(axis=1) if single else output[:, -1] - output[:, -2]
        clear = margin > 1e-3 * (np.abs(truth.answer.output).max() + 1)
        np.testing.assert_array_equal(ours[clear], truth.answer.predictions[clear])


@pytest.mark.parametrize("key", ["activation", "task", "head"])
def test_words_that_mean_nothing_are_refused(key: str) -> None:
    words = {"activation": "relu", "task": "regressor", "head": "identity", key: "__import__"}
    with pytest.raises(ValueError, match="none of"):
        in_numpy(words, {})


def test_a_board_times_both(board: Board) -> None:
    found = fitted("iris")
    truth = reference(found.estimator, found.X)
    with BoardSession(board) as session:
        samples = session.timing.time_cpu(found.X[:5], truth, SamplingBounds(1, 5, 0.0, 5.0))
    assert {name: len(each.samples) for name, each in samples.items()} == {"numpy": 5, "scikit-learn": 5}

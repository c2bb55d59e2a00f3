"""A perceptron of a bundle's layers on the board's CPU predicts what scikit-learn does."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings

import sklearn2rknn
from rknn_harness.board_runner.cpu_baseline import in_scikit_learn
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds
from rknn_harness.models.datasets import fitted
from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.models.strategies import specs
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.reference import Reference, reference
from scirknn.bundle.contents import Bundle, CpuLayer, CpuPart
from scirknn.steps.linear import Shift
from tests.device_runtime.bundles import regressor_bundle


def bundle_of(network: Reference, **fields: Any) -> Bundle:
    layers = tuple(
        CpuLayer(each.weights.astype(np.float32), each.bias.astype(np.float32), each.activation)
        for each in network.layers
    )
    own = {"task": network.task, "head": network.head, "classes": network.classes, "cpu": CpuPart.of(layers)}
    outputs = network.answer.output.shape[1]
    return regressor_bundle(Path("x.rknn"), network.X.shape[1], outputs, (), **{**own, **fields})


@settings(deadline=None, max_examples=40)
@given(specs(extreme=False))
def test_a_perceptron_predicts_what_the_estimator_does(spec: MlpSpec) -> None:
    X = build_rows(spec)
    estimator = copy.deepcopy(build_estimator(spec))
    for arrays in (estimator.coefs_, estimator.intercepts_):  # as the bundle stores them
        arrays[:] = [each.astype(np.float32).astype(np.float64) for each in arrays]
    predict = in_scikit_learn(bundle_of(reference(estimator, X)))
    assert predict is not None
    np.testing.assert_array_equal(predict(X), estimator.predict(X))  # the same code on the same numbers


def test_more_than_a_perceptron_is_not_timed_as_one() -> None:
    found = fitted("iris")
    truth = reference(found.estimator, found.X)
    step = Shift((1.0, 1.0, 1.0))
    for more in ({"epilogue": (step,)}, {"responses": {"predict": (step,)}}, {"head": "exp"}, {"cpu": None}):
        assert in_scikit_learn(bundle_of(truth, **more)) is None


def test_a_board_times_both(board: Board, toolkit: sklearn2rknn.Toolkit, tmp_path: Path) -> None:
    found = fitted("iris")
    sklearn2rknn.convert(found.estimator, tmp_path / "iris.rknn", example_input=found.X, toolkit=toolkit)
    with BoardSession(board) as session:
        session.models.load(tmp_path / "iris.rknn")
        samples = session.timing.time_cpu(found.X[:5], SamplingBounds(1, 5, 0.0, 5.0))
    assert {name: len(each.samples) for name, each in samples.items()} == {"numpy": 5, "scikit-learn": 5}

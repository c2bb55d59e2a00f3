"""What the converter hands over keeps its promise on rows that nobody has seen: drawn models, fixed seeds."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import scirknn
import sklearn2rknn
from rknn_harness.conformance.stage_outputs import RecordingToolkit, model_files
from rknn_harness.models.random_mlp import build_estimator, build_other_rows, build_rows
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.judge import judge
from rknn_harness.verdicts.limits import limits_for
from rknn_harness.verdicts.reference import answer_from_output, reference
from sklearn2rknn.passes.toolkit_graph import read_graph

MODELS = 45
SHOWN, UNSEEN = 100, 400

_TASKS = (("softmax", 3), ("binary", 1), ("regressor", 2), ("multilabel", 3), ("softmax", 12))
_HIDDEN = ((16,), (32, 32), (8, 8, 8), (64,))


def drawn(count: int) -> Iterator[tuple[MlpSpec, str]]:
    """Return specs and precisions; the lists of parameters turn at different rates."""
    for seed in range(count):
        task, outputs = _TASKS[seed % len(_TASKS)]
        spec = MlpSpec(
            n_features=(3, 10, 24)[seed // 5 % 3],
            hidden=_HIDDEN[seed // 3 % len(_HIDDEN)],
            activation=("relu", "tanh", "logistic", "identity")[seed // 2 % 4],
            task=task,
            n_outputs=outputs,
            labels="int",
            weight_scale=(1.0, 3.0, 8.0)[seed // 7 % 3],
            rows=SHOWN,
            seed=seed,
        )
        yield spec, ("float16", "int8", "int16")[seed % 3]


def verdict_on_unseen_rows(
    spec: MlpSpec, precision: str, toolkit: sklearn2rknn.Toolkit, path: Path
) -> tuple[Outcome, str]:
    """Convert by the defaults, and judge the file on rows that were not used."""
    estimator, recorder = build_estimator(spec), RecordingToolkit(toolkit)
    unseen = build_other_rows(spec, UNSEEN)
    options: dict[str, Any] = {"precision": precision, "example_input": build_rows(spec)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sklearn2rknn.ExampleInputWarning)
        try:
            # The weights are those of the seed, not those of the fit.
            sklearn2rknn.convert(estimator, path, toolkit=recorder, **options)
        except sklearn2rknn.CheckError as error:
            return Outcome.UNSUPPORTED, str(error)
    bundle, truth = scirknn.read_bundle(path), reference(estimator, unseen)
    graph = read_graph(recorder.record_of(bundle).models[-1], bundle)
    limits = limits_for(truth, graph, model_files(bundle), np.arange(UNSEEN), is_promised=True)
    with scirknn.load(path, device="virtual") as model:
        output = np.asarray(model.raw_output(unseen), np.float32)
    verdict = judge(truth, {Stage.VIRTUAL_NPU: answer_from_output(truth, output)}, limits)
    return verdict.outcome, verdict.reason


def test_what_is_handed_over_keeps_its_promise(tmp_path: Path) -> None:
    outcomes = []
    with sklearn2rknn.open_toolkit() as toolkit:
        for spec, precision in itertools.islice(drawn(MODELS), MODELS):
            outcome, reason = verdict_on_unseen_rows(spec, precision, toolkit, tmp_path / "model.rknn")
            assert outcome in (Outcome.PASS, Outcome.UNSUPPORTED), f"{spec}, {precision}: {reason}"
            outcomes.append(outcome)
    # A check that refuses everything would pass too.
    assert outcomes.count(Outcome.PASS) >= MODELS // 2

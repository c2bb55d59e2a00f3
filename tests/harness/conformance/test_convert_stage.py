"""The stages before the board: what a case without a second build is still held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import sklearn2rknn
import virtual_npu
from rknn_harness.conformance.convert_stage import Converted, conversion_ending
from rknn_harness.conformance.run_case import convert_model
from rknn_harness.conformance.trial import CaseFiles, HostTrial
from rknn_harness.records.case import Case, dataset_case, family_case
from rknn_harness.records.outcomes import Cause, Outcome, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.verdicts.judge import judge


@pytest.mark.parametrize("is_wrong", [False, True])
def test_a_case_that_was_not_drawn_is_built_once_and_held_to_the_simulator(
    toolkit: sklearn2rknn.Toolkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_wrong: bool
) -> None:
    right = virtual_npu.VirtualNpu.run

    def run(self: Any, x: Any) -> Any:
        return np.nextafter(right(self, x), np.float32(np.inf))

    if is_wrong:
        monkeypatch.setattr(virtual_npu.VirtualNpu, "run", run)
    case = Case.from_json(dataset_case("iris", "float16", "2.3.2", (64,)).to_json() | {"second_build": False})
    trial = HostTrial(case=case, toolkit=toolkit, files=CaseFiles())
    converted = convert_model(trial, tmp_path)
    assert isinstance(converted, Converted)
    (finding,) = converted.findings
    assert finding.name == "simulator_equals_virtual_npu"
    assert bool(finding.error) is is_wrong
    assert Phase.AGAIN.value not in trial.clock.seconds


def test_a_second_build_that_fails_is_the_toolkits_fault(
    toolkit: sklearn2rknn.Toolkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    right, seen = sklearn2rknn.Toolkit.start, set[bytes]()

    def start(self: Any, model: bytes, **more: Any) -> Any:
        if model in seen:
            raise sklearn2rknn.ConversionError("build", "it ended by SIGABRT")
        seen.add(model)
        return right(self, model, **more)

    monkeypatch.setattr(sklearn2rknn.Toolkit, "start", start)
    case = dataset_case("iris", "float16", "2.3.2", (64,))
    converted = convert_model(HostTrial(case=case, toolkit=toolkit, files=CaseFiles()), tmp_path)
    assert isinstance(converted, Converted)
    errors = {finding.name: finding.error for finding in converted.findings}
    assert errors["simulator_equals_virtual_npu"] is None
    expected = "A second build of the same model fails. The toolkit failed in build: it ended by SIGABRT"
    assert errors["digest_reproducible"] == expected


@pytest.mark.parametrize(
    ("error", "outcome", "stage", "cause"),
    [
        (sklearn2rknn.UnsupportedModelError("no"), Outcome.UNSUPPORTED, Stage.ONNX, Cause.MODEL),
        (sklearn2rknn.RangeError("no"), Outcome.UNSUPPORTED, Stage.ONNX, Cause.RANGE),
        (sklearn2rknn.ExampleInputError("no"), Outcome.UNSUPPORTED, Stage.ONNX, Cause.ROWS),
        (sklearn2rknn.OptionError("no"), Outcome.UNSUPPORTED, Stage.ONNX, Cause.OPTION),
        (sklearn2rknn.CheckError("check", "no"), Outcome.MISMATCH, Stage.SIMULATOR, ""),
        (sklearn2rknn.ConversionError("build", "no"), Outcome.CONVERT_ERROR, Stage.SIMULATOR, ""),
        (
            sklearn2rknn.ConversionError("build", "it took longer than 3 s"),
            Outcome.TIMEOUT,
            Stage.SIMULATOR,
            "",
        ),
        (virtual_npu.FileFormatError("no"), Outcome.CONVERT_ERROR, Stage.VIRTUAL_NPU, ""),
        (sklearn2rknn.ToolkitError("no"), Outcome.INFRA_ERROR, Stage.SIMULATOR, ""),
        (OSError("no"), Outcome.INFRA_ERROR, Stage.SIMULATOR, ""),
    ],
)
def test_a_refusal_a_failure_and_a_machine_that_fails_end_a_case_differently(
    error: Exception, outcome: Outcome, stage: Stage, cause: str
) -> None:
    ending = conversion_ending(error)
    assert (ending.outcome, ending.stage, ending.cause) == (outcome, stage, cause)


def test_what_the_host_computes_is_held_to_scikit_learns_numbers_and_labels(tmp_path: Path) -> None:
    spec = FamilySpec("trees", "DecisionTreeClassifier", (("random_state", 0),), "breast_cancer", decades=5)
    trial = HostTrial(case=family_case(spec, "float16", "2.3.2", (64,)), toolkit=None, files=CaseFiles())
    converted = convert_model(trial, tmp_path)
    assert isinstance(converted, Converted)
    right = converted.reference.answer
    assert right.probabilities is not None
    labels = right.predictions.copy()
    labels[0] = 1 - labels[0]
    for answer, outcome in (
        (right, Outcome.PASS),
        (attrs.evolve(right, probabilities=right.probabilities + 1e-9), Outcome.MISMATCH),
        (attrs.evolve(right, predictions=labels), Outcome.MISMATCH),
    ):
        assert judge(converted.reference, {Stage.BOARD: answer}, converted.limits).outcome is outcome

    # Layers that only move data may be on the CPU where there are no convolutions.
    layers = (("a", "Reshape", "CPU"), ("b", "Gemm", "NPU"))
    for is_conv, required in ((True, layers), (False, layers[1:])):
        other = attrs.evolve(
            converted, facts=attrs.evolve(converted.facts, placement=layers), is_conv=is_conv
        )
        assert other.layers_required_on_npu == required

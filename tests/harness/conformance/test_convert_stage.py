"""The stages before the board: what a case without a second build is still held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sklearn2rknn
import virtual_npu
from rknn_harness.conformance.convert_stage import Converted
from rknn_harness.conformance.run_case import convert_model
from rknn_harness.conformance.trial import CaseFiles, HostTrial
from rknn_harness.records.case import Case, dataset_case
from rknn_harness.records.phases import Phase


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

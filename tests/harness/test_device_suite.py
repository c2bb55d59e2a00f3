"""The suite's tests, run on made-up results: what they record, what they make smaller, what they raise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rknn_harness.case import Case, CaseResult
from rknn_harness.mlp_spec import MlpSpec
from rknn_harness.outcomes import Outcome, Stage
from rknn_harness.run_folder import FORMAT, RunFolder, read_run
from rknn_harness.suite import ConformanceFailure, Suite
from tests.device.test_random import test_random_networks as try_random_networks

COUNT = 30


def config(max_cases: int = COUNT, seed: int = 5) -> pytest.Config:
    options = {"max_cases": max_cases, "precision": ("float16", "int8"), "toolkit": "2.3.2", "seed": seed}
    return cast(pytest.Config, SimpleNamespace(option=SimpleNamespace(**options)))


def spec_of(case: Case) -> MlpSpec:
    assert isinstance(case.source, MlpSpec)
    return case.source


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Case], bool]], Suite]:
    """Makes a suite in which the cases that a function picks end in a mismatch."""

    def make(is_wrong: Callable[[Case], bool]) -> Suite:
        def run(self: Suite, case: Case) -> CaseResult:
            if is_wrong(case):
                return CaseResult(case, Outcome.MISMATCH, Stage.BOARD, "off by one")
            return CaseResult(case, Outcome.PASS)

        monkeypatch.setattr(Suite, "run", run)
        folder = RunFolder(tmp_path / "run")
        folder.write_manifest({"format": FORMAT})
        return Suite(None, None, folder)

    return make


def test_a_clean_run_records_each_network_once(suite: Any, tmp_path: Path) -> None:
    made = suite(lambda case: False)
    try_random_networks(made, config())
    ids = [result.case.id for result in read_run(tmp_path / "run").results]
    assert len(ids) == len(set(ids))
    assert COUNT // 2 < len(ids) <= COUNT


def test_the_same_seed_tries_the_same_networks(suite: Any, tmp_path: Path) -> None:
    made = suite(lambda case: False)
    try_random_networks(made, config())
    first = [result.case for result in made.results]
    made.results.clear()
    try_random_networks(made, config())
    assert [result.case for result in made.results] == first


def test_every_network_is_tried_and_the_smallest_that_fails_is_told(suite: Any, tmp_path: Path) -> None:
    def is_wrong(case: Case) -> bool:
        return spec_of(case).activation == "tanh" and len(spec_of(case).hidden) > 0

    made = suite(is_wrong)
    with pytest.raises(ConformanceFailure, match=r"mismatch at stage board\. off by one") as caught:
        try_random_networks(made, config())
    results = read_run(tmp_path / "run").results
    assert len(results) > COUNT // 2
    smallest = results[-1]
    assert is_wrong(smallest.case)
    assert spec_of(smallest.case).widths[:2] == (1, 1)
    assert smallest.notes[0].startswith("Made smaller from ")
    assert f"replay {tmp_path / 'run'} {smallest.case.id}" in str(caught.value)


def test_no_toolkit_is_told_for_every_case(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run") as folder:
        folder.write_manifest({"format": FORMAT})
        with pytest.raises(ConformanceFailure, match=r"infra_error.*No toolkit"):
            try_random_networks(Suite(None, None, folder, "No toolkit: nowhere."), config(5))
    results = read_run(tmp_path / "run").results
    assert results
    assert {result.outcome for result in results} == {Outcome.INFRA_ERROR}

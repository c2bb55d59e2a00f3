"""What a run records, on made-up results: from the record or tried, made smaller when it fails."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rknn_harness.plan.corpus import corpus_cases
from rknn_harness.plan.drawing import Draw, draw_cases, smallest_case
from rknn_harness.plan.plan import groups, make_plan
from rknn_harness.records.case import Case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.run_folder import FORMAT, RunFolder, RunFolderError, read_run
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.suite.suite import ConformanceFailure, Suite, read_baseline
from tests.harness.samples import passed, write_run

COUNT = 30
DRAW = Draw(("float16", "int8"), COUNT, 5)
PLAN = make_plan(toolkits=["2.3.2"], boards=["virtual"], draw=DRAW)
RANDOM = [entry for entry in PLAN if entry.case.kind == "random"]


def spec_of(case: Case) -> MlpSpec:
    assert isinstance(case.source, MlpSpec)
    return case.source


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.begin(tmp_path / "run", {"format": FORMAT, "toolkits": [], "boards": {}}, PLAN)


class Pretended(Suite):
    """A suite in which the cases that a function picks end in a mismatch."""

    def __init__(self, folder: RunFolder, is_wrong: Callable[[Case], bool]) -> None:
        super().__init__(folder, {}, {})
        self.is_wrong = is_wrong
        self.tried: list[str] = []

    def run(self, entry: Entry) -> CaseResult:
        self.tried.append(entry.case.id)
        if self.is_wrong(entry.case):
            return CaseResult(entry.case, Outcome.MISMATCH, Stage.BOARD, "off by one", board=entry.board)
        return CaseResult(entry.case, Outcome.PASS, board=entry.board)


def test_the_plan_comes_back_from_the_folder(folder: RunFolder) -> None:
    assert folder.plan() == PLAN
    assert len({entry.key for entry in PLAN}) == len(PLAN)


def test_the_same_seed_draws_the_same_plan_with_more_toolkits_and_boards() -> None:
    wide = make_plan(
        toolkits=["1.6.0", "2.3.2", "2.5.0"],
        boards=["virtual", "desk"],
        draw=Draw(("float16", "int8", "int16"), 9, 5),
    )
    by_pair = {
        pair: [entry.case.id for entry in wide if (entry.case.toolkit, entry.board) == pair]
        for pair in {(entry.case.toolkit, entry.board) for entry in wide}
    }
    assert len(by_pair) == 6
    assert by_pair["2.3.2", "desk"] == by_pair["2.5.0", "virtual"]
    # What a toolkit cannot do is not asked of it.
    without = [name for name in by_pair["2.5.0", "desk"] if "int16" not in name]
    assert by_pair["1.6.0", "desk"] == without != by_pair["2.5.0", "desk"]


def test_one_worker_has_a_real_board_to_itself() -> None:
    plan = make_plan(toolkits=["2.3.2", "2.5.0"], boards=["virtual", "desk"], draw=Draw(("int8",), 20, 0))
    found = groups(plan, ["desk"])
    assert {found[entry.key] for entry in plan if entry.board == "desk"} == {"desk"}
    shared = [found[entry.key] for entry in plan if entry.board == "virtual"]
    assert len(set(shared)) > 4
    assert not {name for name in shared if name == "desk"}


def test_a_result_is_tried_once_and_then_taken_from_the_record(folder: RunFolder) -> None:
    suite = Pretended(folder, lambda case: False)
    for _ in range(2):
        for entry in PLAN[:5]:
            assert suite.result(entry).outcome is Outcome.PASS
    assert len(suite.tried) == 5
    later = Pretended(folder, lambda case: True)
    assert later.result(PLAN[0]).outcome is Outcome.PASS
    assert later.result(PLAN[5]).outcome is Outcome.MISMATCH
    assert [result.key for result in read_run(folder.path).results] == [entry.key for entry in PLAN[:6]]


def test_a_failing_network_is_made_smaller_once_for_each_kind_of_failure(
    folder: RunFolder, tmp_path: Path
) -> None:
    def is_wrong(case: Case) -> bool:
        return case.kind == "random" and spec_of(case).activation == "tanh" and len(spec_of(case).hidden) > 0

    suite = Pretended(folder, is_wrong)
    for entry in RANDOM:
        suite.result(entry)
    suite.make_smaller(DRAW, tmp_path / "corpus")
    count = len(suite.tried)
    Pretended(folder, is_wrong).make_smaller(DRAW, tmp_path / "corpus")
    assert len(suite.tried) == count
    results = read_run(folder.path).results
    assert {entry.key for entry in RANDOM} <= {result.key for result in results}
    smaller = [result for result in results if result.notes]
    failing = {result.case.precision for result in results if result.outcome is Outcome.MISMATCH}
    assert len(smaller) == len(failing)
    kept = list(corpus_cases(tmp_path / "corpus"))
    assert {case.id for case in kept} == {result.case.id for result in smaller}
    for result in smaller:
        assert is_wrong(result.case)
        assert spec_of(result.case).widths[:2] == (1, 1)
        assert result.notes[0].startswith("Made smaller from ")


def test_a_failure_has_the_command_that_tries_it_again(folder: RunFolder) -> None:
    with Pretended(folder, lambda case: True) as suite:
        result = suite.result(PLAN[0])
        with pytest.raises(ConformanceFailure, match=r"mismatch at stage board\. off by one") as caught:
            suite.require(result)
    assert str(caught.value).endswith(f"\nRun it again: rknn-harness replay {folder.path} {result.case.id}")


def test_a_baseline_has_a_time_for_a_case_of_the_plan_at_least(tmp_path: Path) -> None:
    result = passed(PLAN[0].case, np.random.default_rng(0))
    path = str(write_run(tmp_path / "run", [result]).path)
    assert read_baseline(path, PLAN) == {result.key: result.latency}
    assert read_baseline(None, PLAN) == {}
    with pytest.raises(RunFolderError, match="has a time for no case of this run: its boards"):
        read_baseline(path, PLAN[1:])


def test_what_is_warned_of_is_in_the_runs_folder_with_its_time(folder: RunFolder) -> None:
    log = logging.getLogger("rknn_harness.boards.session.lease_calls")
    file = folder.path / "logs" / "harness.log"
    with Pretended(folder, lambda case: False):
        assert not file.exists()
        log.warning("The lease on %s was taken over from %s.", "desk", "ann@here")
    log.warning("Of another run.")
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ The lease on desk was taken over from ann@here\.\n",
        file.read_text(),
    )


def test_no_toolkit_is_an_infra_error_of_every_case(folder: RunFolder) -> None:
    with Suite(folder, {}, {"2.3.2": "9.9.9"}) as suite:
        for entry in PLAN[:2]:
            with pytest.raises(ConformanceFailure, match=r"infra_error at stage simulator\. No toolkit"):
                suite.require(suite.result(entry))
    assert {result.outcome for result in read_run(folder.path).results} == {Outcome.INFRA_ERROR}


def test_what_was_made_smaller_is_drawn_first_the_next_night(tmp_path: Path) -> None:
    tonight = Draw(("float16",), 20, 3, examples=str(tmp_path / "examples"))
    drawn = draw_cases(tonight)
    assert drawn == draw_cases(Draw(("float16",), 20, 3))
    deep = next(case for case in drawn if len(spec_of(case).hidden) > 2)
    smallest = smallest_case(deep, tonight, lambda case: len(spec_of(case).hidden) > 1)
    assert spec_of(smallest).hidden == (1, 1)
    for _ in range(2):
        later = draw_cases(Draw(("float16",), 20, 4, examples=tonight.examples))
        assert smallest in later[:3]

"""Two runs compared: what was planted is told, and nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from click.testing import CliRunner

from rknn_harness.commands.cli import main
from rknn_harness.records.case import Case
from rknn_harness.records.case_result import MADE_SMALLER, CaseResult
from rknn_harness.records.latency import summarize
from rknn_harness.records.outcomes import ExitCode, Outcome, Stage
from rknn_harness.records.run_folder import Run
from rknn_harness.report.comparison import Comparison, compare
from rknn_harness.report.comparison.page import comparison_lines, write_comparison
from rknn_harness.report.numbers import summarize as summarize_run
from tests.counts import counted
from tests.harness.matrix_runs import Plan, write_matrix
from tests.harness.samples import finished, write_run

PLAN = Plan(toolkits=("2.3.2", "2.5.0"), precisions=("float16", "int8"), count=14, timed=40)


def two(path: Path, seed: int, plan: Plan = PLAN, after: Plan | None = None) -> Comparison:
    before = write_matrix(path / f"a{seed}", 2 * seed, plan)
    return compare(before, write_matrix(path / f"b{seed}", 2 * seed + 1, after or plan))


def slower(case: Case, board: str) -> float:
    return 1.15 if (case.toolkit, case.precision) == ("2.5.0", "float16") else 1.0


def coarser(case: Case, board: str) -> float:
    return 1.5 if (case.toolkit, case.precision) == ("2.3.2", "int8") else 1.0


def told(comparison: Comparison) -> list[tuple[str, str, str, str, bool]]:
    return [(each.measure, each.toolkit, each.precision, each.case, each.worse) for each in comparison.moved]


@pytest.mark.parametrize("seed", range(20))
def test_a_planted_loss_and_a_planted_slowdown_are_told_and_nothing_else(tmp_path: Path, seed: int) -> None:
    found = two(tmp_path, seed, after=attrs.evolve(PLAN, slow=slower, coarse=coarser))
    assert told(found) == [("error", "2.3.2", "int8", "", True), ("time", "2.5.0", "float16", "", True)]
    assert not found.failing
    assert found.code is ExitCode.CONFORMANCE
    for movement, planted in zip(found.moved, (1.5, 1.15), strict=True):
        # The interval is that of the cases; what the board drifts from run to run (1 % each) comes on top.
        assert movement.low < planted * 1.05
        assert planted / 1.05 < movement.high


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_loss_and_slowdown_of_one_case_each(tmp_path: Path, seed: int) -> None:
    def slow(case: Case, board: str) -> float:
        return 1.6 if (case.toolkit, case.group, case.precision) == ("2.5.0", "iris", "int8") else 1.0

    def coarse(case: Case, board: str) -> float:
        return 3.0 if (case.toolkit, case.group, case.precision) == ("2.3.2", "wine", "float16") else 1.0

    found = two(tmp_path, seed, after=attrs.evolve(PLAN, slow=slow, coarse=coarse))
    assert told(found) == [
        ("error", "2.3.2", "float16", "wine-float16-n64", True),
        ("time", "2.5.0", "int8", "iris-int8-n64", True),
    ]


SMALL = attrs.evolve(PLAN, toolkits=("2.3.2",), count=4)


def test_the_same_run_twice(tmp_path: Path) -> None:
    run = write_matrix(tmp_path / "run", 1, SMALL)
    found = compare(run, run)
    assert found.verdict == f"Nothing changed, of {len(run.results)} cases that both runs tried."
    assert (found.code, found.moved, found.made) == (ExitCode.CLEAN, (), ())


def test_what_gets_better_is_told_and_is_no_regression(tmp_path: Path) -> None:
    found = two(tmp_path, 3, before_of(slow=slower, coarse=coarser), PLAN)
    assert told(found) == [("error", "2.3.2", "int8", "", False), ("time", "2.5.0", "float16", "", False)]
    assert found.code is ExitCode.CLEAN
    assert not two(tmp_path, 4, before_of(slow=slower), attrs.evolve(PLAN, slow=slower)).moved


def before_of(**planted: object) -> Plan:
    return attrs.evolve(PLAN, **planted)  # type: ignore[arg-type]


def test_a_slowdown_of_half_a_group_is_told_case_by_case(tmp_path: Path) -> None:
    def slow(case: Case, board: str) -> float:
        return 1.8 if case.precision == "int8" and "-relu-" not in case.id and case.kind == "random" else 1.0

    found = two(tmp_path, 5, after=attrs.evolve(PLAN, slow=slow))
    cases = {each.case for each in found.moved if each.case}
    assert len(cases) >= 8
    assert all("int8" in case and "-relu-" not in case for case in cases)
    assert {each.measure for each in found.moved} == {"time"}


def test_labels_that_are_lost(tmp_path: Path) -> None:
    def spoiled(result: CaseResult) -> CaseResult:
        if result.case.group != "digits" or result.case.precision != "float16":
            return result
        metrics = attrs.evolve(result.metrics[Stage.BOARD], agreement=0.8)
        return attrs.evolve(result, metrics={**result.metrics, Stage.BOARD: metrics})

    before = write_matrix(tmp_path / "a", 1, SMALL)
    (moved,) = compare(before, write_matrix(tmp_path / "b", 2, SMALL, spoiled)).moved
    assert (moved.measure, moved.case) == ("labels", "digits-float16-n64")
    assert moved.change == pytest.approx(0.2, abs=0.02)
    assert moved.low > 0


def test_times_are_left_out_when_told_so_or_when_clocks_moved(tmp_path: Path) -> None:
    def throttled(result: CaseResult) -> CaseResult:
        return attrs.evolve(result, clocks={**result.clocks, "moved": True})

    before, slow = write_matrix(tmp_path / "a", 1, PLAN), attrs.evolve(PLAN, slow=lambda case, board: 2.0)
    after = write_matrix(tmp_path / "b", 2, slow)
    assert {each.measure for each in compare(before, after).moved} == {"time"}
    assert not compare(before, after, time=False).moved
    found = compare(before, write_matrix(tmp_path / "c", 3, slow, throttled))
    assert (found.moved, found.untimed) == ((), len(before.results))
    assert f"times of {len(before.results)} cases left out: a clock moved" in "\n".join(
        comparison_lines(found)
    )


BAD = "The output of row 0 is 2, scikit-learn's 1."


def ended(outcome: Outcome, **changes: object) -> CaseResult:
    result = {each.case.id: each for each in RESULTS}["iris-float16-n64"]
    return attrs.evolve(result, outcome=outcome, reason=BAD, **changes)  # type: ignore[arg-type]


RESULTS: list[CaseResult] = []


@pytest.fixture(autouse=True, scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> None:
    RESULTS.extend(write_matrix(tmp_path_factory.mktemp("results") / "run", 1, SMALL).results)


@pytest.mark.parametrize(
    ("before", "after", "failing", "passing"),
    [
        ((Outcome.PASS, {}), (Outcome.MISMATCH, {}), 1, 0),
        ((Outcome.MISMATCH, {}), (Outcome.PASS, {}), 0, 1),
        ((Outcome.PASS, {}), (Outcome.MISMATCH, {"expected": "a reason"}), 0, 0),
        ((Outcome.PASS, {}), (Outcome.INFRA_ERROR, {}), 0, 0),
        ((Outcome.INFRA_ERROR, {}), (Outcome.MISMATCH, {}), 0, 0),
        ((Outcome.PASS, {}), (Outcome.UNSUPPORTED, {}), 1, 0),
        ((Outcome.UNSUPPORTED, {}), (Outcome.PASS, {}), 0, 0),
        ((Outcome.UNSUPPORTED, {}), (Outcome.TIMEOUT, {}), 1, 0),
        ((Outcome.MISMATCH, {}), (Outcome.TIMEOUT, {}), 0, 0),
        ((Outcome.PASS, {}), (Outcome.PASS, {"properties": {"cores_agree": BAD}}), 1, 0),
        ((Outcome.PASS, {}), (Outcome.PASS, {"properties": {"latency_baseline": BAD}}), 1, 0),
        ((Outcome.PASS, {"properties": {"cores_agree": BAD}}), (Outcome.CONVERT_ERROR, {}), 1, 0),
        ((Outcome.PASS, {"properties": {"batch_latency": BAD}}), (Outcome.PASS, {}), 0, 1),
        (
            (Outcome.MISMATCH, {"properties": {"bound": BAD}}),
            (Outcome.MISMATCH, {"properties": {"bound": BAD, "labels": BAD}}),
            1,
            0,
        ),
    ],
)
def test_how_a_case_turns(
    tmp_path: Path,
    before: tuple[Outcome, dict[str, object]],
    after: tuple[Outcome, dict[str, object]],
    failing: int,
    passing: int,
) -> None:
    runs = []
    for name, (outcome, changes) in (("a", before), ("b", after)):
        end = ended(outcome, **changes)
        others = [each for each in RESULTS if each.key != end.key]
        runs.append(write_results(tmp_path / name, [end, *others]))
    found = compare(runs[0], runs[1])
    assert (len(found.failing), len(found.passing)) == (failing, passing)
    untried = Outcome.INFRA_ERROR in (before[0], after[0])
    calm = ExitCode.INFRASTRUCTURE if untried else ExitCode.CLEAN
    assert found.code == (ExitCode.CONFORMANCE if failing else calm)
    assert all(turn.reason == BAD for turn in (*found.failing, *found.passing))
    if "latency" not in repr((before, after)):
        return
    found = compare(runs[0], runs[1], time=False)
    assert not found.failing
    assert not found.passing


@pytest.mark.parametrize("other", ["", BAD])
def test_a_property_that_one_side_did_not_run_is_no_change(tmp_path: Path, other: str) -> None:
    properties = {"digest_reproducible": f"simulator: {BAD}"}
    failed = ended(Outcome.NONDETERMINISTIC, stage=Stage.SIMULATOR, properties=properties)
    case = attrs.evolve(failed.case, second_build=False)
    not_drawn = ended(Outcome.PASS, case=case, properties={"bound": other})
    ran, did_not = write_results(tmp_path / "a", [failed]), write_results(tmp_path / "b", [not_drawn])
    forward, backward = compare(ran, did_not), compare(did_not, ran)
    # Another property counts as ever.
    assert [len(found.failing) for found in (forward, backward)] == [bool(other), 0]
    assert [len(found.passing) for found in (forward, backward)] == [0, bool(other)]
    assert forward.failures_not_run_before == 0
    assert backward.verdict.endswith(" 1 case failed in what was not run before.")


def write_results(path: Path, results: list[CaseResult]) -> Run:
    return finished(write_run(path, results, virtual=False))


def test_cases_of_one_run_alone(tmp_path: Path) -> None:
    before, after = write_results(tmp_path / "a", RESULTS[1:]), write_results(tmp_path / "b", RESULTS[:-1])
    found = compare(before, after)
    assert (found.missing, found.new) == ((RESULTS[-1].key,), (RESULTS[0].key,))
    assert (found.lost, found.code) == (1, ExitCode.INFRASTRUCTURE), "nobody knows whether it still passes"
    assert found.verdict.endswith(" 1 case missing.")
    assert f"1 case missing: {RESULTS[-1].case.id} on 2.3.2, orange" in "\n".join(comparison_lines(found))
    assert compare(after, before).code is ExitCode.INFRASTRUCTURE
    assert compare(write_results(tmp_path / "e", RESULTS[1:]), run_of(before, RESULTS)).code is ExitCode.CLEAN
    found = compare(write_results(tmp_path / "c", RESULTS[:1]), write_results(tmp_path / "d", RESULTS[1:]))
    assert found.code is ExitCode.INFRASTRUCTURE


def run_of(run: Run, results: Sequence[CaseResult], **changes: object) -> Run:
    return attrs.evolve(run, results=tuple(results), manifest={**run.manifest, **changes})


def test_a_case_that_is_left_out_on_purpose_is_not_lost(tmp_path: Path) -> None:
    before = write_results(tmp_path / "a", RESULTS)
    name, toolkit, board = RESULTS[-1].key
    skip = {"id": name, "toolkit": toolkit, "board": board, "reason": "It takes the board down."}
    skipped = run_of(before, RESULTS[:-1], skipped=[skip])
    assert (compare(before, skipped).missing, compare(before, skipped).lost) == ((RESULTS[-1].key,), 0)
    assert compare(before, skipped).code is ExitCode.CLEAN
    others = run_of(before, RESULTS[:-1], skipped=[{**skip, "toolkit": "2.2.0"}])
    assert compare(before, others).lost == 1
    smaller = attrs.evolve(RESULTS[-1], notes=(f"{MADE_SMALLER} another.",))
    assert compare(run_of(before, [*RESULTS[:-1], smaller]), run_of(before, RESULTS[:-1])).lost == 0
    accepted = run_of(before, RESULTS, accepted={"by": "ann@desk", "at": "2026-11-01"})
    command = f"rknn-harness accept {before.path} --as {before.path}"
    found = compare(accepted, run_of(before, RESULTS[:-1]))
    page = write_comparison(found, tmp_path / "out")
    for text in ("\n".join(comparison_lines(found)), page.read_text(), page.with_suffix(".md").read_text()):
        assert command in text
    assert json.loads(page.with_suffix(".json").read_text())["lost"] == 1


def test_a_run_that_is_not_complete_vouches_for_nothing(tmp_path: Path) -> None:
    before = write_results(tmp_path / "a", RESULTS)
    killed = write_run(tmp_path / "b", RESULTS[:3], virtual=False)
    untried = write_results(tmp_path / "c", [ended(Outcome.INFRA_ERROR), *RESULTS[3:]])
    for after, missing in (
        (killed, ""),
        (untried, " 2 cases missing."),
        (attrs.evolve(before, torn=True), ""),
    ):
        found = compare(before, after)
        assert (found.failing, found.worse) == ((), ())
        assert (found.code, found.code.word) == (ExitCode.INFRASTRUCTURE, "INCOMPLETE")
        assert found.verdict.endswith(f"that both runs tried.{missing} {after.path.name} is not complete.")
        page = write_comparison(found, tmp_path / "out")
        command = f"rknn-harness run --resume {after.path}"
        assert command in page.read_text()
        assert command in (tmp_path / "out" / "compare.md").read_text()
        lines = [*comparison_lines(found)]
        assert lines[0] == f"INCOMPLETE  {found.verdict}"
        assert command in "\n".join(lines)
    assert compare(killed, before).code is ExitCode.INFRASTRUCTURE
    assert summarize_run(killed).code is ExitCode.INFRASTRUCTURE


def test_the_command(tmp_path: Path) -> None:
    plan = attrs.evolve(SMALL, count=20)
    worse = attrs.evolve(plan, slow=lambda case, board: 1.5)
    paths = [
        write_matrix(tmp_path / name, 1 + (name > "a"), made).path
        for name, made in (("a", plan), ("b", worse))
    ]
    said = CliRunner().invoke(main, ["compare", *map(str, paths)])
    assert said.exit_code == 1
    assert "worse: time, 2.3.2 int8, orange +" in said.output
    document = json.loads((paths[1] / "compare.json").read_text("utf-8"))
    assert document["exit_code"] == 1
    assert [each["measure"] for each in document["moved"]] == ["time", "time"]
    page = (paths[1] / "compare.html").read_text("utf-8")
    assert "▲ worse" in page
    assert page.count("<script") == 1
    said = CliRunner().invoke(
        main, ["compare", "--no-time", *map(str, paths), "--output", str(tmp_path / "out")]
    )
    assert said.exit_code == 0
    assert (tmp_path / "out" / "compare.html").exists()
    said = CliRunner().invoke(main, ["compare", *map(str, paths), "--output", "/dev/null/out"])
    assert said.exit_code == 3
    assert "worse: time, 2.3.2 int8, orange +" in said.output  # whether the pages can be written or not
    said = CliRunner().invoke(main, ["compare", str(tmp_path), str(paths[0])])
    assert said.exit_code == 3
    assert "is not a run's folder" in said.output


def test_a_neighbour_that_slows_some_calls_is_not_a_slowdown(tmp_path: Path) -> None:
    before, after = write_matrix(tmp_path / "a", 1, SMALL), write_matrix(tmp_path / "b", 2, SMALL)
    (index,) = (place for place, each in enumerate(after.results) if each.case.id == "iris-float16-n64")
    result = after.results[index]
    path = after.path / result.samples

    def slowed(share: float) -> Comparison:
        kept = json.loads((before.path / result.samples).read_text("utf-8"))
        samples = np.array(kept["npu"])
        samples[: round(share * len(samples))] *= 2
        path.write_text(json.dumps({**kept, "npu": samples.tolist()}), "utf-8")
        other = attrs.evolve(result, latency=summarize(samples, rows=64, warmup=5))
        results = (*after.results[:index], other, *after.results[index + 1 :])
        return compare(before, attrs.evolve(after, results=results))

    assert not slowed(0.7).moved
    (moved,) = slowed(1.0).moved
    assert moved.case == "iris-float16-n64"
    assert moved.change == pytest.approx(2)


def timed(run: Run, seconds: np.ndarray[Any, Any]) -> Run:
    """A run of one model under many names, each call of which takes so long."""
    result = RESULTS[0]
    assert result.latency is not None
    return run_of(
        run,
        [
            attrs.evolve(
                result,
                case=attrs.evolve(result.case, id=f"model-{number}"),
                latency=attrs.evolve(result.latency, p50=float(each), mad=float(each) * 1e-3),
                samples="",
            )
            for number, each in enumerate(seconds)
        ],
    )


@pytest.mark.parametrize("count", [1, 3])
def test_models_that_stand_alone_are_slower_when_they_take_far_longer(tmp_path: Path, count: int) -> None:
    run, seconds = write_results(tmp_path / "run", RESULTS[:1]), np.full(count, 1e-3)
    for factor, slower in ((1.3, 0), (2.0, count)):
        found = compare(timed(run, seconds), timed(run, factor * seconds))
        assert len(found.worse) == slower


@pytest.mark.parametrize(("count", "scatter"), [(3, 0.05), (20, 0.1)])
def test_times_that_scatter_are_no_slowdown_and_three_times_as_long_is(
    tmp_path: Path, count: int, scatter: float
) -> None:
    run, noise = write_results(tmp_path / "run", RESULTS[:1]), np.random.default_rng(count)
    reported, found = 0, 0
    for _ in range(counted(500)):
        before, after = np.exp(noise.normal(-7, scatter / math.sqrt(2), (2, count)))
        reported += bool(compare(timed(run, before), timed(run, after)).moved)
        after[0] *= 3
        found += "model-0" in {each.case for each in compare(timed(run, before), timed(run, after)).worse}
    assert reported <= counted(500) / 100
    assert found >= 0.95 * counted(500)


def test_a_run_without_its_raw_samples(tmp_path: Path) -> None:
    plan = attrs.evolve(SMALL, slow=lambda case, board: 2.0 if case.group == "iris" else 1.0)
    before, after = write_matrix(tmp_path / "a", 1, SMALL), write_matrix(tmp_path / "b", 2, plan)
    for path in (*(before.path / "samples").iterdir(), *(after.path / "samples").iterdir()):
        path.unlink()
    assert {each.case for each in compare(before, after).moved} == {"iris-float16-n64", "iris-int8-n64"}

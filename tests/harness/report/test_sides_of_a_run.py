"""Two toolkits, boards or precisions compared: what was planted in one is named, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from rknn_harness.commands import comparison
from rknn_harness.commands.cli import main
from rknn_harness.records.case import dataset_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import ExitCode, Outcome, Stage
from rknn_harness.records.run_folder import Run, RunFolder
from rknn_harness.report.comparison import Choice, compare
from rknn_harness.report.comparison.comparing import by_cause
from sklearn2rknn.toolkit.pins.versions import default_version, toolkit_versions
from tests.counts import counted
from tests.harness.matrix_runs import Plan, write_matrix
from tests.harness.samples import write_run

UPGRADE = Choice(toolkit=("2.3.2", "2.5.0"))
PLAN = Plan(toolkits=("2.3.2", "2.5.0"), precisions=("float16", "int8"), count=8, timed=20)
BAD = "The output of row {0} is 2, scikit-learn's 1."


def changed(run: Run, change: Callable[[CaseResult], CaseResult]) -> Run:
    """Return the run as it would be if the newer toolkit did something else."""
    results = (change(each) if each.case.toolkit == "2.5.0" else each for each in run.results)
    return attrs.evolve(run, results=tuple(results))


def fails(result: CaseResult, row: int = 0) -> CaseResult:
    return attrs.evolve(
        result, outcome=Outcome.MISMATCH, stage=Stage.BOARD, reason=BAD.format(row), properties={}
    )


def coarser(result: CaseResult, factor: float) -> CaseResult:
    metrics = result.metrics[Stage.BOARD]
    assert metrics.output_error is not None
    worse = attrs.evolve(metrics, output_error=metrics.output_error * factor)
    return attrs.evolve(result, metrics={**result.metrics, Stage.BOARD: worse})


def slower(result: CaseResult) -> CaseResult:
    assert result.latency is not None
    assert result.latency.p50 is not None
    return attrs.evolve(result, latency=attrs.evolve(result.latency, p50=result.latency.p50 * 1.2))


@pytest.mark.parametrize("seed", range(counted(20)))
def test_a_loss_planted_in_one_toolkit_is_named_alone(seed: int, tmp_path: Path) -> None:
    run = write_matrix(tmp_path / "run", seed, PLAN)
    clean = compare(run, run, UPGRADE)
    assert (clean.code, clean.failing, clean.moved) == (ExitCode.CLEAN, (), ())
    assert clean.compared == len(run.results) / 2
    ids = [each.case.id for each in run.results if each.case.toolkit == "2.5.0"]
    one = ids[seed % len(ids)]

    lost = changed(run, lambda each: fails(each) if each.case.id == one else each)
    failing = compare(lost, lost, UPGRADE)
    assert ([each.key[0] for each in failing.failing], failing.moved) == ([one], ())
    assert failing.code is ExitCode.CONFORMANCE

    is_int8 = "int8".__eq__
    for change, expected in (
        (lambda each: coarser(each, 1.5) if is_int8(each.case.precision) else each, ("error", "")),
        (lambda each: coarser(each, 3.0) if each.case.id == one else each, ("error", one)),
        (lambda each: slower(each) if is_int8(each.case.precision) else each, ("time", "")),
    ):
        worse = changed(run, change)
        comparison = compare(worse, worse, UPGRADE)
        assert [(each.measure, each.case) for each in comparison.moved] == [expected]
        assert (comparison.failing, comparison.code) == ((), ExitCode.CONFORMANCE)
        # What the newer one lost, the older one has: nothing is lost in the other direction.
        assert compare(worse, worse, Choice(toolkit=("2.5.0", "2.3.2"))).code is ExitCode.CLEAN


def matrix(path: Path, **changes: object) -> Run:
    plan = attrs.evolve(PLAN, count=3, timed=20, **changes)  # type: ignore[arg-type]
    return write_matrix(path, 3, plan)


def test_one_toolkit_of_a_run_is_compared_with_another_of_another_run(tmp_path: Path) -> None:
    before = matrix(tmp_path / "a", toolkits=("2.3.0", "2.3.2"))
    after = matrix(tmp_path / "b", toolkits=("2.5.0",))
    comparison = compare(before, after, UPGRADE)
    assert comparison.compared == len(after.results)
    assert (comparison.missing, comparison.new) == ((), ())
    assert ("toolkit: version", "2.3.2", "2.5.0") in comparison.made
    assert comparison.title == "a → b, toolkit 2.3.2 → 2.5.0"


def test_boards_are_compared_and_a_virtual_one_s_times_are_left_out(tmp_path: Path) -> None:
    def slow(case: object, board: str) -> float:
        return 1.5 if board == "shelf" else 1.0

    run = matrix(tmp_path / "run", boards=("desk", "shelf"), slow=slow)
    choice = Choice(board=("desk", "shelf"))
    assert {each.measure for each in compare(run, run, choice).moved} == {"time"}
    assert not compare(run, run, choice, time=False).moved
    boards = {**run.manifest["boards"], "shelf": {"virtual": True}}
    emulated = attrs.evolve(run, manifest={**run.manifest, "boards": boards})
    assert not compare(emulated, emulated, choice).moved
    assert compare(emulated, emulated, choice, time=True).moved


def test_precisions_are_compared_model_by_model(tmp_path: Path) -> None:
    run = matrix(tmp_path / "run", toolkits=("2.3.2",))
    comparison = compare(run, run, Choice(precision=("float16", "int8")))
    assert comparison.compared == len(run.results) / 2
    (moved,) = (each for each in comparison.moved if each.measure == "error")
    assert (moved.precision, moved.worse) == ("int8", True)


def test_changes_of_one_cause_are_one_group(tmp_path: Path) -> None:
    run = matrix(tmp_path / "run")

    def change(result: CaseResult) -> CaseResult:
        if result.case.group in ("iris", "wine"):
            return fails(result, len(result.case.id))
        return attrs.evolve(result, outcome=Outcome.UNSUPPORTED) if result.case.group == "digits" else result

    worse = changed(run, change)
    groups = by_cause(compare(worse, worse, UPGRADE).failing)
    assert [[each.after.case.group for each in group] for group in groups] == [
        ["iris", "wine"] * 2,
        ["digits"] * 2,
    ]


def command(*words: object) -> Result:
    return CliRunner().invoke(main, ["compare", *map(str, words)])


def written(run: Run, folder: Path) -> Run:
    """Write a run's results as another run."""
    with RunFolder.begin(folder, run.manifest) as made:
        for result in run.results:
            made.record(result)
    return attrs.evolve(run, path=folder)


def test_the_command_compares_toolkits_and_writes_a_summary(tmp_path: Path) -> None:
    run = matrix(tmp_path / "clean")
    choice = ("--toolkit", "2.3.2", "2.5.0")
    shown = command(run.path, *choice)
    assert shown.exit_code == 0, shown.output
    assert f"Nothing changed, of {len(run.results) // 2} cases that both sides tried." in shown.output

    def change(result: CaseResult) -> CaseResult:
        known = attrs.evolve(fails(result), expected="Its sums are int16.")
        return {"iris": fails(result, 7), "wine": known}.get(result.case.group, result)

    worse = written(changed(run, change), tmp_path / "worse").path
    shown = command(worse, *choice)
    assert shown.exit_code == 1
    named = "iris-float16-n64, iris-int8-n64 on 2.5.0, orange"
    assert f"newly failing: {named}: pass -> mismatch\n  {BAD.format(7)}\n" in shown.output
    summary = (worse / "compare-2.3.2-2.5.0.md").read_text("utf-8")
    assert summary.startswith("# 2 newly failing, of ")
    assert "2 known failures besides." in summary.splitlines()[0]
    assert f"- **pass → mismatch** at board, 2 cases: {named}. {BAD.format(7)}" in summary
    assert "wine" not in summary
    document = json.loads((worse / "compare-2.3.2-2.5.0.json").read_text("utf-8"))
    assert (document["choice"], document["exit_code"]) == ({"toolkit": ["2.3.2", "2.5.0"]}, 1)
    page = (worse / "compare-2.3.2-2.5.0.html").read_text("utf-8")
    assert page.count(BAD.format(7).replace("'", "&#39;")) == 1
    assert command(run.path, worse, *choice).exit_code == 1
    assert command(worse, run.path, *choice).exit_code == 0


def test_a_toolkit_that_was_not_run_cannot_be_compared(tmp_path: Path) -> None:
    run = matrix(tmp_path / "run")
    manifest = {**run.manifest, "not_run": [{"toolkit": "1.5.0", "reason": "wheel not supplied"}]}
    path = written(attrs.evolve(run, manifest=manifest), tmp_path / "partly").path
    shown = command(path, "--toolkit", "1.5.0", "2.5.0")
    assert shown.exit_code == 3
    assert "Toolkit 1.5.0 was not run in" in shown.output
    assert shown.output.endswith("wheel not supplied.\n")


def test_default_and_newest_are_those_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = matrix(tmp_path / "run").path
    assert command(path, "--toolkit", "default", "newest").exit_code == 0
    assert (path / f"compare-{default_version()}-{toolkit_versions()[-1]}.md").exists()
    monkeypatch.setattr(comparison, "default_version", lambda: toolkit_versions()[-1])
    shown = command(path, "--toolkit", "default", "newest")
    assert (shown.exit_code, "is the newest one: there is nothing to compare." in shown.output) == (0, True)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ((), 2, "Name two runs, or two toolkits, boards or precisions of one."),
        (("--toolkit", "2.3.2", "2.3.2"), 2, "Name two runs, or two toolkits"),
        (("--toolkit", "2.3.2", "9.9"), 2, "has no toolkit '9.9'; it has 2.3.2, 2.5.0."),
        (("--board", "virtual", "desk"), 2, "has no board 'desk'; it has virtual."),
        (("--toolkit", "2.3.2", "2.5.0"), 3, "The sides have no case in common that both could try."),
    ],
)
def test_what_cannot_be_compared_has_its_code(
    words: tuple[str, ...], code: int, expected: str, tmp_path: Path
) -> None:
    cases = [
        dataset_case(name, "int8", toolkit, (64,)) for name, toolkit in (("iris", "2.3.2"), ("wine", "2.5.0"))
    ]
    path = write_run(tmp_path / "run", [CaseResult(case, Outcome.PASS) for case in cases]).path
    shown = command(path, *words)
    assert (shown.exit_code, expected in shown.output) == (code, True), shown.output


def test_a_run_that_is_not_there_or_has_no_result_cannot_be_compared(tmp_path: Path) -> None:
    shown = command(tmp_path / "none", "--toolkit", "2.3.2", "2.5.0")
    assert (shown.exit_code, "is not a run's folder" in shown.output) == (3, True)
    empty = write_run(tmp_path / "empty", []).path
    shown = command(empty, "--toolkit", "2.3.2", "2.5.0")
    assert shown.exit_code == 3
    assert "no case in common" in shown.output

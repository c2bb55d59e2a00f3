"""Many runs in a row."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from rknn_harness.commands.cli import main
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.query import field
from rknn_harness.report.comparison import compare
from rknn_harness.report.trend import trend
from rknn_harness.report.trend_page import write_trend
from tests.harness.matrix_runs import Plan, with_faults, write_matrix
from tests.harness.samples import write_run

PLAN = Plan(toolkits=("2.3.2", "2.5.0"), precisions=("float16", "int8"), count=6, timed=30)


def test_points_over_the_cases_that_all_runs_have(tmp_path: Path) -> None:
    fewer = attrs.evolve(PLAN, count=2)
    runs = [
        write_matrix(tmp_path / name, seed, plan)
        for seed, (name, plan) in enumerate((("a", PLAN), ("b", fewer)))
    ]
    found = trend(runs)
    place = ("orange", "2.5.0", "int8")
    assert [point and point.cases for point in found.points[place]] == [19, 15]
    assert found.common[place] == 15
    shared = {result.key for result in runs[1].results}
    here = [
        result
        for result in runs[0].results
        if result.key in shared and (result.case.toolkit, result.case.precision) == ("2.5.0", "int8")
    ]
    first = found.points[place][0]
    assert first is not None
    assert first.pass_rate == 1
    known = [result.metrics[max(result.metrics, key=list(result.metrics).index)].agreement for result in here]
    agreement = [value for value in known if value is not None]
    assert first.agreement == pytest.approx(sum(agreement) / len(agreement))


def test_runs_in_folders_of_one_name_are_distinguished(tmp_path: Path) -> None:
    small = attrs.evolve(PLAN, toolkits=("2.5.0",), precisions=("int8",), count=0)
    paths = [tmp_path / day / "nightly" for day in ("monday", "tuesday")]
    runs = []
    for seed, path in enumerate(paths):
        path.parent.mkdir()
        runs.append(write_matrix(path, seed, small))
        (path / "report.html").touch()
    found = trend(runs)
    assert set(found.names) == {"monday/nightly", "tuesday/nightly"}
    page = write_trend(found, tmp_path).read_text()
    assert 'href="monday/nightly/report.html">monday/nightly</a>' in page
    assert 'href="tuesday/nightly/report.html">tuesday/nightly</a>' in page
    assert compare(runs[0], runs[1]).title == "monday/nightly → tuesday/nightly"


def test_places_that_a_run_was_not_at_and_cases_that_could_not_be_tried(tmp_path: Path) -> None:
    whole = write_matrix(tmp_path / "a", 1, PLAN)
    half = write_matrix(tmp_path / "b", 2, attrs.evolve(PLAN, toolkits=("2.5.0",)))
    lost = [attrs.evolve(result, outcome=Outcome.INFRA_ERROR) for result in half.results[:5]]
    found = trend([whole, half, write_run(tmp_path / "c", lost)])
    assert [point is None for point in found.points["orange", "2.3.2", "int8"]] == [False, True, True]


def test_a_point_is_of_what_was_tried_and_its_numbers_are_of_cases_that_all_runs_have(tmp_path: Path) -> None:
    run = write_matrix(tmp_path / "run", 1, PLAN)
    chosen = [each for each in run.results if each.case.toolkit == "2.5.0" and each.latency is not None]
    three, four = chosen[:3], chosen[:4]
    assert len({each.case.precision for each in four}) == 1
    three[0] = attrs.evolve(three[0], outcome=Outcome.MISMATCH)
    three.append(attrs.evolve(chosen[5], outcome=Outcome.INFRA_ERROR))
    found = trend([attrs.evolve(run, results=tuple(each)) for each in (three, four)])
    ((first, second),) = found.points.values()
    assert first is not None
    assert second is not None
    assert (first.cases, second.cases) == (3, 4)
    assert (first.pass_rate, second.pass_rate) == (2 / 3, 1.0)
    for name, point in (("error", second.error), ("p50", second.seconds)):
        assert point == sorted(field(each, name) or 0.0 for each in four[:3])[1]


def test_the_command(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    paths = [
        str(write_matrix(folder / f"20261129T070505Z-{seed}", seed, PLAN, with_faults if seed else None).path)
        for seed in range(3)
    ]
    said = CliRunner().invoke(main, ["trend", *paths])
    assert said.exit_code == 0
    assert all(said.output.count(f" 20261129T070505Z-{seed} ") == 4 for seed in range(3))
    document = json.loads((folder / "trend.json").read_text("utf-8"))
    assert len(document["points"]) == 3 * 4
    page = (folder / "trend.html").read_text("utf-8")
    assert page.count('<svg class="chart"') == 2 * 4
    assert page.count("<script") == 1
    assert CliRunner().invoke(main, ["trend"]).exit_code == 2

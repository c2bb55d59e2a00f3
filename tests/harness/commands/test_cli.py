"""The command line's help, its refusals, and what it makes of a run's folder."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import rknn_harness
from rknn_harness.commands import options
from rknn_harness.commands.cli import main
from sklearn2rknn import ToolkitError
from tests.device_runtime.conftest import MakeBundle, lite, make_bundle  # noqa: F401
from tests.device_runtime.estimators.test_estimator import fitted
from tests.harness.samples import mixed_results, write_run


def test_help_teaches() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for word in ("run", "report", "replay", "doctor", "Exit codes: 0 clean", "virtual one"):
        assert word in result.output
    assert "\n  rknn-harness run     " in result.output  # click has kept the lines
    for command in ("run", "report", "replay", "doctor"):
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0


def test_the_version_is_the_packages() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"rknn-harness {rknn_harness.__version__}\n"


def options_of(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from (*parameter.opts, *parameter.secondary_opts)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from options_of(each)


def test_options_are_spelled_with_dashes() -> None:
    names = list(options_of(main))
    assert "--max-cases" in names
    assert not [name for name in names if "_" in name]


def test_options_do_without_types_that_take_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Click's types take them since 8.4."""

    class ParamType:
        pass

    monkeypatch.setattr(click, "ParamType", ParamType)
    runpy.run_path(options.__file__)


def test_report_makes_the_views_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(2))
    result = CliRunner().invoke(main, ["report", str(run.path)])
    assert result.exit_code == 0
    for name in ("report.html", "report.md", "junit.xml"):
        assert (run.path / name).stat().st_size > 500


def test_no_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 3
    assert "is not a run's folder: " in result.output
    assert "cases.jsonl: No such file or directory." in result.output


def test_doctor_reads_the_model_whatever_the_board_is(
    tmp_path: Path,
    make_bundle: MakeBundle,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(version: str) -> None:
        raise ToolkitError("There is none.")

    monkeypatch.setattr("sklearn2rknn.open_toolkit", refuse)
    monkeypatch.setattr("rknn_harness.commands.cli.look_at", lambda *_: {})
    for model, expected in (
        (make_bundle(fitted("softmax")), "ok model model.rknn is a complete bundle, from MLPClassifier"),
        (tmp_path / "none.rknn", "no model No model file at"),
    ):
        result = CliRunner().invoke(main, ["doctor", "--model", str(model)])
        assert result.exit_code == 3
        assert expected in " ".join(result.output.split())


def test_replay_needs_one_case(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", mixed_results(2))
    for case_id, count in (("softmax", 7), ("nothing", 0)):
        result = CliRunner().invoke(main, ["replay", str(run.path), case_id])
        assert result.exit_code == 2
        assert f"{count} cases of" in result.output


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--board", "rock"], "There is no board 'rock'"),
        (["--toolkit", "9.9"], "There is no toolkit '9.9'"),
        (["--second-builds", "1.5"], "1.5 is not in the range 0<=x<=1"),
        (["--second-builds", "nan"], "'nan' is no number from 0 to 1"),
    ],
)
def test_wrong_usage_of_run_is_code_2(
    options: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = CliRunner().invoke(main, ["run", *options])
    captured = capfd.readouterr()
    assert result.exit_code == 2
    assert says in result.output + captured.out + captured.err

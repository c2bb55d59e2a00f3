"""``rknn-harness compare`` and ``rknn-harness trend``: what changed from run to run."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from rknn_harness.errors import HarnessError
from rknn_harness.records.outcomes import ExitCode
from rknn_harness.records.run_folder import read_run
from rknn_harness.report.compare_page import comparison_text, write_comparison
from rknn_harness.report.comparison import compare as compare_runs
from rknn_harness.report.trend import trend as trend_of
from rknn_harness.report.trend_page import trend_table, write_trend

__all__ = ["compare", "trend"]

_run = click.Path(exists=True, file_okay=False, path_type=Path)
_output = click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for the page and the JSON."
)


@click.command()
@click.option(
    "--time/--no-time",
    default=True,
    show_default=True,
    help="Whether times count: between hosts those of a virtual board say nothing.",
)
@_output
@click.argument("before", type=_run)
@click.argument("after", type=_run)
def compare(time: bool, output: Path | None, before: Path, after: Path) -> None:
    """Compare the run AFTER with the run BEFORE, case by case.

    Tells what newly fails and passes, which cases one run alone has, and where accuracy or time moved beyond
    noise. The same as compare.html and compare.json go to AFTER's folder, or to --output. The exit code is 1
    for a regression; expected failures and infra_error are none.
    """
    with _errors():
        found = compare_runs(read_run(before), read_run(after), time=time)
        page = write_comparison(found, output or after)
    click.echo(comparison_text(found))
    click.echo(page)
    sys.exit(int(found.code))


@click.command()
@_output
@click.argument("runs", type=_run, nargs=-1, required=True)
def trend(output: Path | None, runs: tuple[Path, ...]) -> None:
    """Show how pass rate, labels, errors and times went over RUNS.

    A table goes to the terminal, trend.html and trend.json to the folder that holds the newest run, or to
    --output.
    """
    with _errors():
        found = trend_of(read_run(path) for path in runs)
        page = write_trend(found, output or found.runs[-1].path.parent)
    Console().print(trend_table(found))
    click.echo(page)


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except HarnessError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(int(ExitCode.INFRASTRUCTURE))

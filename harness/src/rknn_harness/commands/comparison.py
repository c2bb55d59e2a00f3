"""``rknn-harness compare`` and ``rknn-harness trend``: changes from run to run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rknn_harness.commands.options import errors_as_exit_codes
from scirknn.text import printable

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
    help="Whether times count; a virtual board's mean nothing between hosts.",
)
@_output
@click.argument("before", type=_run)
@click.argument("after", type=_run)
def compare(time: bool, output: Path | None, before: Path, after: Path) -> None:
    """Compare the run AFTER with the run BEFORE, case by case.

    Prints what newly fails and passes, which cases one run alone has, and where accuracy or time moved beyond
    noise; writes the same as compare.html and compare.json into AFTER's folder, or --output. The exit code is
    1 for a regression; expected failures and infra_error are none.
    """
    from rknn_harness.records.reading import shown
    from rknn_harness.records.run_folder import read_run
    from rknn_harness.report.compare_page import comparison_text, write_comparison
    from rknn_harness.report.comparison import compare as compare_runs

    with errors_as_exit_codes(), shown(before, after):
        changes = compare_runs(read_run(before), read_run(after), time=time)
        page = write_comparison(changes, output or after)
        click.echo(printable(comparison_text(changes)))
    click.echo(printable(str(page)))
    sys.exit(int(changes.code))


@click.command()
@_output
@click.argument("runs", type=_run, nargs=-1, required=True)
def trend(output: Path | None, runs: tuple[Path, ...]) -> None:
    """Show pass rate, labels, errors and times over RUNS.

    Prints a table; writes trend.html and trend.json into the folder that holds the newest run, or --output.
    """
    from rich.console import Console

    from rknn_harness.records.reading import shown
    from rknn_harness.records.run_folder import read_run
    from rknn_harness.report.trend import trend as trend_of
    from rknn_harness.report.trend_page import trend_table, write_trend

    with errors_as_exit_codes(), shown(*runs):
        series = trend_of(read_run(path) for path in runs)
        page = write_trend(series, output or series.runs[-1].path.parent)
        Console().print(trend_table(series))
    click.echo(printable(str(page)))

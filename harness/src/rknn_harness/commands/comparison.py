"""``rknn-harness compare``, ``accept`` and ``trend``: changes from run to run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rknn_harness.boards.claim import owner
from rknn_harness.commands.options import errors_as_exit_codes
from rknn_harness.errors import RunFolderError
from scirknn.text import printable
from sklearn2rknn.toolkit.pins.versions import default_version, toolkit_versions

if TYPE_CHECKING:
    from rknn_harness.records.run_folder import Run
    from rknn_harness.report.comparison import Choice

_Command = TypeVar("_Command", bound=Callable[..., Any])

_run = click.Path(exists=True, file_okay=False, path_type=Path)
_output = click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for the page and the JSON."
)


def _pair(axis: str, what: str) -> Callable[[_Command], _Command]:
    return click.option(f"--{axis}", nargs=2, metavar="BEFORE AFTER", help=f"Compare two {what}.")


@click.command()
@_pair("toolkit", "toolkits, also `default` and `newest` of the table of toolkits")
@_pair("board", "boards")
@_pair("precision", "precisions")
@click.option(
    "--time/--no-time",
    default=None,
    help="Whether times count; a virtual board's mean nothing.  [default: those of boards with an NPU]",
)
@_output
@click.argument("before", type=click.Path(file_okay=False, path_type=Path))
@click.argument("after", type=_run, required=False)
def compare(before: Path, after: Path | None, time: bool | None, output: Path | None, **pairs: Any) -> None:
    """Compare the run AFTER with the run BEFORE, or two toolkits, boards or precisions.

    \b
    rknn-harness compare runs/A runs/B                            case by case
    rknn-harness compare runs/A --toolkit 2.3.2 2.5.0             inside one run: may we upgrade?
    rknn-harness compare runs/A runs/B --toolkit 2.3.2 2.5.0      2.3.2 of A with 2.5.0 of B

    Prints what newly fails and passes, by cause, which cases one side alone has, and where accuracy or time
    moved beyond noise; writes the same as compare.html, compare.md and compare.json into the last run's
    folder, or --output. The exit code is 0 without a regression, 1 with one, 2 for wrong usage, 3 where a
    run is incomplete or no case could be compared. Expected failures and infra_error are no regression.
    """  # noqa: D301
    from rknn_harness.records.reading import refuse_unshowable
    from rknn_harness.records.run_folder import read_run
    from rknn_harness.report.comparison import compare as compare_runs
    from rknn_harness.report.comparison.page import comparison_lines, write_comparison
    from rknn_harness.screen.printer import print_lines

    if pairs["toolkit"] == ("default", "newest") and default_version() == toolkit_versions()[-1]:
        click.echo(
            f"The default toolkit, {default_version()}, is the newest one: there is nothing to compare."
        )
        return
    is_one_run, after = after is None, after or before
    with errors_as_exit_codes(), refuse_unshowable(before, after):
        if not is_one_run:
            _check_accepted(before, after)
        runs = read_run(before), read_run(after)
        choice = _choice(pairs, runs, is_one_run=is_one_run)
        changes = compare_runs(*runs, choice, time=time)
        print_lines(comparison_lines(changes), sys.stdout)
        page = write_comparison(changes, output or after)
    click.echo(printable(str(page)))
    sys.exit(int(changes.code))


def _check_accepted(before: Path, after: Path) -> None:
    """Raise `RunFolderError` where there is nothing yet that a run could be compared with."""
    if not before.exists():
        raise RunFolderError(
            f"There is no run {before} to compare with. If {after} is to be the accepted one, read its "
            f"report.html and accept it: rknn-harness accept {after} --as {before}"
        )


def _choice(pairs: Mapping[str, tuple[str, str] | None], runs: Sequence[Run], *, is_one_run: bool) -> Choice:
    """Return what is compared, or raise `click.UsageError` for names that a run does not have."""
    from rknn_harness.report.comparison import Choice
    from rknn_harness.report.comparison.choice import names_of

    chosen = {}
    for axis, pair in pairs.items():
        if not pair:
            continue
        names = tuple(map(_version, pair)) if axis == "toolkit" else pair
        for name, run in zip(names, runs, strict=True):
            known = names_of(run, axis)
            for each in run.manifest.get("not_run", ()):
                if (axis, each["toolkit"]) == ("toolkit", name):
                    raise RunFolderError(f"Toolkit {name} was not run in {run.path}: {each['reason']}.")
            if known and name not in known:
                raise click.UsageError(f"{run.path} has no {axis} {name!r}; it has {', '.join(known)}.")
        chosen[axis] = names[0], names[1]
    if is_one_run and all(old == new for old, new in chosen.values()):
        raise click.UsageError("Name two runs, or two toolkits, boards or precisions of one.")
    return Choice(**chosen)


def _version(name: str) -> str:
    """Return a toolkit's version, also by what the table of toolkits says of it."""
    if name == "default":
        return default_version()
    return toolkit_versions()[-1] if name == "newest" else name


@click.command(epilog="Example: rknn-harness accept runs/first --as runs/accepted")
@click.option(
    "--as",
    "target",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the accepted run is kept.  [default: `accepted` beside RUN]",
)
@click.argument("run", type=_run)
def accept(run: Path, target: Path | None) -> None:
    """Make RUN the accepted one, which later runs are compared with.

    RUN is copied, and the copy names who accepted it and when. Read its report first: what fails in an
    accepted run is no regression any more. A run that is not complete cannot be accepted.
    """
    from rknn_harness.records.reading import refuse_unshowable
    from rknn_harness.report.comparison.accepted import accept_run
    from rknn_harness.report.numbers import summarize

    with errors_as_exit_codes(), refuse_unshowable(run):
        accepted = accept_run(run, target or run.absolute().parent / "accepted", owner())
        verdict, by = summarize(accepted).verdict, accepted.manifest["accepted"]["by"]
    click.echo(printable(f"{accepted.path} is {run} now, accepted by {by}: {verdict}"))


@click.command(epilog="Example: rknn-harness trend runs/*")
@_output
@click.argument("runs", type=_run, nargs=-1, required=True)
def trend(output: Path | None, runs: tuple[Path, ...]) -> None:
    """Show pass rate, labels, errors and times over RUNS.

    Prints a table; writes trend.html and trend.json into the folder that holds the newest run, or --output.
    """
    from rich.console import Console

    from rknn_harness.records.reading import refuse_unshowable
    from rknn_harness.records.run_folder import read_run
    from rknn_harness.report.trend import trend as trend_of
    from rknn_harness.report.trend_page import trend_table, write_trend

    with errors_as_exit_codes(), refuse_unshowable(*runs):
        series = trend_of(read_run(path) for path in runs)
        page = write_trend(series, output or series.runs[-1].path.parent)
        Console(width=200).print(trend_table(series))  # no name is cut
    click.echo(printable(str(page)))

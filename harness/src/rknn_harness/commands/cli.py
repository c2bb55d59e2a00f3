"""``rknn-harness``: the device suite, its runs, boards and toolkits."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

import sklearn2rknn
from rknn_harness import __version__
from rknn_harness.commands.boards import Findings, board, look_at
from rknn_harness.commands.comparison import accept, compare, trend
from rknn_harness.commands.conversion_options import check_conversion_options, conversion_options
from rknn_harness.commands.options import (
    BOARD_VARIABLE,
    Duration,
    Share,
    acquire_board,
    board_option,
    boards_option,
    errors_as_exit_codes,
)
from rknn_harness.commands.own_options import OwnOptions, check_kept, own_options
from rknn_harness.commands.probe import probe
from rknn_harness.commands.toolkits import toolkits
from rknn_harness.errors import HarnessError
from rknn_harness.records.case import PRECISIONS, Case
from rknn_harness.records.outcomes import ExitCode
from rknn_harness.suite.run_options import RunOptions
from scirknn import ScirknnError, read_bundle
from scirknn.devices.compatibility import BoardVersions, check
from scirknn.temporary import TemporaryFolder
from scirknn.termination import interrupt_on_sigterm
from scirknn.text import cause_of, printable
from sklearn2rknn.file_path import FilePath, OutputErrors
from sklearn2rknn.toolkit.pins.versions import toolkit_version

if TYPE_CHECKING:
    from rknn_harness.records.case_result import CaseResult


class _Harness(OutputErrors, click.Group):
    """The program's commands."""

    output_error_code = int(ExitCode.INFRASTRUCTURE)


@click.group(cls=_Harness, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="rknn-harness %(version)s")
def main() -> None:
    """Run scikit-learn models on a Rockchip board and judge its answers against scikit-learn's.

    \b
    rknn-harness run                      convert, send, predict, judge; a report at the end
    rknn-harness run --max-cases 5        the same with a few random networks
    rknn-harness run --family kernels     also data sets and drawn models of a family
    rknn-harness run --toolkit 2.2.0 2.5.0 --precision float16 int8    a matrix of them
    rknn-harness run --model mine.skops --rows X.npy    judge a model of your own
    rknn-harness run --resume runs/RUN    go on with a run that broke
    rknn-harness report runs/RUN          make a run's report again
    rknn-harness replay runs/RUN CASE     try one case of a run again, from its own line
    rknn-harness compare runs/A runs/B    what changed, beyond noise; 1 for a regression
    rknn-harness compare runs/A --toolkit 2.3.2 2.5.0    the same from one toolkit to another
    rknn-harness accept runs/A            make it the run that later ones are compared with
    rknn-harness trend runs/*             pass rate, errors and times over many runs
    rknn-harness board facts              the board's versions, clocks and temperatures
    rknn-harness probe                    measure on a board what documents leave open
    rknn-harness doctor                   whether this machine and the board are ready
    rknn-harness toolkits list            the toolkit's versions, and what is installed of each

    Without a board of your own everything runs on the virtual one: an SSH server on this machine whose NPU
    is an emulator. Begin with `rknn-harness doctor`, then `rknn-harness run --max-cases 5`; your own board
    is an entry in boards.toml. Exit codes: 0 clean, 1 a case failed, 2 wrong usage, 3 the board or the
    toolkit could not be reached or failed, 143 ended by SIGTERM.
    """  # noqa: D301
    click.get_current_context().with_resource(interrupt_on_sigterm())


class _SpacedValues(click.Command):
    """A command whose options take several values: ``--toolkit 2.2.0 2.5.0``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeatable = {
            name for option in self.params if getattr(option, "multiple", False) for name in option.opts
        }
        spread: list[str] = []
        current = ""
        for position, word in enumerate(args):
            if word.startswith("-"):
                current = word if word in repeatable else ""
            elif current and args[position - 1] != current:
                spread.append(current)
            spread.append(word)
        return super().parse_args(ctx, spread)


@main.command(cls=_SpacedValues)
@click.option(
    "--board",
    multiple=True,
    envvar=BOARD_VARIABLE,
    show_envvar=True,
    help="A board's name; several are possible.  [default: virtual]",
)
@boards_option
@click.option(
    "--toolkit",
    multiple=True,
    help="Version of rknn-toolkit2; several are possible, and `all`, every one of the table whose wheel is "
    "here or on a package index.  [default: 2.3.2]",
)
@click.option(
    "--precision",
    multiple=True,
    type=click.Choice(PRECISIONS),
    help="Several are possible.  [default: float16 int8]",
)
@own_options
@click.option(
    "--max-cases",
    type=click.IntRange(0),
    help="Random networks, each tried on every toolkit and board.  [default: 50]",
)
@click.option(
    "--family",
    multiple=True,
    help="Family of other models, such as kernels, or all, or none: its data sets and drawn models; several "
    "are possible.  [default: one model of each family]",
)
@click.option(
    "--family-cases",
    type=click.IntRange(0),
    help="Drawn models of the families asked for, in the precisions that `sklearn2rknn supported` names for "
    "them.  [default: 10]",
)
@click.option(
    "--guard",
    type=click.Choice(["on", "off"]),
    help="off: convert random networks plainly, to see the defects that the converter goes around.",
)
@click.option(
    "--corpus",
    type=FilePath(),
    help="Folder of failures, which are tried first and added to.  [default: corpus]",
)
@click.option(
    "--examples", type=FilePath(), help="Folder of hypothesis's examples, drawn first.  [default: none]"
)
@click.option(
    "--expectations", type=FilePath(), help="Folder of lists of known failures.  [default: expectations]"
)
@click.option(
    "--update-expectations",
    is_flag=True,
    help="At the end add this run's new failures to the lists, and remove lines that are out of date.",
)
@click.option(
    "--baseline", type=FilePath(), help="Folder of the last accepted run, whose latencies calls are held to."
)
@click.option(
    "--seed", type=click.IntRange(0), help="Seed of the random networks; a run records the one it drew."
)
@click.option(
    "--second-builds",
    type=Share(),
    help="Share of the cases whose files are built a second time (digest_reproducible), drawn by the seed, "
    "4 at least of each toolkit and precision. 1: all, 0: none.  [default: 0.25]",
)
@click.option("--run-dir", type=FilePath(), help="Folder of the run.  [default: a new one in runs/]")
@click.option(
    "--resume",
    type=FilePath(exists=True, file_okay=False),
    help="Go on with a run that broke, in its folder and with its options.",
)
@click.option(
    "--jobs", type=click.IntRange(1), help="Processes that work side by side.  [default: one per CPU]"
)
@click.option(
    "--wait", type=Duration(), help="How long to wait for a board that others have, such as 90s or 2h."
)
@conversion_options
@click.option("-k", "keyword", help="Only tests whose names match, as pytest's -k.")
@click.option("--all", "all_rows", is_flag=True, help="A row of the table for every data set.")
@click.option("--verbose", is_flag=True, help="Show pytest's own progress, test by test.")
def run(jobs: int | None, verbose: bool, boards_file: Path | None, **options: Any) -> None:
    """Run the device suite, or judge your own model, and write a run's folder.

    \b
    rknn-harness run --max-cases 5                        with 5 random networks
    rknn-harness run --model iris.skops --rows X.npy      a model of your own
    rknn-harness run --boards boards.toml --board desk    on a board of your own
    rknn-harness run --toolkit 2.3.2 2.5.0 --seed 0       on two toolkits
    rknn-harness run --resume runs/first                  go on where one broke

    Every case goes from a fitted estimator through the toolkit to the board, and is judged stage by stage
    against scikit-learn; every toolkit is tried with every board. Each case is on disk the moment it ends, in
    cases.jsonl; report.html, report.md and junit.xml are made from that.

    With --model your own model is judged and nothing else, unless --max-cases asks for the suite's too: half
    of the rows go to the converter, and labels and R2 are counted on the other half.
    """  # noqa: D301
    from rknn_harness.suite.invocation import run_suite

    mine = OwnOptions(**{field.name: options.pop(field.name) for field in attrs.fields(OwnOptions)})
    given = {
        name: value for name, value in {**options, "boards": boards_file}.items() if value not in (None, ())
    }
    if "resume" in given:
        check_kept(given["resume"], trust_pickle=mine.trust_pickle)
    check_conversion_options(given)
    words = ["-v", "--tb=short", "--disable-warnings"] if verbose else ["-p", "no:terminal"]
    with TemporaryFolder() as folder:
        given |= mine.keep(folder, given)
        texts = {name: str(value) for name, value in given.items() if isinstance(value, Path)}
        code = run_suite(RunOptions(**{**given, **texts}), jobs or os.cpu_count() or 1, words)
    sys.exit(int(code))


@main.command(epilog="Example: rknn-harness report runs/first --facts desk.json")
@click.option(
    "--facts",
    multiple=True,
    type=FilePath(exists=True, dir_okay=False),
    help="Keep a board's answers to the probe in the run's folder, and show them; more than once for more.",
)
@click.argument("run_dir", type=FilePath(exists=True, file_okay=False))
def report(run_dir: Path, facts: tuple[Path, ...]) -> None:
    """Make the report and junit.xml of RUN_DIR again from its cases.jsonl."""
    from rknn_harness.probe.agreement import for_report
    from rknn_harness.probe.facts_file import read_facts
    from rknn_harness.report.board_facts import keep_facts
    from rknn_harness.report.views import write_views

    with errors_as_exit_codes():
        for answers in [for_report(read_facts(path)) for path in facts]:
            keep_facts(run_dir, answers)
        click.echo(printable(str(write_views(run_dir))))


@main.command(epilog="Example: rknn-harness replay runs/first iris-int8-n64")
@board_option
@boards_option
@click.option("--toolkit", help="Another version than the case was run with.")
@click.option("--trust-pickle", is_flag=True, help="Load your model's pickle whatever it names.")
@click.argument("where", type=FilePath(exists=True, file_okay=False))
@click.argument("case_id", required=False)
def replay(
    board_name: str,
    boards_file: Path | None,
    toolkit: str | None,
    trust_pickle: bool,
    where: Path,
    case_id: str | None,
) -> None:
    """Try one case again: CASE_ID of the run in WHERE, or the entry of a corpus that WHERE is.

    CASE_ID may be shortened as long as one case alone begins with it. The result is printed as JSON, and
    whether its verdict is the recorded one; the folder is not changed.
    """
    from rknn_harness.conformance.run_case import CaseFiles, run_case
    from rknn_harness.models.own_model import is_estimator
    from rknn_harness.plan.corpus import read_case, read_verdict
    from rknn_harness.records.case_result import results_code
    from sklearn2rknn.toolkit.environment_choice import parse_choice

    with errors_as_exit_codes():
        if case_id is None:
            case, corpus, recorded = read_case(where), where.parent, read_verdict(where)
        else:
            case, recorded = _find_case(where, case_id, toolkit, board_name)
            corpus = where / "corpus"
        case = attrs.evolve(case, toolkit=parse_choice(toolkit or case.toolkit)[0])
        models = where / "own"
        with acquire_board(board_name, boards_file) as link, contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")  # as in a run: of arrays for a model that was fitted with names
            opened = None
            if case.kind != "own" or is_estimator(models / str(case.source)):
                opened = stack.enter_context(sklearn2rknn.open_toolkit(toolkit or case.toolkit))
            result = run_case(case, opened, link, files=CaseFiles(None, corpus, models, trust_pickle))
    click.echo(json.dumps(result.to_json(), indent=1))
    verdict = _verdict(result)
    comparison = "the same as recorded" if verdict == recorded else f"recorded was {_at(recorded)}"
    click.echo(f"{_at(verdict)}: {comparison}", err=True)
    sys.exit(int(results_code([result])))


def _verdict(result: CaseResult) -> tuple[str, str | None]:
    """Return a result's outcome and stage."""
    return result.outcome.value, None if result.stage is None else result.stage.value


def _at(verdict: tuple[str, str | None]) -> str:
    return " at ".join(filter(None, verdict))


def _find_case(
    run_dir: Path, case_id: str, toolkit: str | None, board: str
) -> tuple[Case, tuple[str, str | None]]:
    """Return a run's case and verdict, if possible of this toolkit and board."""
    from rknn_harness.records.run_folder import read_run
    from sklearn2rknn.toolkit.environment_choice import parse_choice

    results = {result.key: result for result in read_run(run_dir).results}
    ids = {key[0] for key in results}
    matches = [case_id] if case_id in ids else sorted(name for name in ids if name.startswith(case_id))
    if len(matches) != 1:
        raise click.UsageError(f"{len(matches)} cases of {run_dir} begin with {case_id!r}.")
    tries = [result for key, result in results.items() if key[0] == matches[0]]
    version = parse_choice(toolkit)[0] if toolkit else None
    # The nearest one on record: false sorts before true.
    result = min(tries, key=lambda one: (version not in (None, one.case.toolkit), one.board != board))
    return result.case, _verdict(result)


@main.command(epilog="Example: rknn-harness doctor --boards boards.toml --board desk")
@board_option
@boards_option
@click.option("--toolkit", default="2.3.2", show_default=True, help="Version of rknn-toolkit2.")
@click.option("--model", type=FilePath(), help="A bundle to check against the board's versions.")
def doctor(board_name: str, boards_file: Path | None, toolkit: str, model: Path | None) -> None:
    """Check that this machine has what a run needs: the toolkit, the board, room on the disk.

    Checks too that the toolkit's files, or the model given, go with the board's librknnrt, driver and
    rknnlite. The toolkit's environment is made if it is missing (about 170 MB to download, once).
    """
    findings = Findings()
    try:
        with sklearn2rknn.open_toolkit(toolkit) as opened:
            findings.add("toolkit", True, f"rknn-toolkit2 {toolkit} in a {opened.environment.kind}")
    except (sklearn2rknn.Sklearn2RknnError, OSError) as error:
        findings.add("toolkit", False, str(error))
    made_with = _made_with(findings, toolkit, model)
    try:
        facts = look_at(findings, board_name, boards_file)
        if facts is not None and facts.get("librknnrt"):
            for finding in check(made_with, _versions_of(facts)):
                findings.add_finding(finding)
    except (HarnessError, ScirknnError, click.ClickException) as error:
        findings.add("board", False, str(error))
    free = shutil.disk_usage(tempfile.gettempdir()).free
    room = f"{free >> 20} MiB free in {tempfile.gettempdir()}; a run needs some hundred"
    findings.add("disk", free > 1 << 30, room)
    sys.exit(findings.show())


def _made_with(findings: Findings, toolkit: str, model: Path | None) -> Mapping[str, Any]:
    """Return the toolkit that made the model, or would make one, as far as it is known."""
    from sklearn2rknn.toolkit.environment_choice import parse_choice

    try:
        if model is None:
            entry = toolkit_version(parse_choice(toolkit)[0])
            return {"version": entry.version, "model_format": entry.model_format}
        bundle = read_bundle(model)
    except (ScirknnError, sklearn2rknn.Sklearn2RknnError, OSError) as error:
        if model is not None:  # an unknown toolkit is a finding already
            findings.add("model", False, cause_of(error))
        return {}
    made_with = bundle.details.get("toolkit")
    findings.add("model", True, f"{bundle.path.name} is a complete bundle, from {bundle.estimator}")
    return dict(made_with) if isinstance(made_with, dict) else {}


def _versions_of(facts: Mapping[str, Any]) -> BoardVersions:
    chips = facts.get("compatible")
    return BoardVersions(
        facts.get("librknnrt"), facts.get("driver"), facts.get("rknnlite"), tuple(chips) if chips else None
    )


main.add_command(accept)
main.add_command(board)
main.add_command(compare)
main.add_command(toolkits)
main.add_command(probe)
main.add_command(trend)


if __name__ == "__main__":
    main()

"""``rknn-harness probe``: ask a board open questions, or check a file of answers."""

from __future__ import annotations

import datetime
import platform as machine
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

import sklearn2rknn
from rknn_harness.boards.claim import Claim
from rknn_harness.commands.options import acquire_board, board_option, boards_option, errors_as_exit_codes
from rknn_harness.errors import InfraError
from rknn_harness.records.outcomes import ExitCode
from scirknn.devices.compatibility import distribution_version
from scirknn.text import printable

if TYPE_CHECKING:
    from rknn_harness.boards.board_link import BoardLink
    from rknn_harness.probe.asking import Answered

_PACKAGES = ("rknn-harness", "sklearn2rknn", "scirknn", "virtual-npu")


@click.command(epilog="Example: rknn-harness probe --boards boards.toml --board desk")
@board_option
@boards_option
@click.option("--toolkit", default="2.3.2", show_default=True, help="Version of rknn-toolkit2.")
@click.option("--platform", default="rk3588", show_default=True, help="The board's chip.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Facts file to write; a .md is written beside it.  [default: probe-BOARD-TOOLKIT.json]",
)
@click.option(
    "--only", multiple=True, metavar="NAME", help="Ask this question only; more than once for more."
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    default=10.0,
    show_default=True,
    help="Questions that are left then are not asked.",
)
@click.option(
    "--check",
    "checked",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask no board: compare the answers in this facts file with what virtual_npu is built on.",
)
def probe(
    board_name: str, boards_file: Path | None, out: Path | None, checked: Path | None, **wanted: Any
) -> None:
    """Measure on a board what documents leave open: rounding, tables, cores, forms, costs.

    Builds and runs small models whose outputs distinguish the possible answers, and writes a facts file with
    the answers, the board's versions and the raw data. Then compares each answer with virtual_npu's, and
    prints every disagreement. Exit code 1 for a disagreement where the board is virtual or --check was given:
    a real board is right, whatever it answers.
    """
    from rknn_harness.probe.agreement import disagreements, unsettled
    from rknn_harness.probe.asking import QUESTIONS
    from rknn_harness.probe.facts_file import read_facts, write_facts

    choice = _Choice(**wanted)
    unknown = sorted(set(choice.only) - set(QUESTIONS))
    if unknown:
        raise click.UsageError(f"There is no question {unknown[0]!r}; there are {', '.join(QUESTIONS)}.")
    with errors_as_exit_codes():
        if checked is not None:
            facts = read_facts(checked)
        else:
            with acquire_board(board_name, boards_file, claim=Claim(what="probe")) as link:
                facts = _ask_board(link, choice)
            out = out or Path(f"probe-{board_name}-{choice.toolkit.partition('@')[0]}.json")
            click.echo(f"{out} and {write_facts(out, facts)} written.")
    wrong = disagreements(facts)
    for each in wrong:
        click.echo(printable(f"{each.question}: {each.text}"))
    open_ones = [name for name in unsettled(facts) if not choice.only or name in choice.only]
    if open_ones:
        click.echo(f"Not settled: {', '.join(open_ones)}.")
    if not wrong:
        click.echo("virtual_npu agrees with every answer.")
    judged = checked is not None or facts["virtual"]
    sys.exit(int(ExitCode.CONFORMANCE if wrong and judged else ExitCode.CLEAN))


@attrs.frozen
class _Choice:
    """What to ask with which toolkit, for how long."""

    toolkit: str
    platform: str
    only: tuple[str, ...]
    minutes: float


def _ask_board(link: BoardLink, choice: _Choice) -> dict[str, Any]:
    """Ask a board, and return the facts; a failure after the first session costs a question."""
    from rknn_harness.probe.asking import QUESTIONS, ask
    from rknn_harness.probe.bench import Bench
    from rknn_harness.probe.facts_file import ProbeRun, document

    begun, clock = datetime.datetime.now(datetime.timezone.utc), time.monotonic()
    facts = link.session().facts()
    virtual = link.board.virtual or bool(facts.get("virtual"))
    failures = 0

    def broken(error: InfraError) -> None:
        nonlocal failures
        failures += 1
        if failures < 3:
            link.drop()
        else:
            link.give_up(error)

    with sklearn2rknn.open_toolkit(choice.toolkit) as opened:
        bench = Bench(
            opened,
            lambda: link.session().raw_models,
            virtual=virtual,
            seconds=60 * choice.minutes,
            platform=choice.platform,
        )
        questions = [question for name, question in QUESTIONS.items() if name in (choice.only or QUESTIONS)]
        answered = ask(questions, bench, on_answer=_show, on_lost_board=broken)
        version = opened.version
    run = ProbeRun(
        board=link.board.name,
        virtual=virtual,
        toolkit=version,
        platform=choice.platform,
        versions=_versions(),
        facts=facts,
        facts_after=link.facts(),
        clocks=bench.clocks,
        started=begun.isoformat(timespec="seconds"),
        seconds=time.monotonic() - clock,
    )
    return document(answered, run)


def _versions() -> Mapping[str, str]:
    versions = {name: distribution_version(name) or "unknown" for name in _PACKAGES}
    return {**versions, "python": machine.python_version()}


def _show(answered: Answered) -> None:
    from rich.console import Console

    from rknn_harness.probe.question import FAILED, UNDECIDED

    question, answer = answered.question, answered.answer
    colour = {FAILED: "red", UNDECIDED: "yellow"}.get(answer.key, "green")
    text = question.answers.get(answer.key) or answer.note
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[{colour}]{answer.key}[/]", end=" ")
    console.print(f"{question.name} ({answered.seconds:.1f} s): {text}", markup=False)

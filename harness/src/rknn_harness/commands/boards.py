"""``rknn-harness board``: list, examine and reserve boards."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import click

from rknn_harness.boards.board import Board
from rknn_harness.boards.board_state import BoardState, board_states
from rknn_harness.boards.boards_file import read_boards
from rknn_harness.boards.claim import Claim, owner
from rknn_harness.commands.options import (
    Duration,
    acquire_board,
    board_option,
    boards_option,
    choose_board,
    errors_as_exit_codes,
)
from rknn_harness.errors import BoardError, InfraError
from rknn_harness.records.outcomes import ExitCode
from scirknn.devices.compatibility import Finding
from scirknn.text import printable
from sklearn2rknn.progress import progress


@click.group()
def board() -> None:
    """List, lock and look at boards.

    \b
    rknn-harness board list --boards boards.toml                     which there are, and how they are
    rknn-harness board facts --boards boards.toml --board desk       versions, clocks, temperatures
    rknn-harness board doctor --boards boards.toml --board desk      what is wrong with it, and the cure
    rknn-harness board lock --boards boards.toml --board desk        keep runs of others off it
    rknn-harness board unlock --boards boards.toml --board desk      end that
    """  # noqa: D301


@board.command("list", epilog="Example: rknn-harness board list --boards boards.toml --within 5s")
@boards_option
@click.option(
    "--within",
    "seconds",
    type=Duration(),
    default="20s",
    show_default=True,
    help="How long boards are waited for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
def list_boards(boards_file: Path | None, seconds: float, as_json: bool) -> None:
    """List the boards that can be named, and how they are.

    All are asked at once. A board is ready, in use or reserved (by whom, until when), refused or unreachable
    (why, and what to do), virtual (started here for each use), or on request (its provider hands it out).
    """
    with errors_as_exit_codes():
        boards = read_boards(boards_file)
        with progress(f"asking {len(boards)} boards"):
            states = board_states(boards, seconds)
        entries = [_as_json(entry, states[name]) for name, entry in boards.items()]
        if as_json:
            click.echo(json.dumps(entries, indent=1))
        else:
            _show_boards(entries)


@board.command("facts", epilog="Example: rknn-harness board facts --boards boards.toml --board desk")
@board_option
@boards_option
def print_facts(board_name: str, boards_file: Path | None) -> None:
    """Print the board's facts, as JSON."""
    with errors_as_exit_codes(), acquire_board(board_name, boards_file, leased=False) as link:
        click.echo(json.dumps(link.session().facts(), indent=1))


@board.command(epilog="Example: rknn-harness board lock --boards boards.toml --board desk --for 2h")
@board_option
@boards_option
@click.option("--for", "seconds", type=Duration(), default="2h", show_default=True, help="For how long.")
@click.option("--why", default="", help="The reason that others see.")
def lock(board_name: str, boards_file: Path | None, seconds: float, why: str) -> None:
    """Reserve a board: runs of others are refused until the time is over or you unlock it.

    Your own runs go on as ever. You are user and host of this machine, or RKNN_HARNESS_OWNER.
    """
    with errors_as_exit_codes():
        _refuse_made_for_each_use(board_name, boards_file)
        with acquire_board(board_name, boards_file, claim=Claim(why or "board lock")) as link:
            made = link.session().lease.reserve(seconds, why, owner=owner())
    click.echo(printable(f"{board_name} is reserved for {made.owner} until {_moment(made.until)}."))


@board.command(epilog="Example: rknn-harness board unlock --boards boards.toml --board desk")
@board_option
@boards_option
@click.option("--force", is_flag=True, help="Another's reservation too.")
def unlock(board_name: str, boards_file: Path | None, force: bool) -> None:
    """End your reservation of a board. A session that runs there goes on."""
    with errors_as_exit_codes():
        _refuse_made_for_each_use(board_name, boards_file)
        with acquire_board(board_name, boards_file, leased=False) as link:
            ended = link.session().lease.unreserve(owner=owner(), force=force)
    if ended is None:
        click.echo(f"{board_name} was not reserved.")
    else:
        why = f" ({ended.what})" if ended.what else ""
        click.echo(printable(f"{board_name} is no longer reserved for {ended.owner}{why}."))


@board.command("doctor", epilog="Example: rknn-harness board doctor --boards boards.toml --board desk")
@board_option
@boards_option
def examine_board(board_name: str, boards_file: Path | None) -> None:
    """Check what may keep a board from running models, and print the commands that mend it."""
    findings = Findings()
    with errors_as_exit_codes():
        look_at(findings, board_name, boards_file)
    sys.exit(findings.show())


_FREE = {"session": "nobody uses the board", "reserved": "nobody has reserved it"}


class Findings:
    """A table of findings, one line each."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, ...]] = []
        self._has_errors = False

    def add(self, name: str, good: bool, text: str, *, level: str = "", command: str = "") -> None:
        """Add a line; one that is not good makes the exit code 3."""
        from rich.markup import escape

        self._has_errors |= not good
        word = level or ("ok" if good else "no")
        color = "red" if not good else "green" if word == "ok" else "yellow"
        texts = (escape(printable(each)) for each in (name, text, command))
        self._rows.append((f"[{color}]{word}[/]", *texts))

    def add_finding(self, finding: Finding | Mapping[str, str]) -> None:
        """Add a finding of scirknn's doctor, here or on a board."""
        entry = dataclasses.asdict(finding) if isinstance(finding, Finding) else finding
        is_error = entry["level"] == "error"
        level = "" if is_error else entry["level"]
        self.add(entry["rule"], not is_error, entry["text"], level=level, command=entry["command"])

    def show(self) -> int:
        """Print the table and return the exit code."""
        from rich.console import Console
        from rich.table import Table

        console = Console(highlight=False)
        for word, name, text, command in self._rows:
            line = Table.grid(padding=(0, 2))
            for width in (7, 11, None):
                line.add_column(min_width=width)
            line.add_row(word, name, text)
            console.print(line)
            if command:  # in one line, to be copied
                console.print(f"         [bold]$ {command}[/]", soft_wrap=True)
        return int(ExitCode.INFRASTRUCTURE if self._has_errors else ExitCode.CLEAN)


def look_at(findings: Findings, board_name: str, boards_file: Path | None) -> Mapping[str, Any] | None:
    """Add findings about a board, and return its facts; None where it is unreachable."""
    try:
        with acquire_board(board_name, boards_file, leased=False) as link:
            session = link.session()
            facts = session.facts()
            findings.add("board", True, f"{board_name}: {facts.get('model') or facts.get('kernel')}")
            for finding in session.doctor():
                findings.add_finding(finding)
            for name, holder in session.lease.holders().items():
                if holder is None:
                    findings.add(name, True, _FREE[name])
                else:
                    who = f"{holder.owner} ({holder.what or 'no reason given'})"
                    findings.add(name, True, f"{who} until {_moment(holder.until)}", level="note")
            return facts
    except (BoardError, InfraError) as error:
        findings.add("board", False, str(error))
        return None


def _refuse_made_for_each_use(name: str, boards_file: Path | None) -> None:
    if choose_board(name, boards_file).made_for_each_use:
        raise click.UsageError("This board is made anew for every command: nobody else can take it.")


def _as_json(board: Board, state: BoardState) -> dict[str, Any]:
    return {
        "name": board.name,
        "kind": board.kind,
        "address": f"{board.user}@{board.address}" if board.host and not board.made_for_each_use else None,
        "device": board.device,
        "tags": list(board.tags),
        **attrs.asdict(state),
    }


def _show_boards(entries: list[dict[str, Any]]) -> None:
    """Print a line for each board, and below it who has it, or why it cannot be used."""
    titles = ("board", "state", "address", "device")
    rows = [(each["name"], each["state"].value, each["address"] or "-", each["device"]) for each in entries]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    click.echo("  ".join([*map(str.ljust, titles, widths), "tags"]))
    for entry, row in zip(entries, rows, strict=True):
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        lines = ["  ".join([*cells, *entry["tags"]]).rstrip()]
        for key, what in (("session", "in use by"), ("reserved", "reserved by")):
            if (holder := entry[key]) is not None:
                why = f" ({holder['what']})" if holder["what"] else ""
                lines.append(f"  {what} {holder['owner']}{why} until {_moment(holder['until'])}")
        if entry["why"]:
            lines.append(f"  {entry['why']}")
        click.echo(printable("\n".join(lines)))


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))

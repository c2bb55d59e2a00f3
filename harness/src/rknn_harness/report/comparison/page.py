"""A comparison as text for a terminal, as Markdown, as a page, and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
from markupsafe import Markup

from rknn_harness.records.case import Key
from rknn_harness.records.printed_commands import replay_command, resume_command, shown_path
from rknn_harness.records.run_folder import Run
from rknn_harness.records.run_lock import write_inside, write_json
from rknn_harness.report import wording
from rknn_harness.report.charts import Interval, intervals
from rknn_harness.report.comparison.comparing import Comparison, OutcomeChange, by_cause
from rknn_harness.report.comparison.movements import FAMILY, Movement
from rknn_harness.report.links import link_to, relative_link
from scirknn.text import count_of

_NAMED = 4
"""Cases of a cause that are named; the page has all."""


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write ``compare.html``, ``compare.md`` and ``compare.json`` into a folder; return the page's path.

    With a choice of toolkits, boards or precisions their names follow ``compare``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    environment, stem = wording.environment(), comparison.choice.stem
    for kind in ("html", "md"):
        text = environment.get_template(f"compare.{kind}").render(_views(comparison, folder))
        write_inside(folder / f"{stem}.{kind}", text)
    write_json(folder / f"{stem}.json", _document(comparison))
    return folder / f"{stem}.html"


def _views(comparison: Comparison, folder: Path) -> dict[str, Any]:
    """Return the values and functions of the templates."""
    runs = {run.path: run for run in (comparison.before, comparison.after)}.values()
    statements = (run.manifest.get("statement") for run in runs)
    return {
        "comparison": comparison,
        "by_cause": by_cause,
        "named": _named,
        "accept": _accept_command(comparison),
        "family": f"{FAMILY * 100:.1f} %",
        "statement": next(filter(None, statements), ""),
        "ran": "; ".join(map(_ran, runs)),
        "change": _change,
        "name": _name,
        "chart": comparison.moved
        and intervals(
            [Interval(_name(each), _per_cent(each, each.change), _per_cent(each, each.low),
                      _per_cent(each, each.high)) for each in comparison.moved],
            label="change, per cent; right of the line is worse",
            title="How far each number moved, with its interval",
        ),
        "replay": lambda change: _replay(comparison, change),
        "again": _command(comparison),
        "resume": lambda run: resume_command(run.path),
        "linked": lambda change: _linked(comparison, change, folder),
    }  # fmt: skip


def _ran(run: Run) -> str:
    """Return when a run began, and who accepted it."""
    accepted = run.manifest.get("accepted")
    by = f", accepted by {accepted['by']} {accepted['at']}" if accepted else ""
    return f"{run.path.name} ran {run.manifest.get('started', 'at an unknown time')}{by}"


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    """Yield a comparison as lines, the verdict first."""
    yield f"{comparison.code.word}  {comparison.verdict}"
    for title, changes in (("newly failing", comparison.failing), ("newly passing", comparison.passing)):
        for group in by_cause(changes):
            first = group[0]
            cases = _named([each.key for each in group])
            yield f"{title}: {cases}: {first.before.ending} -> {first.after.ending}"
            yield f"  {first.reason}"
            if first.is_worse:
                yield f"  again:  {_replay(comparison, first)}"
    for each in comparison.moved:
        sign = "worse" if each.worse else "better"
        ends = f"{_change(each, each.low)} to {_change(each, each.high)}"
        yield f"{sign}: {_name(each)} {_change(each, each.change)} ({ends}, {count_of(each.cases, 'case')})"
    for title, keys in (("missing", comparison.missing), ("new", comparison.new)):
        if keys:
            yield f"{count_of(len(keys), 'case')} {title}: {_named(keys)}"
    if accept := _accept_command(comparison):
        yield f"if that is meant, accept the run: {accept}"
    if comparison.untried:
        yield f"{count_of(comparison.untried, 'case')} could not be tried on one of the {comparison.sides}"
    if comparison.untimed:
        cases = count_of(comparison.untimed, "case")
        yield f"times of {cases} left out: a clock moved meanwhile; docs/add-a-board.md says who may hold it"
    for run in comparison.incomplete:
        yield f"go on with {run.path.name}, then compare again: {resume_command(run.path)}"
    for name, old, new in comparison.made:
        yield f"made with: {name} {old[:40]} -> {new[:40]}"


def _named(keys: Sequence[Key]) -> str:
    """Name cases, the first few of many, and where they are."""
    names, toolkits, boards = (list(dict.fromkeys(part)) for part in zip(*keys, strict=True))
    more = len(names) - _NAMED
    cases = ", ".join(names[:_NAMED]) + f" and {more} more" * (more > 0)
    return f"{cases} on {', '.join([*toolkits, *boards])}"


def _name(movement: Movement) -> str:
    where = f"{movement.measure}, {movement.toolkit} {movement.precision}, {movement.board}"
    return f"{where}, {movement.case}" if movement.case else where


def _per_cent(movement: Movement, value: float) -> float:
    return value * 100 if movement.measure == "labels" else (value - 1) * 100


def _change(movement: Movement, value: float) -> str:
    unit = " points" if movement.measure == "labels" else " %"
    return f"{_per_cent(movement, value):+.3g}{unit}"


def _replay(comparison: Comparison, change: OutcomeChange) -> str:
    run = _failing_run(comparison, change)
    return replay_command(run.path, run.manifest, change.failing)


def _failing_run(comparison: Comparison, change: OutcomeChange) -> Run:
    return comparison.after if change.is_worse else comparison.before


def _linked(comparison: Comparison, change: OutcomeChange, folder: Path) -> Markup:
    """Return a case's id, as a link where its run's report stands."""
    run = _failing_run(comparison, change)
    report, identity = run.path / "report.html", change.failing.case.id
    if not report.is_file():
        return Markup("<span>{}</span>").format(identity)
    return Markup('<a href="{}{}">{}</a>').format(
        relative_link(report, folder), link_to(change.failing), identity
    )


def _accept_command(comparison: Comparison) -> str:
    """Return the command that gives up the lost cases; empty where none is, or more is amiss."""
    before, after = comparison.before, comparison.after
    is_all = comparison.lost and not (comparison.failing or comparison.worse or comparison.incomplete)
    if not is_all or "accepted" not in before.manifest:
        return ""
    words = ["rknn-harness", "accept", shown_path(after.path), "--as", shown_path(before.path)]
    return shlex.join(words)


def _command(comparison: Comparison) -> str:
    """Return the command that makes the comparison again."""
    runs = dict.fromkeys(shown_path(run.path) for run in (comparison.before, comparison.after))
    choice = [word for axis, pair in comparison.choice.axes.items() for word in (f"--{axis}", *pair)]
    return shlex.join(["rknn-harness", "compare", *runs, *choice])


def _document(comparison: Comparison) -> dict[str, Any]:
    def change(each: OutcomeChange) -> dict[str, Any]:
        return {
            "id": each.key[0],
            "toolkit": each.key[1],
            "board": each.key[2],
            "before": each.before.outcome.value,
            "after": each.after.outcome.value,
            "reason": each.reason,
            "properties": list(each.properties),
        }

    before, after = comparison.names
    return {
        "format": 1,
        "before": before,
        "after": after,
        "choice": {axis: list(pair) for axis, pair in comparison.choice.axes.items()},
        "verdict": comparison.verdict,
        "exit_code": int(comparison.code),
        "compared": comparison.compared,
        "lost": comparison.lost,
        "untried": comparison.untried,
        "untimed": comparison.untimed,
        "incomplete": [run.path.name for run in comparison.incomplete],
        "known_failures": comparison.known_failures,
        "newly_failing": [change(each) for each in comparison.failing],
        "newly_passing": [change(each) for each in comparison.passing],
        "missing": [list(key) for key in comparison.missing],
        "new": [list(key) for key in comparison.new],
        "moved": [attrs.asdict(each) | {"worse": each.worse} for each in comparison.moved],
        "made_with": [{"name": name, "before": old, "after": new} for name, old, new in comparison.made],
    }

"""A comparison as text for a terminal, as a page, and as JSON."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from rknn_harness.report import wording
from rknn_harness.report.charts import Interval, intervals
from rknn_harness.report.comparison import FAMILY, Comparison, Movement, OutcomeChange
from scirknn.files import write_atomically

__all__ = ["comparison_text", "write_comparison"]


def write_comparison(comparison: Comparison, folder: Path) -> Path:
    """Write ``compare.html`` and ``compare.json`` into a folder and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    statements = (run.manifest.get("statement") for run in (comparison.before, comparison.after))
    page = wording.environment().get_template("compare.html")
    views = {
        "comparison": comparison,
        "family": f"{FAMILY:.1%}",
        "statement": next(filter(None, statements), ""),
        "change": _change,
        "chart": comparison.moved
        and intervals(
            [Interval(_name(each), _per_cent(each, each.change), _per_cent(each, each.low),
                      _per_cent(each, each.high)) for each in comparison.moved],
            label="change, per cent; right of the line is worse",
            title="How far each number moved, with its interval",
        ),
        "replay": lambda change: _replay(comparison, change),
    }  # fmt: skip
    write_atomically(folder / "compare.html", page.render(views))
    write_atomically(folder / "compare.json", json.dumps(_document(comparison), indent=1) + "\n")
    return folder / "compare.html"


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as lines."""
    return "\n".join(_lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield comparison.verdict
    for title, changes in (("newly failing", comparison.failing), ("newly passing", comparison.passing)):
        for change in changes:
            name, toolkit, board = change.key
            yield f"{title}: {name} on {toolkit}, {board}: {change.before.value} -> {change.after.value}"
            yield f"  {change.reason}"
            if change in comparison.failing:
                yield f"  {_replay(comparison, change)}"
    for each in comparison.moved:
        sign = "worse" if each.worse else "better"
        ends = f"{_change(each, each.low)} to {_change(each, each.high)}"
        yield f"{sign}: {_name(each)} {_change(each, each.change)} ({ends}, {each.cases} cases)"
    for count, words in (
        (len(comparison.missing), "are missing"),
        (len(comparison.new), "are new"),
        (comparison.untried, "could not be tried in one of the runs"),
    ):
        if count:
            yield f"{count} cases {words}"
    for name, old, new in comparison.made:
        yield f"made with: {name} {old[:40]} -> {new[:40]}"


def _name(movement: Movement) -> str:
    where = f"{movement.measure}, {movement.toolkit} {movement.precision}, {movement.board}"
    return f"{where}, {movement.case}" if movement.case else where


def _per_cent(movement: Movement, value: float) -> float:
    return value * 100 if movement.measure == "labels" else (value - 1) * 100


def _change(movement: Movement, value: float) -> str:
    unit = " points" if movement.measure == "labels" else " %"
    return f"{_per_cent(movement, value):+.3g}{unit}"


def _replay(comparison: Comparison, change: OutcomeChange) -> str:
    name, toolkit, board = change.key
    run = comparison.after.path
    folder = f"runs/{run.name}" if run.parent.name == "runs" else run.name
    return shlex.join(["rknn-harness", "replay", folder, name, "--toolkit", toolkit, "--board", board])


def _document(comparison: Comparison) -> dict[str, Any]:
    def change(each: OutcomeChange) -> dict[str, Any]:
        return {
            "id": each.key[0],
            "toolkit": each.key[1],
            "board": each.key[2],
            "before": each.before.value,
            "after": each.after.value,
            "reason": each.reason,
            "properties": list(each.properties),
        }

    return {
        "format": 1,
        "before": comparison.before.path.name,
        "after": comparison.after.path.name,
        "verdict": comparison.verdict,
        "exit_code": int(comparison.code),
        "compared": comparison.compared,
        "untried": comparison.untried,
        "newly_failing": [change(each) for each in comparison.failing],
        "newly_passing": [change(each) for each in comparison.passing],
        "missing": [list(key) for key in comparison.missing],
        "new": [list(key) for key in comparison.new],
        "moved": [attrs.asdict(each) | {"worse": each.worse} for each in comparison.moved],
        "made_with": [{"name": name, "before": old, "after": new} for name, old, new in comparison.made],
    }

"""The precisions of a model side by side, for a person and for a program."""

from __future__ import annotations

import html
import json

import attrs
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from scirknn.text import printable
from sklearn2rknn.candidates.candidate import Candidate, choose, pareto_front
from sklearn2rknn.report import plain_text


@attrs.frozen
class PrecisionComparison:
    """What a model comes to in each precision.

    Printed, or shown in a notebook, it is a table; `to_json` gives a document.

    Attributes
    ----------
    estimator : str
    target_platform, toolkit : str
    batch_size : int
        Rows of the call that the estimate is of.
    candidates : tuple of Candidate
    command : str
        What converts the model on a command line, but for the precision; empty where none was used.
    """

    estimator: str
    target_platform: str
    toolkit: str
    batch_size: int
    candidates: tuple[Candidate, ...]
    command: str = ""

    @property
    def best(self) -> Candidate | None:
        """What ``convert(..., precision="best")`` takes; None where nothing could be built."""
        return choose(self.candidates)

    def to_json(self) -> str:
        """Return a JSON document."""
        best, front = self.best, pareto_front(self.candidates)
        document = {
            "estimator": self.estimator,
            "target_platform": self.target_platform,
            "toolkit": self.toolkit,
            "batch_size": self.batch_size,
            "best": None if best is None else best.name,
            "candidates": [each.to_json(is_on_front=each in front) for each in self.candidates],
        }
        return json.dumps(document, indent=1, allow_nan=False)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Print the table, why candidates are missing, and which is taken."""
        front, files = pareto_front(self.candidates), [each for each in self.candidates if not each.refusal]
        measure = "R2" if any(_r2(each) is not None for each in files) else "labels"
        held_out = max((each.check.held_out for each in files), default=0)
        table = Table("", "kB", f"{measure} on {held_out} rows", "error", "bound", "ms a call", box=None)
        for each in files:
            table.add_row(("* " if each in front else "  ") + each.name, *_cells(each))
        yield table
        for each in self.candidates:
            if each.refusal:
                yield Text(printable(f"  {each.name}: {each.refusal}"), style="yellow")
        yield Text("error: the largest of an output; bound: what rounding can add up to.")
        yield Text(f"* nothing else is as good in size, exactness and time, estimated of {self._call()}.")
        yield Text(self._advice())

    def __str__(self) -> str:
        return plain_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def _call(self) -> str:
        return f"up to {self.batch_size} rows on one core of the {self.target_platform.upper()}"

    def _advice(self) -> str:
        best = self.best
        if best is None:
            return "No precision is possible."
        why = "the fastest that keeps the promise of float16" if best.keeps_promise else (
            f"the most exact; none keeps the promise of float16 ({best.falls_short})"
        )  # fmt: skip
        is_double = best.accuracy == "double"
        if self.command:
            how = f"{self.command} --precision {best.precision}{' --accuracy double' * is_double}"
        else:
            options = ", options=ConversionOptions(accuracy='double')" * is_double
            how = f"convert(..., precision='{best.precision}'{options})"
        return printable(f"best: {best.name}, {why}. {how}")


def _r2(candidate: Candidate) -> float | None:
    deciding = candidate.check.deciding
    return None if deciding is None else deciding.r2


def _cells(candidate: Candidate) -> list[str]:
    deciding, bound, estimate = candidate.check.deciding, candidate.check.bound, candidate.estimate
    assert deciding is not None, "the check has run"
    exact = "" if deciding.labels is None else f"{100 * deciding.labels:.2f} %"
    if deciding.r2 is not None:
        exact = f"{deciding.r2:.6f}"
    return [
        f"{candidate.size / 1000:.1f}",
        exact,
        f"{deciding.max_error:.1e}",
        "none" if bound is None or bound == float("inf") else f"{bound:.1e}",
        "unknown" if estimate is None else f"{1e3 * estimate[0]:.2g} to {1e3 * estimate[1]:.2g}",
    ]

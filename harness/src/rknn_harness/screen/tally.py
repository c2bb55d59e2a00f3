"""Count a run's results as its table does: right, refused, wrong, known to fail, not tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import attrs

from rknn_harness.records.case import Case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Kind
from rknn_harness.records.run_folder import Run


@attrs.frozen(order=True)
class Cell:
    """One row of the table in one precision, on one toolkit and one board."""

    row: str
    precision: str
    toolkit: str
    board: str


@attrs.frozen
class Tally:
    """A run's counts.

    Attributes
    ----------
    cells : mapping of Cell to Counter of Kind
        Of the plan's cases only, without shrunk networks.
    results : tuple of CaseResult
        Of the plan, in its order.
    smaller : tuple of CaseResult
        Shrunk failing networks.
    untried : int
        Cases of the plan without a result.
    """

    cells: dict[Cell, Counter[Kind]]
    results: tuple[CaseResult, ...]
    smaller: tuple[CaseResult, ...]
    untried: int

    @property
    def families(self) -> set[str]:
        """The rows that are of families."""
        return {row_name(result.case) for result in self.results if result.case.kind == "family"}

    def count(self, kind: Kind) -> int:
        """Return how many cases of the plan are of a kind."""
        return sum(counter[kind] for counter in self.cells.values())

    @property
    def noun(self) -> str:
        """``model``, or ``case`` where each model is tried more than once."""
        places = {(cell.toolkit, cell.board) for cell in self.cells}
        return "case" if len(places) > 1 else "model"

    @property
    def total(self) -> int:
        """How many cases the plan has."""
        return sum(counter.total() for counter in self.cells.values())


def row_name(case: Case) -> str:
    """Return the name of the table's row that a case is in."""
    return {"random": "random", "corpus": "failed before"}.get(case.kind, case.group)


def tally(run: Run, plan: Sequence[Entry]) -> Tally:
    """Count a run's results.

    Parameters
    ----------
    run : Run
    plan : sequence of Entry
        The plan.
    """
    by_key = {result.key: result for result in run.results}
    cells: dict[Cell, Counter[Kind]] = {}
    results = []
    for entry in plan:
        cell = Cell(row_name(entry.case), entry.case.precision, entry.case.toolkit, entry.board)
        result = by_key.pop(entry.key, None)
        kind = Kind.UNTRIED if result is None else result.kind
        cells.setdefault(cell, Counter())[kind] += 1
        if result is not None:
            results.append(result)
    untried = sum(counter.total() for counter in cells.values()) - len(results)
    return Tally(cells, tuple(results), tuple(by_key.values()), untried)

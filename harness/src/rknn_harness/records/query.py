"""The numbers of a page, each a question to the run's records that can be asked again.

A question is a statistic, a field and conditions: ``median error`` where ``toolkit=2.3.2&precision=int8``.
The page writes it beside the number (``data-n``, ``data-where``): whoever has ``cases.jsonl`` can check
the page.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Kind, Stage
from rknn_harness.records.stage_metrics import StageMetrics

Number = float | int


def last_metrics(result: CaseResult) -> StageMetrics | None:
    """Return the metrics of the last stage that answered."""
    for stage in reversed(Stage):
        if stage in result.metrics:
            return result.metrics[stage]
    return None


def failed_properties(result: CaseResult) -> tuple[str, ...]:
    """Return the names of the properties that failed, in alphabetical order."""
    return tuple(sorted(name for name, error in result.properties.items() if error))


def field(result: CaseResult, name: str) -> Number | None:
    """Return one number of a record; None where it has none.

    Parameters
    ----------
    result : CaseResult
    name : str
        At the last stage that answered, or with ``.STAGE`` behind it at one: ``error``, ``output`` (it in
        its own units), ``share`` (of the derived bound), ``tolerance`` (share of the chosen tolerances),
        ``allowed`` (the larger of both), ``judged`` (rows), ``agreement``, ``r2``, ``probability_error``.
        ``limit.NAME``, ``bound.low`` and ``bound.high``, what the last stage was held to; ``p50``, ``p90``,
        ``p99``, ``mad``, ``rows`` and ``samples`` of the timed call; ``work``, its multiply-adds;
        ``estimate.low`` and ``estimate.high``; ``cpu.WHERE``, the median on the CPU, and ``gain.WHERE``, that
        over ``p50``; ``score.board``, ``score.sklearn`` and ``score.rows`` of a user's own model;
        ``rules.KIND``, the files' rules of that kind; ``seconds``, the case's wall time, or with
        ``.PHASE`` behind it that of one `Phase`; ``macs``, ``weights``, ``attempts``; ``NPU`` and ``CPU``,
        the layers placed there.
    """
    head, _, rest = name.partition(".")
    if head in _METRICS:
        return _attribute(result.metrics.get(Stage(rest)) if rest else last_metrics(result), _METRICS[head])
    if head in ("limit", "bound"):
        last = last_metrics(result)
        limits = None if last is None else last.limits
        if head == "limit" or limits is None:
            return _attribute(limits, rest)
        return None if limits.output is None else limits.output[("low", "high").index(rest)]
    if head in _TIMES:
        return _attribute(result.latency, _TIMES[head])
    if head == "score":
        return _attribute(result.score, rest)
    if head == "estimate":
        return None if result.estimate is None else result.estimate[("low", "high").index(rest)]
    if head == "seconds":
        return result.seconds.get(rest) if rest else sum(result.seconds.values())
    if head == "rules":
        return result.rules.get(rest)
    if head == "cpu":
        return result.cpu[rest].p50 if rest in result.cpu else None
    if head == "gain":
        there, here = field(result, f"cpu.{rest}"), field(result, "p50")
        return there / here if there is not None and here else None
    return _PLAIN[name](result)


def _attribute(part: object, name: str) -> Number | None:
    return None if part is None else getattr(part, name)


_METRICS = {
    "error": "relative_error",
    "output": "output_error",
    "share": "output_share",
    "tolerance": "tolerance_share",
    "allowed": "allowed_share",
    "judged": "rows",
    "agreement": "agreement",
    "r2": "r2",
    "probability_error": "probability_error",
}
_TIMES = {"p50": "p50", "p90": "p90", "p99": "p99", "mad": "mad", "rows": "rows", "samples": "count"}
_PLAIN: dict[str, Callable[[CaseResult], Number | None]] = {
    "macs": lambda result: result.macs,
    "weights": lambda result: result.weights,
    "attempts": lambda result: result.attempts,
    "NPU": lambda result: sum(where == "NPU" for _, _, where in result.placement),
    "CPU": lambda result: sum(where == "CPU" for _, _, where in result.placement),
    "work": lambda result: result.macs * result.latency.rows if result.latency and result.macs else None,
}


def condition_value(result: CaseResult, name: str) -> str:
    """Return what a condition on `name` is compared with."""
    head, _, rest = name.partition(".")
    if head == "property":
        if rest in result.not_run:
            return "not run"
        error = result.properties.get(rest)
        return "not examined" if error is None else "failed" if error else "held"
    if head == "decade":
        work = field(result, "work")
        return str(math.floor(math.log10(work))) if work else ""
    if head == "bin":
        work = field(result, "work")
        return str(math.floor(3 * math.log10(work))) if work else ""
    return _KEYS[name](result)


_KEYS: dict[str, Callable[[CaseResult], str]] = {
    "toolkit": lambda result: result.case.toolkit,
    "precision": lambda result: result.case.precision,
    "board": lambda result: result.board,
    "group": lambda result: result.case.group,
    "family": lambda result: result.case.family,
    "kind": lambda result: result.kind.value,
    "cause": lambda result: result.cause,
    "judged": lambda result: "no" if result.kind in (Kind.REFUSED, Kind.UNTRIED) else "yes",
    "outcome": lambda result: result.outcome.value,
    "stage": lambda result: result.stage.value if result.stage is not None else "",
    "defect": lambda result: result.defect,
    "failed": lambda result: " ".join(failed_properties(result)),
    "ok": lambda result: "no" if result.is_failure else "yes",
    "expected": lambda result: "yes" if result.expected else "no",
    "compared": lambda result: "yes" if result.metrics else "no",
    "retried": lambda result: "yes" if result.attempts > 1 else "no",
    "timed": lambda result: "yes" if field(result, "work") and field(result, "p50") else "no",
}

_STATISTICS: dict[str, Callable[[Sequence[Number]], Number]] = {
    "count": len,
    "sum": sum,
    "least": min,
    "median": statistics.median,
    "most": max,
}


class Records:
    """Statistics of a run's results.

    Parameters
    ----------
    results : sequence of CaseResult
    """

    def __init__(self, results: Sequence[CaseResult]) -> None:
        self.results = results
        self._columns: dict[str, dict[str, frozenset[int]]] = {}
        self._all = frozenset(range(len(results)))

    def where(self, conditions: Mapping[str, Any]) -> list[int]:
        """Return the indexes of the results that meet every condition."""
        columns = (self._rows(name, str(wanted)) for name, wanted in conditions.items())
        return sorted(self._all.intersection(*columns))

    def values(self, name: str, conditions: Mapping[str, Any]) -> list[Number]:
        """Return a field of the results that meet every condition, where they have it."""
        values = (field(self.results[index], name) for index in self.where(conditions))
        return [value for value in values if value is not None]

    def ask(self, statistic: str, name: str, conditions: Mapping[str, Any]) -> Number | None:
        """Return a statistic of a field; None where no result has it.

        Parameters
        ----------
        statistic : {"count", "sum", "least", "median", "most"}
            ``count`` of the field ``cases`` counts results, of another those that have it.
        name : str
            See `field`.
        conditions : mapping of str to str
            ``toolkit``, ``precision``, ``board``, ``group``, ``family``, ``kind``, ``cause``, ``outcome``,
            ``stage``, ``defect``; ``failed``, the names of the failed properties; ``ok``, ``expected``,
            ``compared``, ``judged`` (neither refused nor left untried), ``retried`` and ``timed``, yes or no;
            ``property.NAME``, held, failed, not run or not examined; ``decade``, the timed call's
            multiply-adds by powers of ten, and ``bin``, by thirds of them.
        """
        if name == "cases":
            return len(self.where(conditions))
        values = self.values(name, conditions)
        return _STATISTICS[statistic](values) if values or statistic == "count" else None

    def distinct(self, name: str) -> list[str]:
        """Return the values that occur, in alphabetical order."""
        return sorted({condition_value(result, name) for result in self.results})

    def _rows(self, name: str, wanted: str) -> frozenset[int]:
        if name not in self._columns:
            column: dict[str, set[int]] = {}
            for index, result in enumerate(self.results):
                column.setdefault(condition_value(result, name), set()).add(index)
            self._columns[name] = {value: frozenset(rows) for value, rows in column.items()}
        return self._columns[name].get(wanted, frozenset())

"""Put a run's numbers and charts into the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import jinja2
from markupsafe import Markup

from rknn_harness.case import CaseResult
from rknn_harness.outcomes import Outcome, Stage
from rknn_harness.report.charts import Mark, dots_by_row, scatter
from rknn_harness.report.numbers import Summary, last_metrics, summarize
from rknn_harness.run_folder import Run

__all__ = ["write_report"]

_SIGNS = {Outcome.PASS: "✓", Outcome.UNSUPPORTED: "-", Outcome.INFRA_ERROR: "!"}


def write_report(run: Run) -> Path:
    """Write ``report.html`` and ``report.md`` into the run's folder and return the page's path.

    The page stands alone: style and charts are in it, nothing is fetched.
    """
    summary = summarize(run)
    precisions = sorted({result.case.precision for result in run.results})
    views = {
        "run": run,
        "folder": f"runs/{run.path.name}" if run.path.parent.name == "runs" else run.path.name,
        "manifest": run.manifest,
        "summary": summary,
        "precisions": precisions,
        "ordered": sorted(run.results, key=lambda result: (result.case.group == "random", result.case.id)),
        "error_chart": _error_chart(run.results, summary, precisions),
        "agreement_chart": _agreement_chart(run.results, summary, precisions),
        "latency_chart": _latency_chart(run.results, precisions),
        "sign": lambda outcome: _SIGNS.get(outcome, "✗"),
        "last": last_metrics,
        "stages": [stage for stage in Stage if stage is not Stage.SKLEARN],
        "Outcome": Outcome,
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rknn_harness.report", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=_number, percent=_percent, time=_time, wall=_wall, cell=_cell)
    for name in ("report.md", "report.html"):
        path = run.path / name
        temporary = path.with_name(f".{name}.{os.getpid()}.part")
        temporary.write_text(environment.get_template(name).render(views), encoding="utf-8")
        os.replace(temporary, path)
    return run.path / "report.html"


def _error_chart(results: Sequence[CaseResult], summary: Summary, precisions: Sequence[str]) -> Markup:
    rows = list(dict.fromkeys(group.name for group in summary.groups))
    marks = []
    for result in results:
        metrics = last_metrics(result)
        if metrics is None or metrics.relative_error is None:
            continue
        error = metrics.relative_error
        marks.append(
            _mark(result, precisions, max(error, 1e-8), rows.index(result.case.group), f"{error:.2g}")
        )
    title = "Largest output error of each case as a share of its largest output"
    return dots_by_row(rows, marks, label="largest error ÷ largest output", title=title, log=True)


def _agreement_chart(results: Sequence[CaseResult], summary: Summary, precisions: Sequence[str]) -> Markup:
    rows = list(dict.fromkeys(group.name for group in summary.groups if group.agreement is not None))
    marks = []
    for result in results:
        metrics = last_metrics(result)
        if metrics is not None and metrics.agreement is not None:
            place = rows.index(result.case.group)
            marks.append(_mark(result, precisions, metrics.agreement, place, f"{metrics.agreement:.2%}"))
    lowest = min((mark.x for mark in marks), default=1.0)
    # A round number below the worst case, and never so near 100 % that one row looks like ruin.
    start = next((low for low in (0.96, 0.92, 0.8, 0.6, 0.0) if lowest >= low), 0.0)
    title = "Share of rows labelled as scikit-learn labels them, by case"
    return dots_by_row(
        rows, marks, label="rows with scikit-learn's label", title=title, log=False, span=(start, 1.0)
    )


def _latency_chart(results: Sequence[CaseResult], precisions: Sequence[str]) -> Markup:
    marks = []
    for result in results:
        timed = result.latency
        if timed is not None and timed.p50 is not None and result.weights:
            operations = float(result.weights * timed.rows)
            marks.append(_mark(result, precisions, operations, timed.p50, _time(timed.p50)))
    if not marks:
        return Markup("")
    return scatter(
        marks,
        x_label="multiplications in a call (weights times rows)",
        y_label="median time of a call",
        title="Median time of a call against the work in it",
        y_tick=_time,
    )


def _mark(result: CaseResult, precisions: Sequence[str], x: float, y: float, value: str) -> Mark:
    series = precisions.index(result.case.precision)
    return Mark(
        x, y, series, result.outcome.is_failure, f"{result.case.id}: {value} ({result.outcome.value})"
    )


def _number(value: float | None) -> str:
    if value is None:
        return "—"
    return f"{value:.2g}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"


def _percent(value: float | None) -> str:
    # Never rounded up to 100: a single wrong row must show.
    if value is None:
        return "—"
    return "100 %" if value == 1 else f"{min(value * 100, 99.99):.2f} %"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "—"
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= unit:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / 1e-9:.3g} ns"


def _wall(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _cell(text: object) -> str:
    """Text for a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")

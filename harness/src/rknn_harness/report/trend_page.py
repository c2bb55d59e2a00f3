"""A trend as a table for a terminal, as a page, and as JSON."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path

import attrs
from markupsafe import Markup
from rich.markup import escape
from rich.table import Table

from rknn_harness.records.case import PRECISIONS
from rknn_harness.records.run_lock import write_inside, write_json
from rknn_harness.report import wording
from rknn_harness.report.charts import Axis, linear_axis, lines, log_axis
from rknn_harness.report.links import relative_link
from rknn_harness.report.trend import Trend
from scirknn.text import printable

_Measure = tuple[str, str, Callable[[float | None], str]]
_MEASURES: tuple[_Measure, ...] = (
    ("pass_rate", "cases that pass", wording.percent),
    ("agreement", "rows with scikit-learn's label", wording.percent),
    ("error", "largest error ÷ largest output", wording.number),
    ("seconds", "median time of a call", wording.seconds),
)


def write_trend(trend: Trend, folder: Path) -> Path:
    """Write ``trend.html`` and ``trend.json`` into a folder and return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = sorted({(board, toolkit) for board, toolkit, _ in trend.points})
    boards = {name: facts for run in trend.runs for name, facts in run.manifest.get("boards", {}).items()}
    page = wording.environment().get_template("trend.html")
    views = {
        "trend": trend,
        "parts": parts,
        "precisions": {
            part: [name for name in PRECISIONS if (*part, name) in trend.points] for part in parts
        },
        "charts": {part: [_chart(trend, part, measure) for measure in _MEASURES] for part in parts},
        "virtual": {board: bool(boards.get(board, {}).get("virtual")) for board, _ in parts},
        "order": {name: index for index, name in enumerate(PRECISIONS)},
        "measures": _MEASURES,
        "value": getattr,
        "reports": {
            name: relative_link(run.path / "report.html", folder)
            for name, run in zip(trend.names, trend.runs, strict=True)
            if (run.path / "report.html").is_file()
        },
    }
    write_inside(folder / "trend.html", page.render(views))
    document = {
        "format": 1,
        "runs": [
            {
                "name": name,
                "started": run.manifest.get("started"),
                "commit": run.manifest.get("commit"),
            }
            for name, run in zip(trend.names, trend.runs, strict=True)
        ],
        "points": [
            attrs.asdict(point) for points in trend.points.values() for point in points if point is not None
        ],
    }
    write_json(folder / "trend.json", document)
    return folder / "trend.html"


def trend_table(trend: Trend) -> Table:
    """Return the trend as a table: a row per run and place."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("toolkit", "precision", "board", "run", "cases", "pass", "labels", "error", "time"):
        table.add_column(
            name, justify="right" if name in ("cases", "pass", "labels", "error", "time") else "left"
        )
    for (board, toolkit, precision), points in sorted(
        trend.points.items(), key=lambda item: operator.itemgetter(1, 2, 0)(item[0])
    ):
        for point in filter(None, points):
            texts = (text_of(getattr(point, name)) for name, _, text_of in _MEASURES)
            names = map(printable, (toolkit, precision, board, point.run))
            table.add_row(*map(escape, names), str(point.cases), *texts)
    return table


def _chart(trend: Trend, part: tuple[str, str], chosen: _Measure) -> Markup:
    (board, toolkit), (measure, label, text_of) = part, chosen
    series = []
    for order, precision in enumerate(PRECISIONS):
        points = trend.points.get((board, toolkit, precision))
        if points is not None:
            values = [None if point is None else getattr(point, measure) for point in points]
            series.append((precision, order, values))
    numbers = [value for _, _, values in series for value in values if value is not None]
    if not numbers:
        return Markup("")
    return lines(
        trend.names,
        series,
        _axis(measure, label, numbers, text_of),
        title=f"{label}, toolkit {toolkit} on {board}, by run",
    )


def _axis(measure: str, label: str, numbers: list[float], text_of: Callable[[float | None], str]) -> Axis:
    if measure in ("pass_rate", "agreement"):
        least = min(numbers)
        start = next((low for low in (0.99, 0.96, 0.92, 0.8, 0.6, 0.0) if least >= low), 0.0)
        return linear_axis(measure, label, start, 1.0, lambda value: f"{value * 100:.4g} %")
    return log_axis(measure, label, numbers, text_of)

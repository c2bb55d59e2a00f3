"""Charts as inline SVG, drawn from data.

Colours come from the page's style; shapes tell the series apart without them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs
from markupsafe import Markup, escape

__all__ = ["SHAPES", "Mark", "dots_by_row", "scatter"]

SHAPES = ("circle", "square", "triangle")

_WIDTH = 560
_FONT = 13
_TOP = 8
_BOTTOM = 44
_RIGHT = _WIDTH - 12


@attrs.frozen
class Mark:
    """One point.

    Attributes
    ----------
    x : float
    y : float
        The row's index in `dots_by_row`.
    series : int
        Chooses shape and colour.
    failed : bool
        Drawn as a cross.
    title : str
        Shown where the pointer rests.
    """

    x: float
    y: float
    series: int
    failed: bool
    title: str


@attrs.frozen
class _Axis:
    """A logarithmic or linear scale with its ticks."""

    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]
    label: Callable[[float], str]

    def place(self, value: float) -> float:
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return (value - low) / (high - low)


def dots_by_row(
    rows: Sequence[str],
    marks: Sequence[Mark],
    *,
    label: str,
    title: str,
    log: bool,
    span: tuple[float, float] | None = None,
) -> Markup:
    """Draw one row per name with its points along a common axis.

    Parameters
    ----------
    rows : sequence of str
        Names, from the top.
    marks : sequence of Mark
        Their `y` is the row's index.
    label, title : str
        The axis's label, and what the chart shows, for a screen reader.
    log : bool
    span : (float, float), optional
        Ends of a linear axis; from the data otherwise.
    """
    axis = _log_axis([mark.x for mark in marks]) if log else _linear_axis([mark.x for mark in marks], span)
    left = 14 + max((len(row) for row in rows), default=0) * 0.56 * _FONT
    step = 26
    height = _TOP + step * len(rows) + _BOTTOM
    spots = []
    for index, mark in enumerate(marks):
        # Many cases share the row of the random networks: spread them by a fixed pattern of seven lanes.
        crowd = sum(other.y == mark.y for other in marks)
        lane = ((index * 3) % 7 - 3) * 2.6 if crowd > 4 else (mark.series - 0.5) * 6
        spots.append((mark, _along(axis, mark.x, left), _TOP + step * (mark.y + 0.5) + lane))
    parts = []
    for index, row in enumerate(rows):
        middle = _TOP + step * (index + 0.5)
        parts += [
            _text("name", left - 10, middle + 4.5, "end", row),
            _line("row", left, _RIGHT, middle, middle),
        ]
    return _frame(height, title, [*_x_axis(axis, left, height, label), *parts, *map(_spot, spots)])


def scatter(
    marks: Sequence[Mark], *, x_label: str, y_label: str, title: str, y_tick: Callable[[float], str]
) -> Markup:
    """Draw points on two logarithmic axes."""
    horizontal = _log_axis([mark.x for mark in marks])
    vertical = attrs.evolve(_log_axis([mark.y for mark in marks]), label=y_tick)
    left, height, top = 62.0, 330, 26
    bottom = height - _BOTTOM
    parts = [_text("axis", 0, 13, "start", y_label)]
    for tick in vertical.ticks:
        y = bottom - vertical.place(tick) * (bottom - top)
        parts += [
            _line("grid", left, _RIGHT, y, y),
            _text("tick", left - 8, y + 4.5, "end", vertical.label(tick)),
        ]
    spots = [
        (mark, _along(horizontal, mark.x, left), bottom - vertical.place(mark.y) * (bottom - top))
        for mark in marks
    ]
    return _frame(
        height, title, [*_x_axis(horizontal, left, height, x_label, top), *parts, *map(_spot, spots)]
    )


def _frame(height: float, title: str, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        _WIDTH, round(height), title
    )
    return head + Markup("").join(parts) + Markup("</svg>")


def _along(axis: _Axis, value: float, left: float) -> float:
    return left + 8 + axis.place(value) * (_WIDTH - 28 - left)


def _x_axis(axis: _Axis, left: float, height: float, label: str, top: float = _TOP) -> list[Markup]:
    parts = []
    bottom = height - _BOTTOM
    for tick in axis.ticks:
        x = _along(axis, tick, left)
        parts += [_line("grid", x, x, top, bottom), _text("tick", x, bottom + 17, "middle", axis.label(tick))]
    return [*parts, _text("axis", (left + _WIDTH) / 2, height - 7, "middle", label)]


def _line(style: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    return Markup(f'<line class="{style}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>')


def _text(style: str, x: float, y: float, anchor: str, text: str) -> Markup:
    place = Markup(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">')
    return place + escape(text) + Markup("</text>")


def _spot(spot: tuple[Mark, float, float]) -> Markup:
    mark, x, y = spot
    if mark.failed:
        shape = f'<path class="failed" d="M{x - 5:.1f} {y - 5:.1f}l10 10m0-10l-10 10"/>'
    else:
        kind, colour = SHAPES[mark.series % len(SHAPES)], f"s{mark.series % len(SHAPES)}"
        shape = {
            "circle": f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="4.2"/>',
            "square": f'<path class="{colour}" d="M{x - 3.8:.1f} {y - 3.8:.1f}h7.6v7.6h-7.6z"/>',
            "triangle": f'<path class="{colour}" d="M{x:.1f} {y - 5:.1f}l5 9h-10z"/>',
        }[kind]
    return Markup("<g>" + shape + "<title>{}</title></g>").format(escape(mark.title))


def _log_axis(values: Sequence[float]) -> _Axis:
    known = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))
    high = high + (high == low)
    stride = 1 + (high - low - 1) // 6
    ticks = tuple(10.0**power for power in range(low, high + 1, stride))
    return _Axis(10.0**low, 10.0**high, True, ticks, _power)


def _linear_axis(values: Sequence[float], span: tuple[float, float] | None) -> _Axis:
    low, high = span if span is not None else (min(values, default=0.0), max(values, default=1.0))
    if low >= high:
        low, high = low - 0.5, high + 0.5
    ticks = tuple(low + (high - low) * part / 4 for part in range(5))
    return _Axis(low, high, False, ticks, lambda value: f"{value * 100:.4g} %")


def _power(value: float) -> str:
    power = round(math.log10(value))
    if -2 <= power <= 3:
        return f"{value:g}"
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))

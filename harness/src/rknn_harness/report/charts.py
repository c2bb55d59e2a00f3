"""Charts as inline SVG, drawn from data.

Colours come from the page's style; shapes and hatching distinguish the series without them. A mark names
the record that it shows (``data-i``), a chart the fields on its axes (``data-x``, ``data-y``) and whether
they are linear, and a tick its value, so that a mark's place can be checked against the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs
from markupsafe import Markup

_WIDTH = 440  # little wider than a phone, so that letters stay letters there
_FONT = 13
_TOP = 8
_BOTTOM = 46
_RIGHT = _WIDTH - 8
_SPOT = 8.0  # a mark's width, with the gap to the next
_TALLEST = 150.0
_PACES = tuple(step * 10.0**power for power in range(-2, 9) for step in (1, 2, 5))


@attrs.frozen
class Mark:
    """One record's point.

    Attributes
    ----------
    index : int
        Of the record in the run.
    x : float
    y : float
        The row's index in `stacks`.
    shape : str
        Id of one of the page's symbols.
    title : str
        Shown where the pointer rests.
    link : str
        Where the mark leads; empty for none.
    """

    index: int
    x: float
    y: float
    shape: str
    title: str
    link: str = ""


@attrs.frozen
class MeasuredMark:
    """A statistic's point: its address stands in for a record's index."""

    x: float
    row: int
    address: Markup


@attrs.frozen
class Band:
    """An upright box: from `left` to `right`, from `low` to `high`, with its address."""

    left: float
    right: float
    low: float
    high: float
    address: Markup


@attrs.frozen
class Interval:
    """A value with the ends of its interval."""

    name: str
    value: float
    low: float
    high: float


@attrs.frozen
class Axis:
    """A logarithmic or linear scale with its ticks."""

    name: str
    label: str
    low: float
    high: float
    log: bool
    ticks: tuple[float, ...]
    text_of: Callable[[float], str]

    @property
    def form(self) -> str:
        """``log`` or ``linear``."""
        return "log" if self.log else "linear"

    def place(self, value: float) -> float:
        """Return where a value lies between the ends, 0 to 1."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, self.low))
        return (value - low) / (high - low)


def log_axis(
    name: str, label: str, values: Sequence[float], text_of: Callable[[float], str] | None = None
) -> Axis:
    """Return an axis from one power of ten to another that holds the values above 0.

    Parameters
    ----------
    name : str
        Field on the axis.
    label : str
        For people.
    values : sequence of float
    text_of : callable, optional
        Text of a tick; powers of ten otherwise.
    """
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    high += high == low
    stride = 1 + (high - low - 1) // 6
    ticks = tuple(10.0**power for power in range(low, high + 1, stride))
    return Axis(name, label, 10.0**low, 10.0**high, True, ticks, text_of or _power)


def linear_axis(name: str, label: str, low: float, high: float, text_of: Callable[[float], str]) -> Axis:
    """Return an axis with five ticks."""
    if low >= high:
        low, high = low - 0.5, high + 0.5
    return Axis(
        name, label, low, high, False, tuple(low + (high - low) * part / 4 for part in range(5)), text_of
    )


def stacks(
    rows: Sequence[Markup], marks: Sequence[Mark], medians: Sequence[MeasuredMark], axis: Axis
) -> Markup:
    """Draw one row per name with its points along a common axis, stacked where they meet, and the limit at 1.

    The chart is hidden from screen readers and from the keyboard: the page has each case as text elsewhere.

    Parameters
    ----------
    rows : sequence of markupsafe.Markup
        Names, from the top, as parts of SVG text.
    marks : sequence of Mark
    medians : sequence of MeasuredMark
    axis : Axis
    """
    left, y = 10.0, float(_TOP)
    parts: list[Markup] = []
    for index, row in enumerate(rows):
        levels = _levels([mark for mark in marks if mark.y == index], axis, left)
        deepest = max((level for _, _, level in levels), default=0)
        step = min(_SPOT, _TALLEST / (deepest + 1))
        base = y + 2 * _FONT + 8 + step * deepest
        parts += [
            _text("name", left + 8, y + _FONT, "start", row),
            _line("row", left + 8, _RIGHT, base, base),
        ]
        parts += [_spot(mark, x, base - 6 - step * level) for mark, x, level in levels]
        for median in (each for each in medians if each.row == index):
            place = Markup('<use href="#median" x="{:.1f}" y="{:.1f}"{}/>')
            parts.append(place.format(_along(axis, median.x, left), base, median.address))
        y = base + 14
    limit, height = _along(axis, 1.0, left), y + _BOTTOM
    line = [_line("level", limit, limit, _TOP, y), _text("axis", limit - 5, _TOP + _FONT, "end", "limit")]
    return _frame(height, "", [*_x_axis(axis, left, height), *line, *parts], axis)


def _levels(marks: Sequence[Mark], axis: Axis, left: float) -> list[tuple[Mark, float, int]]:
    """Return each mark's place on the axis and its level: the lowest on which it covers no other."""
    ends: list[float] = []
    placed = []
    for mark in sorted(marks, key=lambda mark: (mark.x, mark.index)):
        x = _along(axis, mark.x, left)
        level = next((level for level, end in enumerate(ends) if x - end >= _SPOT), len(ends))
        ends[level:] = [x, *ends[level + 1 :]]
        placed.append((mark, x, level))
    return placed


def scatter(
    marks: Sequence[Mark],
    axes: tuple[Axis, Axis],
    *,
    title: str,
    bands: Sequence[Band] = (),
) -> Markup:
    """Draw points on two axes.

    Parameters
    ----------
    marks : sequence of Mark
    axes : (Axis, Axis)
        Horizontal and vertical.
    title : str
    bands : sequence of Band
        Hatched, behind the points.
    """
    horizontal, vertical = axes
    left, height, top = 58.0, 290, 26
    bottom = height - _BOTTOM

    def across(value: float) -> float:
        return _along(horizontal, value, left)

    def up(value: float) -> float:
        return bottom - vertical.place(value) * (bottom - top)

    parts = [*_x_axis(horizontal, left, height, top), _text("axis", 0, 13, "start", vertical.label)]
    for tick in vertical.ticks:
        parts += [
            _line("grid", left, _RIGHT, up(tick), up(tick)),
            _tick(vertical, "y", tick, left - 6, up(tick) + 4.5),
        ]
    for band in bands:
        x, y = across(band.left), up(band.high)
        parts.append(
            Markup('<rect class="band" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"{}/>').format(
                x, y, across(band.right) - x, max(up(band.low) - y, 0.5), band.address
            )
        )
    parts += [_spot(mark, across(mark.x), up(mark.y)) for mark in _failures_last(marks)]
    return _frame(height, title, parts, horizontal, vertical)


def intervals(rows: Sequence[Interval], *, label: str, title: str) -> Markup:
    """Draw one value with its interval per row, against 0; names stand above their rows."""
    most = 2.5 * _PACES[-1]  # a change beyond it is drawn at the chart's end
    numbers = (end for row in rows for end in (row.low, row.high) if math.isfinite(end))
    ends = [0.0, *(min(max(end, -most), most) for end in numbers)]
    pace = next(pace for pace in _PACES if max(ends) - min(ends) <= 5 * pace)
    low, high = math.floor(min(ends) / pace), math.ceil(max(ends) / pace)
    ticks = tuple(pace * part for part in range(low, high + 1))
    axis = Axis("change", label, ticks[0], ticks[-1], False, ticks, lambda value: f"{value:+g} %")
    left, step = 18.0, 42
    height = _TOP + step * len(rows) + _BOTTOM
    zero = _along(axis, 0.0, left)
    parts = [*_x_axis(axis, left, height), _line("level", zero, zero, _TOP, height - _BOTTOM)]
    for index, row in enumerate(rows):
        y = _TOP + step * (index + 0.7)
        first, last = (_along(axis, min(max(end, axis.low), axis.high), left) for end in (row.low, row.high))
        parts += [
            _text("name", left, y - 13, "start", row.name),
            _line("span", first, last, y, y),
            _spot(Mark(index, row.value, row.value, "s0", row.name), _along(axis, row.value, left), y),
        ]
    return _frame(height, title, parts)


def lines(
    names: Sequence[str],
    series: Sequence[tuple[str, int, Sequence[float | None]]],
    vertical: Axis,
    *,
    title: str,
) -> Markup:
    """Draw a line per series (name, style, values) over named places; a gap where there is no value."""
    left, height, top = 66.0, 200, 26
    bottom = height - 30
    parts = [_text("axis", 0, 13, "start", vertical.label)]
    for tick in vertical.ticks:
        y = bottom - vertical.place(tick) * (bottom - top)
        parts += [_line("grid", left, _RIGHT, y, y), _tick(vertical, "y", tick, left - 6, y + 4.5)]
    for place in sorted({0, len(names) - 1}):
        if names:
            anchor = "start" if place == 0 else "end"
            parts.append(_text("tick", left if place == 0 else _RIGHT, height - 8, anchor, names[place]))
    width = _RIGHT - left - 24
    for name, style, values in series:
        path, drawing = [], False
        for place, value in enumerate(values):
            if value is None:
                drawing = False
                continue
            x = left + 12 + width * (place / max(len(names) - 1, 1))
            y = bottom - vertical.place(value) * (bottom - top)
            path.append(f"{'L' if drawing else 'M'}{x:.1f} {y:.1f}")
            drawing = True
            title_of_mark = f"{name}, {names[place]}: {vertical.text_of(value)}"
            parts.append(_spot(Mark(place, value, value, f"s{style}", title_of_mark), x, y))
        parts.append(Markup('<path class="line l{}" d="{}"/>').format(style, "".join(path)))
    return _frame(height, title, parts)


def _failures_last(marks: Sequence[Mark]) -> list[Mark]:
    """Put failures where nothing is drawn over them."""
    return sorted(marks, key=lambda mark: mark.shape == "failed")


def _frame(height: float, title: str, parts: Sequence[Markup], *axes: Axis) -> Markup:
    """Return a chart; without a title it is hidden from screen readers."""
    fields = Markup("").join(
        Markup(' data-{0}="{1}" data-{0}-form="{2}"').format(letter, axis.name, axis.form)
        for letter, axis in zip("xy", axes, strict=False)
    )
    role = Markup('role="img" aria-label="{}"').format(title) if title else Markup('aria-hidden="true"')
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" {}{}>').format(_WIDTH, round(height), role, fields)
    return head + Markup("").join(parts) + Markup("</svg>")


def _along(axis: Axis, value: float, left: float) -> float:
    return left + 8 + axis.place(value) * (_WIDTH - 34 - left)


def _x_axis(axis: Axis, left: float, height: float, top: float = _TOP) -> list[Markup]:
    parts = []
    bottom = height - _BOTTOM
    for tick in axis.ticks:
        x = _along(axis, tick, left)
        parts += [_line("grid", x, x, top, bottom), _tick(axis, "x", tick, x, bottom + 17)]
    return [*parts, _text("axis", (left + _WIDTH) / 2, height - 8, "middle", axis.label)]


def _line(style: str, x1: float, x2: float, y1: float, y2: float) -> Markup:
    return Markup(f'<line class="{style}" x1="{x1:.1f}" x2="{x2:.1f}" y1="{y1:.1f}" y2="{y2:.1f}"/>')


def _text(style: str, x: float, y: float, anchor: str, text: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        style, x, y, anchor, text
    )


def _tick(axis: Axis, letter: str, value: float, x: float, y: float) -> Markup:
    anchor = "middle" if letter == "x" else "end"
    return Markup(
        '<text class="tick" x="{:.1f}" y="{:.1f}" text-anchor="{}" data-tick="{}" data-value="{!r}">{}</text>'
    ).format(x, y, anchor, letter, value, axis.text_of(value))


def _spot(mark: Mark, x: float, y: float) -> Markup:
    spot = Markup('<use href="#{}" x="{:.1f}" y="{:.1f}" data-i="{}"><title>{}</title></use>').format(
        mark.shape, x, y, mark.index, mark.title
    )
    return Markup('<a href="{}" tabindex="-1">{}</a>').format(mark.link, spot) if mark.link else spot


def _power(value: float) -> str:
    power = round(math.log10(value))
    if -2 <= power <= 3:
        return f"{value:g}"
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))

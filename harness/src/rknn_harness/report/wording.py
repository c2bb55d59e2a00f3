"""Numbers as people read them, and the pages' common frame."""

from __future__ import annotations

import base64
import hashlib

import jinja2
from markupsafe import Markup

from scirknn.text import printable

_NONE = "—"


def environment() -> jinja2.Environment:
    """Return the pages' template environment, these functions among its filters."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("rknn_harness.report", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: printable(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,  # a step summary is several of these files
    )
    script = made.get_template("page.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    made.globals.update(script=Markup(script), script_hash=f"sha256-{digest}")
    made.filters.update(number=number, percent=percent, ratio=ratio, seconds=seconds, wall=wall, cell=cell)
    return made


def number(value: float | None) -> str:
    """Return two digits, integers in full."""
    if value is None:
        return _NONE
    if isinstance(value, int):
        return str(value)
    return f"{value:.2g}" if 1e-3 <= abs(value) < 1e4 or value == 0 else f"{value:.1e}"


def percent(value: float | None) -> str:
    """Return a share; never rounded up to 100, because a single wrong row must show."""
    if value is None:
        return _NONE
    return "100 %" if value == 1 else f"{min(value * 100, 99.99) if value < 1 else value * 100:.2f} %"


def ratio(value: float | None) -> str:
    """Return a factor."""
    return _NONE if value is None else f"{value:.3g}\N{MULTIPLICATION SIGN}"


def seconds(value: float | None) -> str:
    """Return a short time in the unit that suits it."""
    if value is None:
        return _NONE
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value / 1e-9:.3g} ns"


def wall(value: float | None) -> str:
    """Return a time that people wait."""
    if value is None:
        return _NONE
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def cell(text: object) -> str:
    """Return text for a cell of a Markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")

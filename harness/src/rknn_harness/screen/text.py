"""Lines of at most 80 columns; commands and paths are never broken."""

from __future__ import annotations

import textwrap

WIDTH = 80
INDENT = "  "


def paragraph(first: str, text: str) -> list[str]:
    """Return a text in lines, those after the first below the first's text.

    Parameters
    ----------
    first : str
        The first line's beginning, its spaces included.
    text : str
    """
    return textwrap.wrap(
        " ".join(text.split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def listed(names: list[str]) -> str:
    """Return ``a``, ``a and b``, or ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))

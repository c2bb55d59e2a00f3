"""Compare what a program prints with a golden file, once what differs from run to run is a placeholder."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["check_golden", "check_width", "normalised"]

GOLDEN = Path(__file__).with_name("golden")
UPDATE = "UPDATE_GOLDEN"
"""Environment variable: any text, and the golden files are written anew, to be looked at and committed."""

_LIVE = re.compile(r"^ +\d+ of \d+   ")
_SAME_WIDTH = (
    r"\d{8}T\d{6}Z-[0-9a-f]{6}",  # a run's name
    r"(?<=127\.0\.0\.1:)\d+",
)
_FIGURES = (r"(?<=R2 )-?\d+\.\d{4}$", r"\d+\.\d\d(?= % of labels$)")
"""How good the answers of a data set are: measured, so that it may differ from one processor to another."""

_TIMES = ((r"about (\d+ s|\d+ minutes?)$", "about TIME"),)
_LONG = ("again:", "report", "next")
"""What a line begins with that may be longer than 80 columns: a command or a path stays whole."""


def normalised(printed: str) -> str:
    """Return a screen without the lines of its progress, its times and names replaced."""
    lines = [line.rstrip() for line in printed.splitlines() if not _LIVE.match(line)]
    text = "\n".join(lines).strip("\n") + "\n"
    for pattern in (*_SAME_WIDTH, *_FIGURES):
        text = re.sub(pattern, lambda found: "#" * len(found[0]), text, flags=re.MULTILINE)
    for pattern, name in _TIMES:
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return text


def check_golden(name: str, printed: str) -> None:
    """Hold a screen to its golden file; ``UPDATE_GOLDEN=1 pytest ...`` writes it."""
    path, text = GOLDEN / f"{name}.txt", normalised(printed)
    if os.environ.get(UPDATE):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    check_width(text)


def check_width(text: str) -> None:
    """Hold every line to 80 columns, but for commands and paths."""
    long = [line for line in text.splitlines() if len(line) > 80 and not line.strip().startswith(_LONG)]
    assert not long

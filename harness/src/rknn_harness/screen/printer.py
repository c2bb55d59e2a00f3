"""Print a run's lines, with colour where the terminal shows it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from rknn_harness.records.outcomes import FAIL, INCOMPLETE, PASS
from rknn_harness.screen.live import is_plain
from scirknn.text import printable

_STYLES = {PASS: "bold green", FAIL: "bold red", INCOMPLETE: "bold yellow"}


def print_lines(lines: Iterable[str], stream: TextIO) -> None:
    """Print lines unbroken, verdicts in colour."""
    plain = is_plain(stream)
    console = Console(file=stream, force_terminal=not plain, no_color=plain, highlight=False)
    for line in lines:
        text = Text(printable(line))
        for word, style in _STYLES.items():
            if line.lstrip().startswith(f"{word} "):
                text.highlight_words([word], style)
        console.print(text, soft_wrap=True)
    stream.flush()


def own_stdout() -> TextIO:
    """Return standard output on a descriptor of its own, which pytest does not capture."""
    with contextlib.suppress(AttributeError, io.UnsupportedOperation, OSError):
        return os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace")
    return sys.stdout

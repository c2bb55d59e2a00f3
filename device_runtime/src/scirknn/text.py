"""Text that is printed, whoever wrote it, and the end of standard output; no numpy."""

from __future__ import annotations

import contextlib
import os
import sys


def printable(text: str) -> str:
    """Return a text that moves no cursor and reorders no line.

    Control and format characters (colours, bidirectional overrides, half a surrogate pair) become U+FFFD;
    newline and tab stay. What comes from a bundle, board, toolkit or file goes through it on its way to a
    terminal or page.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def count_of(count: int, noun: str) -> str:
    """Return ``1 model`` or ``2 models``."""
    return f"{count} {noun}" + "s" * (count != 1)


def cause_of(error: Exception) -> str:
    """Return an error's text; where the system refused a file, its name and the reason without a number."""
    if isinstance(error, OSError) and isinstance(error.filename, (str, bytes)):
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def drop_output() -> None:
    """Let standard output lead nowhere once it takes no more, or Python would complain at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

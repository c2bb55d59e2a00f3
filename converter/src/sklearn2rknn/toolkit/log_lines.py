"""The lines of the toolkit's log that name an error."""

from __future__ import annotations

import re

from scirknn.text import printable

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(
    r"^(E |W |\w*(Error|Exception)\b|[A-Za-z_.]*(Error|Exception): )|abort|terminate|Segmentation"
)
_HARMLESS = re.compile(
    r"Unkown op target: 0"  # every good build of 2.3.2 and 2.5.0 prints it
    r"|default (in|out)put dtype of"
    r"|is ignored"
    r"|=====+"
)


_OVER_WIDE = "REGTASK: The bit width of field value exceeds the limit"


def over_wide_fields(log: str) -> list[str]:
    """Return the lines in which the compiler says that a register's field is too narrow for its value.

    It writes the file all the same, and a board then gives zeros (airockchip/rknn-toolkit2 issue 163).
    """
    return [line for line in clean_log(log).splitlines() if _OVER_WIDE in line]


def clean_log(log: str) -> str:
    """Drop colours, progress bars, empty lines and control characters from what the toolkit printed."""
    lines = (line.rsplit("\r", 1)[-1].rstrip() for line in _COLOURS.sub("", log).split("\n"))
    return printable("\n".join(line for line in lines if line and "%|" not in line))


def error_lines(log: str) -> str:
    """Return the last lines of a log that name an error, or its very last ones."""
    lines = clean_log(log).splitlines()
    errors = [line for line in lines if _ERROR.search(line) and not _HARMLESS.search(line)]
    return "\n".join((errors or lines[-3:])[-8:])

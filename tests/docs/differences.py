"""Where a test runs something else than the page says: all of it, and why.

A reader has a board, an hour, and a machine to install things on; the suite has none of them.
"""

from __future__ import annotations

import re

COMMANDS = (
    # tox makes environments with the packages that are installed here already; so its commands alone.
    (r"^tox -e device(?: -- )?", "rknn-harness run --seed 0 "),
    (r"^tox -e py -- ", ""),
    # This is what runs the tests.
    (r"^tox$", "true"),
    # The packages are installed once for all pages, by this command of the README (`installed`).
    (r"^python3 -m pip install (\./\w+ ?)+$", "true"),
    # Two of the fixed networks in place of dozens, and no random ones: every step of a case is in each.
    (r"^(rknn-harness run\b(?!.* --model).*)$", r"\1 --max-cases 0 -k 'iris and n64' --jobs 1"),
    # One question of fifty.
    (r"^(rknn-harness probe\b(?!.* --check).*)$", r"\1 --only form_height"),
)
"""Patterns of commands, and what runs in place of what they match; one after the other."""

FILES = (
    # The virtual board answers in the board's place, and has no NPU.
    (r"(?m)^\[board\.desk\]$", '[board.desk]\ndevice = "virtual"\nvirtual = true'),
    (r"(?m)^power_command = \[.*\]", 'power_command = ["true"]'),
)
"""The same for files."""

_COMMENT = re.compile(r"(?:^|\s+)# .*$")


def command_to_run(command: str) -> str:
    """Return what runs in place of a command; comments are left out."""
    parts = _COMMENT.sub("", command).split(" && ")
    for pattern, replacement in COMMANDS:
        parts = [re.sub(pattern, replacement, part) for part in parts]
    return " && ".join(parts)


def file_to_write(text: str) -> str:
    """Return what is written in place of a file's text."""
    for pattern, replacement in FILES:
        text = re.sub(pattern, replacement, text)
    return text

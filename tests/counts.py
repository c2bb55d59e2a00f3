"""How often a test tries what is counted: a fixed tenth, and all of it in `tox -e full`."""

from __future__ import annotations

import os

__all__ = ["COUNTED_SET", "FULL", "counted"]

FULL = os.environ.get("SCIRKNN_COUNTS") == "full"

COUNTED_SET = "counted set"
"""A property that a test records: what came of the models that it tried. A run ends with a table of them."""


def counted(number: int) -> int:
    """Return the number of tries of this run: a tenth of `number`, rounded up, or all of them."""
    return number if FULL else -(-number // 10)

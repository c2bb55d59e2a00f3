"""How often a test tries what is counted: a fixed tenth, and all of it in `tox -e full`."""

from __future__ import annotations

import os

__all__ = ["FULL", "counted"]

FULL = os.environ.get("SCIRKNN_COUNTS") == "full"


def counted(number: int) -> int:
    """Return the number of tries of this run: a tenth of `number`, rounded up, or all of them."""
    return number if FULL else -(-number // 10)

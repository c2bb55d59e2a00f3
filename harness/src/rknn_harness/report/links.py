"""Where a case stands in a report's page, so that other places can link to it."""

from __future__ import annotations

import re
from urllib.parse import quote

from rknn_harness.records.case_result import CaseResult

__all__ = ["anchor", "link_to"]


def anchor(result: CaseResult) -> str:
    """Return the id of a case in the page: the name of its samples' file, which no other case has."""
    case, toolkit, board = result.key
    return re.sub(r"\s", "_", f"{case}-{toolkit}-{board}")


def link_to(result: CaseResult) -> str:
    """Return a link to a case within the page."""
    return f"#{quote(anchor(result), safe='+')}"

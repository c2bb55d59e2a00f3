"""Where a case stands in a report's page, so that other places can link to it."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from rknn_harness.records.case_result import CaseResult


def anchor(result: CaseResult) -> str:
    """Return the id of a case in the page: the name of its samples' file, which no other case has."""
    case, toolkit, board = result.key
    return re.sub(r"\s", "_", f"{case}-{toolkit}-{board}")


def link_to(result: CaseResult) -> str:
    """Return a link to a case within the page."""
    return f"#{quote(anchor(result), safe='+')}"


def run_names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of runs' paths that differ, such as ``first`` or ``monday/nightly``."""
    parts = [path.absolute().parts for path in paths]
    for count in range(1, max(map(len, parts), default=0)):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(set(parts)):
            return names
    return [str(path.absolute()) for path in paths]


def relative_link(page: Path, folder: Path) -> str:
    """Return a link from a page in a folder to another page."""
    return quote(os.path.relpath(page.absolute(), folder.absolute()))

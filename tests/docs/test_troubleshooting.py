"""Each message that the page of troubles quotes is one that the sources print."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import ROOT
from tests.test_layout import PACKAGES, python_files

HOLE = "…"
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)


def texts(source: str) -> Iterator[str]:
    """Yield the texts of a module, with a hole for each value that an f-string fills in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def is_printed(message: str, printed: list[str]) -> bool:
    """Whether a text has the message's parts in their order, with anything in its holes."""
    pattern = re.compile(".*?".join(re.escape(part) for part in message.split(HOLE)), re.DOTALL)
    return any(pattern.search(text) for text in printed)


@pytest.fixture(scope="module")
def printed() -> list[str]:
    files = [file for source in PACKAGES.values() for file in python_files(ROOT / source)]
    return [text for file in files for text in texts(file.read_text("utf-8"))]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_quoted_message_is_in_the_sources(message: str, printed: list[str]) -> None:
    assert is_printed(message, printed)


def test_each_row_of_the_page_quotes_a_message() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|")]
    tables = sum(row.startswith("|---") for row in rows)
    assert len(MESSAGES) == len(rows) - 2 * tables > 25


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("… is shut; open … again.", True),
        ("is shut", True),
        ("… is open", False),
        ("open … is shut", False),
    ],
)
def test_a_message_that_nothing_prints_is_found(message: str, expected: bool) -> None:
    assert (
        is_printed(message, list(texts('raise E(f"{name} is shut; " f"open {it.name!r} again.")')))
        == expected
    )

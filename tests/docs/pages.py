"""Blocks of code in the documentation, and the comments above them that say how a test runs them.

A block stands between fences and names its language: ``bash``, ``python``, ``toml`` or ``text``. Comments
stand directly above it, of which a reader sees nothing::

    <!-- not run: REASON -->          only a machine that the tests are not can run it
    <!-- file: NAME -->               its text is what NAME holds, for the blocks that follow
    <!-- printed -->                  the block before prints these lines; figures may differ
    <!-- in the source folder -->     it runs in a copy of the project's folder
    <!-- on the board -->             it runs on a machine that has no NPU and says so
    <!-- name: NAME -->               other pages can begin with it

A page begins with blocks of other pages by ``<!-- after: PAGE NAME, PAGE NAME -->``, and is run only where a
Python package is installed by ``<!-- needs: PACKAGE -->``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
    "converter/README.md",
    "device_runtime/README.md",
    "harness/README.md",
    "virtual_npu/README.md",
)
LANGUAGES = ("bash", "python", "toml", "text")
MARKERS = ("not run", "file", "printed", "in the source folder", "on the board", "name", "after")

_COMMENT = re.compile(r"<!-- ([a-z ]+?)(?:: (.*?))? -->")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes
    ----------
    page : str
    line : int
        Of its opening fence.
    language : str
        Empty for an indented block.
    text : str
    markers : dict of str to str
        What the comments above it say.
    """

    page: str
    line: int
    language: str
    text: str
    markers: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language})"


@dataclass(frozen=True)
class Page:
    """A page's blocks in order, which blocks of other pages come first, and a package that it is run with."""

    name: str
    blocks: tuple[Block, ...]
    after: tuple[tuple[str, str], ...]
    needs: str = ""


def read_page(name: str) -> Page:
    """Read a page of the project by its path from the project's folder."""
    return parse_page(name, (ROOT / name).read_text("utf-8"))


def parse_page(name: str, text: str) -> Page:
    """Take a page's blocks and comments apart."""
    blocks: list[Block] = []
    after: list[tuple[str, str]] = []
    needs = ""
    markers: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "html_block":
            found = dict(_COMMENT.findall(token.content))
            for place in found.pop("after", "").split(", "):
                if place:
                    page, _, block = place.partition(" ")
                    after.append((page, block))
            needs = found.pop("needs", needs)
            markers |= found
        elif token.type in ("fence", "code_block"):
            assert token.map is not None
            blocks.append(Block(name, token.map[0] + 1, token.info.strip(), token.content, markers))
            markers = {}
        else:
            markers = {}
    return Page(name, tuple(blocks), tuple(after), needs)


def blocks_to_run(page: Page) -> list[Block]:
    """Return the blocks of a page, behind those that it begins with."""
    first = []
    for other, name in page.after:
        named = [block for block in read_page(other).blocks if block.markers.get("name") == name]
        assert named, f"{page.name} begins with {name!r} of {other}, where no block has that name"
        first += named
    return [*first, *page.blocks]

"""Links lead somewhere, in a copy of the sources and on the site, and the index leads to every page."""

from __future__ import annotations

import functools
import itertools
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs.pages import PAGES, ROOT

REFERENCE = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/reference").glob("*.md"))
ALL = (*PAGES, "converter/ACCURACY.md", *REFERENCE)


@functools.cache
def tokens_of(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))


def links_of(page: Path) -> list[str]:
    children = [child for token in tokens_of(page) for child in token.children or ()]
    return [str(child.attrs.get("href") or child.attrs["src"]) for child in children if child.attrs]


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings that GitHub and the site both make.

    GitHub leaves punctuation out; docutils, whose names the site has too, puts hyphens for it.
    """
    pairs = itertools.pairwise(tokens_of(page))
    heads = [text.content.replace("`", "").lower() for head, text in pairs if head.type == "heading_open"]
    by_both = ((_by_github(head), re.sub(r"[^a-z0-9]+", "-", head).strip("-")) for head in heads)
    return {name for name, other in by_both if name == other}


def _by_github(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")


@pytest.mark.parametrize("name", ALL)
def test_links_lead_to_a_file_and_a_heading(name: str) -> None:
    page = ROOT / name
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link


def test_the_index_leads_to_every_page_of_the_site() -> None:
    folder = (ROOT / "docs").resolve()
    left, seen = [folder / "index.md"], set()
    while left:
        page = left.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            links = (page.parent / link.partition("#")[0] for link in links_of(page) if "://" not in link)
            left += [path.resolve() for path in links if folder in path.resolve().parents]
    pages = set(folder.glob("*.md"))
    assert pages <= seen, pages - seen

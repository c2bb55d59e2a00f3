"""axe finds nothing in any page, on a desk and on a phone, light and dark."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import pytest

from tests.pages.conftest import PAGES

pytestmark = pytest.mark.timeout(1800)  # the first one makes the pages
SIZES = {1280: 900, 390: 844}
OPEN_SOME = """() => {
  for (const kind of ["wrong", "not", "known", "refused", "right"]) {
    const details = document.querySelector(`#list > tbody.${kind} details`);
    if (details) details.open = true;
  }
  document.querySelectorAll("details.fold").forEach(fold => { fold.open = true; });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("page", PAGES, indirect=True)
def test_axe_finds_nothing(browser: Any, page: Path, width: int, scheme: str) -> None:
    axe = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    context = browser.new_context(
        viewport={"width": width, "height": SIZES[width]}, color_scheme=scheme, offline=True, bypass_csp=True
    )
    try:
        opened = context.new_page()
        errors: list[str] = []
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(page.as_uri())
        opened.evaluate(OPEN_SOME)
        opened.evaluate(axe.read_text("utf-8"))
        found = opened.evaluate("() => axe.run(document)")
        sideways = opened.evaluate("document.documentElement.scrollWidth - innerWidth")
    finally:
        context.close()
    assert len(found["passes"]) > 20  # it did look
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    assert errors == []
    assert sideways <= 0


def test_axe_finds_a_planted_fault(browser: Any, written: dict[str, Path], tmp_path: Path) -> None:
    text = written["report"].read_text("utf-8")
    spoilt = tmp_path / "report.html"
    spoilt.write_text(text.replace(' aria-label="Filter the cases"><label>Find', "><label>"), "utf-8")
    axe = importlib.resources.files("axe_playwright_python") / "axe.min.js"
    context = browser.new_context(offline=True, bypass_csp=True)
    try:
        opened = context.new_page()
        opened.goto(spoilt.as_uri())
        opened.evaluate(axe.read_text("utf-8"))
        found = opened.evaluate("() => axe.run(document)")
    finally:
        context.close()
    assert "label" in {each["id"] for each in found["violations"]}

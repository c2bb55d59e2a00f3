"""The report as a page to work in: by keyboard alone, by link, by filter, and without script."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(1800)  # the first one makes the pages
FOCUSED = """() => {
  const here = document.activeElement.closest("#list > tbody");
  return here && document.activeElement.tagName === "SUMMARY" ? here.id : null;
}"""
SHOWN = "() => [...document.getElementById('list').tBodies].filter(body => body.offsetParent !== null).length"


def records(page: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (page.parent / "cases.jsonl").read_text("utf-8").splitlines()]


def anchors(page: Path) -> set[str]:
    return {f"{line['id']}-{line['toolkit']}-{line['board']}" for line in records(page)}


@pytest.fixture
def opened(browser: Any, written: dict[str, Path]) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.goto(written["report"].as_uri())
    yield page
    context.close()


def test_the_keyboard_alone_reaches_and_opens_every_case(opened: Any, written: dict[str, Path]) -> None:
    wanted, reached = anchors(written["report"]), set()
    opened.locator("#filter input").focus()
    for _ in range(8 * len(wanted)):
        opened.keyboard.press("Tab")
        case = opened.evaluate(FOCUSED)
        if case is None:
            continue
        opened.keyboard.press("Enter")
        shown = "id => document.getElementById(id).querySelector('.more').offsetParent !== null"
        assert opened.evaluate(shown, case)
        opened.keyboard.press("Enter")
        reached.add(case)
        if reached == wanted:
            break
    assert reached == wanted


def test_the_first_stop_of_the_keyboard_skips_to_the_contents(opened: Any) -> None:
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "main"


def test_a_filter_shows_the_cases_that_meet_it(opened: Any, written: dict[str, Path]) -> None:
    lines = records(written["report"])
    opened.select_option("[name=precision]", "int8")
    opened.select_option("[name=kind]", "refused")
    refused = [line for line in lines if line["outcome"] == "unsupported" and line["precision"] == "int8"]
    assert refused
    assert opened.evaluate(SHOWN) == len(refused)
    opened.click("#filter [type=reset]")
    opened.fill("[name=text]", "clip_truncate")
    opened.wait_for_function(f"({SHOWN})() < {len(lines)}")
    assert opened.evaluate(SHOWN) == sum("clip_truncate" in line["reason"] for line in lines)


def test_a_column_sorts_both_ways(opened: Any) -> None:
    values = """() => [...document.querySelectorAll("#list > tbody")].map(
      body => Number(body.rows[0].querySelector("td.n").dataset.sort))"""
    head = opened.locator("#list thead button", has_text="of its limit")
    for is_falling in (False, True):
        head.click()
        shares = opened.evaluate(values)
        assert shares == sorted(shares, reverse=is_falling)


def test_a_link_opens_a_case_that_a_filter_hides(opened: Any) -> None:
    opened.select_option("[name=kind]", "refused")
    mark = opened.locator(".matrix .m.wrong").first
    target = mark.get_attribute("href")[1:]
    mark.click()
    opened.wait_for_function("document.activeElement.tagName === 'SUMMARY'")
    assert opened.evaluate(FOCUSED) == target


def test_every_link_within_the_page_leads_somewhere(opened: Any, written: dict[str, Path]) -> None:
    broken = """() => [...document.querySelectorAll("a[href^='#']")]
      .map(link => link.getAttribute("href").slice(1))
      .filter(id => !document.getElementById(decodeURIComponent(id)))"""
    assert opened.evaluate(broken) == []
    ids = opened.evaluate("() => [...document.querySelectorAll('[id]')].map(element => element.id)")
    assert len(ids) == len(set(ids))
    assert anchors(written["report"]) <= set(ids)


def test_a_command_is_copied_as_it_stands(browser: Any, written: dict[str, Path]) -> None:
    context = browser.new_context(offline=True, permissions=["clipboard-read", "clipboard-write"])
    try:
        page = context.new_page()
        page.goto(written["report"].as_uri())
        page.locator("#cause-0 .copy").click()
        page.wait_for_function("document.querySelector('#say').textContent !== ''")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.locator("#cause-0 pre").text_content()
    finally:
        context.close()
    assert copied.startswith("rknn-harness replay runs/after ")


def test_without_script_every_case_opens_by_link_and_by_itself(
    browser: Any, written: dict[str, Path]
) -> None:
    file = written["report"]
    first, second = sorted(anchors(file))[:2]
    context = browser.new_context(java_script_enabled=False, offline=True)
    try:
        page = context.new_page()
        page.goto(f"{file.as_uri()}#{first}")
        assert page.locator(f'[id="{first}"] > .more').is_visible()
        assert not page.locator("#filter").is_visible()
        page.locator(f'[id="{second}"] summary').first.click()
        assert page.locator(f'[id="{second}"] > .more').is_visible()
    finally:
        context.close()


def test_on_a_phone_no_word_is_broken_into_letters(browser: Any, written: dict[str, Path]) -> None:
    narrow = """() => {
      document.querySelector("#list details").open = true;
      return [...document.querySelectorAll("td, th")]
        .filter(cell => cell.offsetParent && /\\w{3}/.test(cell.textContent) && cell.offsetWidth < 30)
        .map(cell => cell.textContent);
    }"""
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    try:
        page = context.new_page()
        page.goto(written["report"].as_uri())
        assert page.evaluate(narrow) == []
    finally:
        context.close()


@pytest.mark.parametrize("name", ["report", "compare", "trend"])
def test_a_page_fetches_nothing_else(browser: Any, written: dict[str, Path], name: str) -> None:
    context = browser.new_context()
    try:
        page, asked, complaints = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(written[name].as_uri())
        assert asked == [written[name].as_uri()]
        assert complaints == []
    finally:
        context.close()

"""The pages, made once, and a browser to open them in."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rknn_harness.report.comparison import compare
from rknn_harness.report.comparison.page import write_comparison
from rknn_harness.report.render import write_report
from rknn_harness.report.trend import trend
from rknn_harness.report.trend_page import write_trend
from tests.harness.matrix_runs import Plan, with_faults, write_matrix

ROOT = Path(__file__).parents[2]
DOCS = ("index", "read-a-report", "verdict")
PAGES = ("report", "compare", "trend", *DOCS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    missing = [
        package
        for package in ("playwright", "axe_playwright_python")
        if not importlib.util.find_spec(package)
    ]
    if missing:
        pytest.skip("needs playwright and axe: python -m pip install playwright axe-playwright-python")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.skip("needs a browser: Debian's chromium, or CHROMIUM=path of one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root; the pages are this project's.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        opened = playwright.chromium.launch(executable_path=program, args=sandbox)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report with every kind of end on two toolkits and two boards, a comparison and a trend with it."""
    folder = tmp_path_factory.mktemp("pages")
    plan = Plan(toolkits=("2.2.0", "2.3.2"), boards=("virtual", "orange"), count=6, timed=60)
    before = write_matrix(folder / "runs" / "before", 1, plan)
    after = write_matrix(folder / "runs" / "after", 2, plan, with_faults)
    write_report(before)
    return {
        "report": write_report(after),
        "compare": write_comparison(compare(before, after), folder / "out"),
        "trend": write_trend(trend([before, after]), folder / "out"),
    }


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = [name for name in ("furo", "myst_parser", "sphinx") if not importlib.util.find_spec(name)]
    if missing:
        pytest.skip("needs the documentation's tools: python -m pip install furo myst-parser sphinx")
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(ROOT / "docs"), str(site)]
    subprocess.run(command, check=True, timeout=600)
    return site


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Path:
    """The file of a page that a test is parametrized with by name."""
    name = request.param
    if name in DOCS:
        built: Path = request.getfixturevalue("site")
        return built / f"{name}.html"
    files: dict[str, Path] = request.getfixturevalue("written")
    return files[name]

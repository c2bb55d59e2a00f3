"""A run with every toolkit brings the lists up to date, and the next one knows its failures."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rknn_harness.records.outcomes import ExitCode
from rknn_harness.records.run_folder import read_run
from sklearn2rknn.toolkit.pins.versions import toolkit_version, toolkit_versions
from tests.harness.pretended_run import PRETEND

OPTIONS = (
    "--toolkit",
    "all",
    "--precision",
    "int8",
    "--max-cases",
    "0",
    "--seed",
    "0",
    "--jobs",
    "1",
    "-k",
    "wine",
)
"""Wine, with every toolkit of the table: with two of them it pretends to fail."""

LINE = "fail  *  wine-int8-n64  "


@pytest.mark.timeout(300)
def test_a_run_with_every_toolkit_adds_its_new_failures_to_the_lists(tmp_path: Path) -> None:
    lists = tmp_path / "expectations"
    lists.mkdir()
    (lists / "virtual-2.3.0.txt").write_text(f"{LINE}It is known. measured\n")
    (lists / "virtual-2.5.0.txt").write_text("fail  *  wine-int8-*  Was wrong once. measured\n")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "rknn_harness.commands.cli",
            "run",
            *OPTIONS,
            "--run-dir",
            "first",
            "--update-expectations",
        ],
        cwd=tmp_path,
        env={**os.environ, **PRETEND, "SKLEARN2RKNN_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ExitCode.CONFORMANCE, done.stdout + done.stderr
    run = read_run(tmp_path / "first")
    by_index = [version for version in toolkit_versions() if toolkit_version(version).wheel.source == "index"]
    assert [result.case.toolkit for result in run.results] == by_index
    assert [result.case.toolkit for result in run.results if result.is_failure] == ["2.3.0", "2.3.2"]
    assert "2 of 4 cases; 1 known failure besides" in " ".join(done.stdout.split())

    assert re.search(r"^  not run  1\.5\.0 .*: wheel not supplied$", done.stdout, re.MULTILINE)
    assert "| 1.5.0 | not run: wheel not supplied |" in (run.path / "report.md").read_text("utf-8")

    texts = {path.name: path.read_text() for path in lists.iterdir()}
    assert texts["virtual-2.3.0.txt"] == f"{LINE}It is known. measured\n"
    assert texts["virtual-2.3.2.txt"].endswith(f"{LINE}It was refused. Seen in run first. measured\n")
    assert not texts["virtual-2.5.0.txt"].strip()
    assert "  expectations/virtual-2.3.2.txt: 1 line added, 0 removed\n" in done.stdout
    assert "  expectations/virtual-2.5.0.txt: 0 lines added, 1 removed\n" in done.stdout

"""What a run prints, held to golden files: every count, cause and word, at 80 columns."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

import sklearn2rknn
from rknn_harness.boards.boards_file import VIRTUAL
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.run_folder import read_run
from rknn_harness.screen.ending import ending
from rknn_harness.screen.header import TITLE, board_lines, plan_lines
from tests.harness.screen.golden_screen import check_golden, check_width, normalised
from tests.harness.screen.screen_runs import BEYOND, Change, entries, refused, run_of, wrong


def screen(folder: Path, change: Change | None, *toolkits: str, show_all: bool = False) -> str:
    """Return all that a run of given results prints, its progress left out."""
    planned = entries(*toolkits)
    run, plan = run_of(folder / "runs" / "20260101T000000Z-abcdef", planned, change)
    header = [TITLE, *board_lines({"virtual": VIRTUAL}), *plan_lines(toolkits or ("2.3.2",), plan, 80.0)]
    return "\n".join([*header, *ending(run, plan, show_all=show_all)])


def one_toolkit_wrong(result: CaseResult) -> CaseResult:
    """The newer toolkit's int8 alone is wrong, the older's iris in float16 is a known failure."""
    toolkit, precision = result.case.toolkit, result.case.precision
    if toolkit == "2.5.0" and precision == "int8" and result.case.group == "wine":
        reason = BEYOND.replace("0.002 (the fixed limit)", "0.05 (the fixed limit)")
        return attrs.evolve(result, outcome=Outcome.MISMATCH, stage=Stage.SIMULATOR, reason=reason)
    if toolkit == "2.2.0" and result.case.id == "iris-float16-n1":
        return attrs.evolve(
            result, outcome=Outcome.MISMATCH, stage=Stage.BOARD, reason=BEYOND, expected="Its sums are int16."
        )
    return refused(result)


@pytest.mark.parametrize(
    ("name", "change", "toolkits", "show_all"),
    [
        ("refused", refused, (), False),
        ("failing", wrong, (), False),
        ("matrix", one_toolkit_wrong, ("2.2.0", "2.5.0"), False),
        ("all-rows", refused, (), True),
    ],
)
def test_a_run_prints_what_its_golden_file_has(
    name: str,
    change: Change,
    toolkits: tuple[str, ...],
    show_all: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    check_golden(name, screen(tmp_path, change, *toolkits, show_all=show_all))


def test_no_sentence_is_printed_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = " ".join(screen(tmp_path, wrong).split())
    assert text.count("off by") == text.count("The NPU refused") == 1
    sentences = re.findall(r"[A-Z][^.:]{20,}[.:]", text)
    assert len(sentences) == len(set(sentences))


@pytest.mark.timeout(900)
def test_a_good_run_prints_what_its_golden_file_has(tmp_path: Path) -> None:
    try:
        sklearn2rknn.open_toolkit("2.3.2").close()
    except sklearn2rknn.ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 2.3.2: {error}")
    command = [sys.executable, "-m", "rknn_harness.commands.cli", "run", "--seed", "0", "--max-cases", "3"]
    done = subprocess.run(
        [*command, "--jobs", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    check_golden("good", done.stdout)
    lines = done.stdout.splitlines()
    assert len(lines) <= 60
    check_width(done.stdout)
    assert "\x1b" not in done.stdout
    counted = [line for line in lines if re.match(r" +\d+ of \d+ ", line)]
    assert counted
    assert counted[-1].split()[0] == counted[-1].split()[2]
    assert normalised(done.stdout).splitlines()[0] == TITLE
    (run,) = (tmp_path / "runs").iterdir()
    assert read_run(run).manifest["finished"]

"""Every command that a run prints runs as it is printed, in a shell, from the user's folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest

import sklearn2rknn
from rknn_harness.records.run_folder import read_run
from tests.harness.lying_board import boards_toml, lying_board
from tests.harness.screen.golden_screen import check_width

pytestmark = pytest.mark.timeout(900)

PROGRAM = "rknn-harness "
TOOLKIT = "2.3.2"


@pytest.fixture(autouse=True)
def _toolkit() -> None:
    try:
        sklearn2rknn.open_toolkit(TOOLKIT).close()
    except sklearn2rknn.ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 {TOOLKIT}: {error}")


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell, as a user who copied it."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )


def commands_of(printed: str) -> list[str]:
    """Return the commands of a screen: each is the rest of its line."""
    lines = [line for line in printed.splitlines() if PROGRAM in line]
    return [PROGRAM + line.partition(PROGRAM)[2] for line in lines]


def run_on(boards: str, folder: Path, names: str) -> subprocess.CompletedProcess[str]:
    return shell(
        f"rknn-harness run --board liar --boards '{boards}' --max-cases 0 --precision float16 --seed 0 "
        f"-k '{names}' --jobs 1",
        folder,
    )


def test_the_commands_of_a_failing_run(tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    with lying_board(tmp_path / "there") as board:
        boards_toml(folder / "boards of mine.toml", board)
        done = run_on("boards of mine.toml", folder, "sine or linnerud")
        assert done.returncode == 1, done.stdout + done.stderr
        check_width(done.stdout)
        assert "FAIL   1 cause, 1 of 2 models" in done.stdout
        (command,) = commands_of(done.stdout)
        (run,) = (folder / "runs").iterdir()
        assert command == (
            f"rknn-harness replay runs/{run.name} sine-float16-n64 --board liar "
            "--boards 'boards of mine.toml'"
        )
        replayed = shell(command, folder)
        assert replayed.returncode == 1, replayed.stderr
        assert "mismatch at board: the same as recorded" in replayed.stderr
        assert json.loads(replayed.stdout)["id"] == "sine-float16-n64"
        # The CI server's file has the same, from the folder that the run was started in.
        told = ElementTree.parse(run / "junit.xml").getroot().iter("failure")
        assert command in {(failure.text or "").splitlines()[-1].removeprefix("again: ") for failure in told}
    # The entry says nothing of it: what ran there did.
    manifest = read_run(run).manifest
    assert manifest["boards"]["liar"]["virtual"] is True
    assert "Nothing here was seen on an NPU" in manifest["statement"]


def test_the_commands_of_a_run_whose_board_was_away(tmp_path: Path) -> None:
    boards = tmp_path / "boards.toml"
    with lying_board(tmp_path / "there") as board:
        boards_toml(boards, attrs.evolve(board, host="127.0.0.1", port=9))
        done = run_on("boards.toml", tmp_path, "iris-float16-n64")
        assert done.returncode == 3, done.stdout + done.stderr
        assert "INCOMPLETE  1 of 1 model could not be tried" in " ".join(done.stdout.split("   "))
        boards_toml(boards, board)
        replay, resume = commands_of(done.stdout)
        assert replay.startswith("rknn-harness replay runs/")
        assert shell(replay, tmp_path).returncode == 0
        assert resume.startswith("rknn-harness run --resume runs/")
        resumed = shell(resume, tmp_path)
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        assert "PASS   1 model right, 0 wrong." in resumed.stdout

"""Runs on places of a coordinator: never two on one place, and each ends complete."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import sklearn2rknn
from rknn_harness.records.outcomes import ExitCode, Outcome
from rknn_harness.records.run_folder import Run, read_run
from tests.labgrid.lab import TAG, Lab
from tests.labgrid.test_places import holders, is_all_free

pytestmark = pytest.mark.timeout(900)

GUARD = """#!/bin/sh
# A second runner on this board at the same time finds the file locked, and leaves a mark.
exec 9>>"$HOME/used"
flock -n 9 || echo "$$" >>"$HOME/used_by_two"
exec {python} "$@"
"""


@pytest.fixture(autouse=True, scope="module")
def toolkit() -> None:
    try:
        sklearn2rknn.open_toolkit("2.3.2").close()
    except sklearn2rknn.ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 2.3.2: {error}")


def homes(lab: Lab) -> list[Path]:
    return [board.key.parent / "home" for board in lab.boards.values()]


@pytest.fixture
def guard(tmp_path: Path) -> Path:
    """A Python for the boards that notices when two runners use one of them."""
    path = tmp_path / "python"
    path.write_text(GUARD.format(python=sys.executable))
    path.chmod(0o755)
    return path


@pytest.fixture
def boards_file(lab: Lab, guard: Path, tmp_path: Path) -> Path:
    return lab.boards_file(tmp_path / "boards.toml", place="a", python=str(guard))


def start(boards_file: Path, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a run of iris in one batch size and two precisions."""
    command = [sys.executable, "-m", "rknn_harness.commands.cli", "run"]
    if "--resume" not in words:
        command += ["--board", "shelf", "--boards", str(boards_file), "--seed", "0", "--max-cases", "0"]
        command += ["--run-dir", str(folder)]
    return subprocess.Popen(
        [*command, "--jobs", "1", "--wait", "10m", *words],
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "NO_COLOR": "1"},
    )


ONE = ("-k", "iris and n64")
SEVERAL = ("-k", "iris")


def end(process: subprocess.Popen[str], expected: ExitCode) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == expected, output
    return output


def outcomes(run: Run) -> set[Outcome]:
    return {result.outcome for result in run.results}


def wait_for_results(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    record, until = folder / "cases.jsonl", time.monotonic() + 300
    while not record.exists() or record.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)


def test_two_runners_on_one_board_are_noticed(guard: Path, tmp_path: Path) -> None:
    runner = [str(guard), "-c", "input()"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    processes = [subprocess.Popen(runner, stdin=subprocess.PIPE, env=environment) for _ in range(2)]
    mark, until = tmp_path / "used_by_two", time.monotonic() + 60
    while not mark.exists() and time.monotonic() < until:
        time.sleep(0.05)
    for process in processes:
        process.communicate(b"\n")
    assert mark.exists()


def test_three_runs_share_two_places_and_never_one(lab: Lab, guard: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    processes = []
    for folder in folders:
        # Each has a lease of its own on the boards: labgrid alone keeps them apart.
        fields = {"tags": [TAG], "python": str(guard), "lease_folder": str(tmp_path / f"lease-{folder.name}")}
        file = lab.boards_file(tmp_path / f"{folder.name}.toml", **fields)
        processes.append(start(file, folder, *ONE))
    seen: set[str] = set()
    while any(process.poll() is None for process in processes):
        seen |= set(holders(lab).values())
        time.sleep(0.2)
    for process, folder in zip(processes, folders, strict=True):
        end(process, ExitCode.CLEAN)
        run = read_run(folder)
        assert (len(run.results), outcomes(run)) == (2, {Outcome.PASS})
        assert run.manifest["boards"]["shelf"]["holder"] in seen
        assert f".run-{folder.name}." in run.manifest["boards"]["shelf"]["holder"]
    assert len({read_run(folder).manifest["boards"]["shelf"]["place"] for folder in folders}) == 2
    assert [(home / "used").exists() for home in homes(lab)] == [True, True]
    assert not [home for home in homes(lab) if (home / "used_by_two").exists()]
    assert is_all_free(lab)


def test_the_run_after_a_killed_one_frees_and_uses_its_place(
    lab: Lab, boards_file: Path, tmp_path: Path
) -> None:
    killed = start(boards_file, tmp_path / "killed", *SEVERAL)
    wait_for_results(tmp_path / "killed", 1, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    held = holders(lab)
    assert list(held) == ["a"]
    assert ".run-killed." in held["a"]

    output = end(start(boards_file, tmp_path / "next", *ONE), ExitCode.CLEAN)
    run = read_run(tmp_path / "next")
    assert run.manifest["boards"]["shelf"]["place"] == "a", output
    assert outcomes(run) == {Outcome.PASS}
    # The killed one goes on, too.
    end(start(boards_file, tmp_path / "killed", "--resume", str(tmp_path / "killed")), ExitCode.CLEAN)
    assert is_all_free(lab)


@pytest.mark.parametrize("program", ["exporter", "coordinator"])
def test_a_run_whose_exporter_or_coordinator_dies_is_resumed(
    program: str, lab: Lab, boards_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    process = start(boards_file, folder, *SEVERAL)
    wait_for_results(folder, 1, process)
    lab.kill(program)
    try:
        output = end(process, ExitCode.INFRASTRUCTURE)
    finally:
        if program == "coordinator":
            lab.kill("exporter")
            lab.start_coordinator()
        lab.start_exporter()
    broken = read_run(folder)
    assert "rknn-harness run --resume" in output
    assert outcomes(broken) == {Outcome.PASS, Outcome.INFRA_ERROR}
    (reason,) = {result.reason.partition("earlier: ")[2] or result.reason for result in broken.results} - {""}
    assert ("its exporter is not connected" if program == "exporter" else "is gone") in reason

    end(start(boards_file, folder, "--resume", str(folder)), ExitCode.CLEAN)
    resumed = read_run(folder)
    assert outcomes(resumed) == {Outcome.PASS}
    assert {result.key for result in resumed.results} == {result.key for result in broken.results}
    assert is_all_free(lab)


def test_facts_of_a_place_are_printed_and_nothing_of_labgrid_s_own_log(boards_file: Path) -> None:
    words = ["board", "facts", "--board", "shelf", "--boards", str(boards_file)]
    command = [sys.executable, "-m", "rknn_harness.commands.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["device"] == "virtual"
    boards_file.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", boards_file.read_text()))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.INFRASTRUCTURE
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("Error: The coordinator 127.0.0.1:1 cannot be reached: ")

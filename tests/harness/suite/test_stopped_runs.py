"""A run that is killed at any point leaves a folder that can be read and reported, and goes on from there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rknn_harness.records.outcomes import ExitCode
from rknn_harness.records.run_folder import read_run
from rknn_harness.report.views import write_views
from tests.harness.boards.small_disk import small_disk
from tests.harness.pretended_run import BROKEN, PRETEND
from tests.harness.samples import write_run

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "rknn_harness", "run"]
OPTIONS = ["--toolkit", "2.3.2", "--precision", "float16", "--max-cases", "24", "--seed", "3"]


def start(*arguments: str, broken: bool = False) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            **PRETEND,
            **({BROKEN: "yes"} if broken else {}),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def begin_or_resume(path: Path) -> list[str]:
    return (
        ["--resume", str(path)]
        if path.exists()
        else [*OPTIONS, "--run-dir", str(path), "--corpus", str(path.parent / "corpus")]
    )


def lines(path: Path) -> int:
    record = path / "cases.jsonl"
    return record.read_bytes().count(b"\n") if record.exists() else -1


def settled(path: Path) -> dict[Any, str]:
    """Every result of a run by its key, without what a clock makes."""
    return {
        result.key: json.dumps({**result.to_json(), "seconds": None, "attempts": None})
        for result in read_run(path).results
    }


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("unbroken") / "run"
    process = start(*begin_or_resume(path), "--jobs", "1")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == ExitCode.CONFORMANCE, output
    return path


@pytest.mark.parametrize(
    ("sign", "kills", "jobs"), [(signal.SIGKILL, 2, "2"), (signal.SIGINT, 1, "1")], ids=["kill", "Ctrl-C"]
)
def test_a_run_that_is_stopped_anywhere_goes_on_and_ends_as_an_unbroken_one(
    unbroken: Path, tmp_path: Path, sign: signal.Signals, kills: int, jobs: str
) -> None:
    path = tmp_path / "run"
    chance = random.Random(sign)
    total = lines(unbroken)
    for _ in range(kills):
        process = start(*begin_or_resume(path), "--jobs", jobs)
        # The first may come before there is a folder, the others anywhere in what is left.
        target, end = chance.randint(lines(path), total - 1), time.monotonic() + 120
        while lines(path) < target and process.poll() is None and time.monotonic() < end:
            time.sleep(chance.uniform(0.0, 0.01))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        output = process.communicate(timeout=120)[0]
        if process.returncode == ExitCode.CONFORMANCE:
            # On a busy machine the signal may come after the end, which is a place like any other.
            assert lines(path) == total, output
            break
        assert process.returncode in (-sign, ExitCode.INFRASTRUCTURE), output
        if path.exists():
            assert write_views(path).stat().st_size > 1000
    process = start(*begin_or_resume(path), "--jobs", jobs)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == ExitCode.CONFORMANCE, output
    assert settled(path) == settled(unbroken)
    assert read_run(path).manifest["finished"]
    assert lines(path) == total


def test_what_broke_on_the_way_is_tried_again(unbroken: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    process = start(*begin_or_resume(path), "--jobs", "1", broken=True)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == ExitCode.INFRASTRUCTURE, output
    process = start("--resume", str(path), "--jobs", "1")
    output = process.communicate(timeout=120)[0]
    assert process.returncode == ExitCode.CONFORMANCE, output
    assert settled(path) == settled(unbroken)
    broken = (path / "broken.jsonl").read_text().splitlines()
    assert broken
    assert {json.loads(line)["outcome"] for line in broken} == {"infra_error"}


def test_resume_names_what_is_no_run(tmp_path: Path) -> None:
    process = start("--resume", str(tmp_path))
    output = process.communicate(timeout=120)[0]
    assert process.returncode == ExitCode.USAGE
    assert "is not a run's folder" in output


def test_a_run_whose_disk_is_full_ends_and_says_why_and_how_to_go_on(unbroken: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk"):
        path, filling = tmp_path / "disk" / "run", tmp_path / "disk" / "filling"
        filling.write_bytes(bytes((1 << 20) - (80 << 10)))  # of 80 KiB the plan takes a fifth, a case 2 KiB
        process = start(*begin_or_resume(path), "--jobs", "1")
        output = process.communicate(timeout=120)[0]
        assert process.returncode == ExitCode.INFRASTRUCTURE, output
        assert "models were not tried: the run was ended." in output
        assert f"next     go on, once what broke is mended:  rknn-harness run --resume {path}" in output
        assert "error    The run's folder cannot be written: No space left on device." in output
        assert 0 < len(read_run(path).results) < lines(unbroken)


def test_a_baseline_that_cannot_be_read_ends_a_run_before_its_first_case(tmp_path: Path) -> None:
    process = start(*begin_or_resume(tmp_path / "run"), "--baseline", str(tmp_path / "none"))
    output = process.communicate(timeout=120)[0]
    assert process.returncode == ExitCode.USAGE
    assert f"{tmp_path / 'none'} is not a run's folder" in output
    assert not (tmp_path / "run").exists()


def test_a_run_without_the_options_that_it_was_given_cannot_go_on(tmp_path: Path) -> None:
    write_run(tmp_path / "run", [])
    process = start("--resume", str(tmp_path / "run"))
    output = process.communicate(timeout=120)[0]
    assert process.returncode == ExitCode.USAGE
    assert "run cannot be resumed: its manifest has no options." in output

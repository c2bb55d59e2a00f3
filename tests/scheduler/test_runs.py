"""A run whose conversions a scheduler does records the cases of a run that does its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rknn_harness.records.case import Key
from rknn_harness.records.outcomes import ExitCode, Outcome
from rknn_harness.records.phases import Phase
from rknn_harness.records.run_folder import Run, read_run
from tests.scheduler.cluster import Cluster
from tests.waiting import once

pytestmark = pytest.mark.timeout(1800)

CASES = 8
"""Iris in four batch sizes and two precisions."""

VARYING = ("latency", "cpu", "clocks", "seconds", "samples")
"""What two runs of the same case may differ in: times."""


def begin(folder: Path, *words: str, expected: ExitCode = ExitCode.CLEAN) -> str:
    chosen = ("--seed", "0", "--max-cases", "0", "-k", "iris and not n1024", "--run-dir", str(folder))
    return call(folder, *chosen, *words, expected=expected)


def call(folder: Path, *words: str, expected: ExitCode) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rknn_harness.commands.cli", "run", *words],
        cwd=folder.parent,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == expected, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def run(folder: Path, *words: str) -> Run:
    begin(folder, *words)
    return read_run(folder)


def verdicts(run: Run) -> Mapping[Key, Mapping[str, Any]]:
    """Return what a run recorded of each case, content digests among it, once."""
    counts = Counter(result.key for result in run.results)
    assert len(counts) == CASES
    assert set(counts.values()) == {1}
    assert len((run.path / "cases.jsonl").read_text().splitlines()) == CASES
    return {
        result.key: {name: value for name, value in result.to_json().items() if name not in VARYING}
        for result in run.results
    }


def stored(folder: Path) -> list[Path]:
    return list(folder.glob("*.conversion"))


def share_from_store(run: Run) -> float:
    return sum(Phase.STORE.value in result.seconds for result in run.results) / len(run.results)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Key, Mapping[str, Any]]:
    return verdicts(run(tmp_path_factory.mktemp("local") / "run", "--jobs", "1"))


def test_a_run_on_a_scheduler_records_the_local_runs_cases_and_a_second_one_takes_them_from_the_store(
    cluster: Cluster, local: Mapping[Key, Mapping[str, Any]], tmp_path: Path
) -> None:
    words = ("--scheduler", cluster.address, "--store", str(tmp_path / "store"))
    first = run(tmp_path / "first", *words, "--jobs", "1")
    assert verdicts(first) == local
    assert share_from_store(first) == 0
    assert len(stored(tmp_path / "store")) == CASES
    second = run(tmp_path / "second", *words, "--jobs", "2")
    assert verdicts(second) == local
    assert share_from_store(second) >= 0.9


def test_a_worker_killed_in_the_middle_changes_no_case(
    local: Mapping[Key, Mapping[str, Any]], tmp_path: Path
) -> None:
    store, left = tmp_path / "store", []

    with Cluster(tmp_path / "cluster") as cluster:

        def kill() -> None:
            left.append(CASES - len(stored(store)))
            cluster.kill(1)

        with once(lambda: stored(store), kill, "the first conversion is in the store"):
            words = ("--scheduler", cluster.address, "--store", str(store), "--jobs", "2")
            assert verdicts(run(tmp_path / "run", *words)) == local
    assert left[0] > 1


def test_a_scheduler_killed_in_the_middle_leaves_a_run_that_resumes_here(
    local: Mapping[Key, Mapping[str, Any]], tmp_path: Path
) -> None:
    folder, store, done = tmp_path / "run", tmp_path / "store", []

    with Cluster(tmp_path / "cluster") as cluster:

        def kill() -> None:
            done.append(len(stored(store)))
            cluster.kill(0)

        with once(lambda: stored(store), kill, "the first conversion is in the store"):
            words = ("--scheduler", cluster.address, "--store", str(store), "--jobs", "2")
            printed = begin(folder, *words, expected=ExitCode.INFRASTRUCTURE)
        broken = read_run(folder)
        lost = [result for result in broken.results if result.outcome is Outcome.INFRA_ERROR]
        assert len(verdicts(broken)) - len(lost) >= done[0] > 0  # what was finished is kept
        reason = f"The scheduler at {cluster.address} was lost"
    assert all(result.reason.startswith(reason) for result in lost)
    assert len({result.cause for result in lost}) == 1
    assert f"{len(lost)} of {CASES} models could not be tried" in printed
    assert "rknn-harness run --resume run" in printed
    call(folder, "--resume", "run", "--store", str(store), "--jobs", "1", expected=ExitCode.CLEAN)
    assert verdicts(read_run(folder)) == local

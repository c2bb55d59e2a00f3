"""Every command of ``tox -e bench`` runs to its end; a tenth of them here, all in full counts."""

from __future__ import annotations

import configparser
import subprocess
import sys
from pathlib import Path

import pytest

from tests.counts import counted

REPOSITORY = Path(__file__).parents[2]
SHORTEST = {
    "virtual_npu": ["--rounds", "1"],
    "harness": ["--calls", "1", "--transfers", "1", "--cases", "1"],
    "runtime.one_row": ["--calls", "1"],
    "runtime.overlap": ["--rows", "1000"],
    "runtime.many_rows": ["--rows", "1000"],
    "converter": ["--count", "1", "--cold", "0"],
    "scale": ["--seconds", "1"],
    "native.call_cost": [],
    "start_up": [],
    "estimators": [],
    "fit_times": [],
}
"""Options with which a benchmark takes the least time."""


def test_every_benchmark_of_the_environment_is_tried() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(REPOSITORY / "tox.ini")
    commands = tox["testenv:bench"]["commands"].split("\n")
    modules = {line.split()[2].removeprefix("benchmarks.") for line in commands if line}
    assert modules == set(SHORTEST)


@pytest.mark.parametrize("module", list(SHORTEST)[: counted(len(SHORTEST))])
def test_a_benchmark_runs_to_its_end(module: str) -> None:
    command = [sys.executable, "-m", f"benchmarks.{module}", *SHORTEST[module]]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=250, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert run.stdout.strip()

"""The fixed models are right with the arithmetic of processors that this machine is none of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.run_folder import read_run
from tests.processors import PROCESSORS, environment


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_fixed_model_passes(processor: str, tmp_path: Path) -> None:
    command = ["run", "--seed", "0", "--max-cases", "0", "--jobs", "1", "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "rknn_harness.commands.cli", *command],
        env=environment(processor),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = read_run(tmp_path / "run").results
    assert len(results) > 25
    assert {result.outcome for result in results} <= {Outcome.PASS, Outcome.UNSUPPORTED}

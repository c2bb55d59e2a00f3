"""A plugin of pytest that pretends: cases end at once, as their ids say, and a board breaks now and then.

It stands for toolkits and boards where a test is about the run around them.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.suite.suite import Suite
from tests.harness.samples import passed

PRETEND = {
    "PYTEST_PLUGINS": "tests.harness.pretended_run",
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]),
}
"""What a process has in its environment whose run pretends."""

BROKEN = "PRETENDED_RUN_BREAKS"
"""Environment variable: any text, and one case in six ends in trouble on the way."""


def pretend(suite: Suite, entry: Entry) -> CaseResult:
    """Give the result that an entry always has."""
    number = int.from_bytes(hashlib.sha256("".join(entry.key).encode()).digest()[:4], "little")
    time.sleep(0.002 + number % 7 * 0.002)
    if os.environ.get(BROKEN) and number % 6 == 0:
        return CaseResult(
            entry.case, Outcome.INFRA_ERROR, Stage.BOARD, "The link was cut.", board=entry.board
        )
    if number % 11 == 0:
        return CaseResult(entry.case, Outcome.LOAD_ERROR, Stage.BOARD, "It was refused.", board=entry.board)
    return passed(entry.case, np.random.default_rng(number))


def pytest_configure(config: pytest.Config) -> None:
    Suite.run = pretend  # type: ignore[method-assign, assignment]

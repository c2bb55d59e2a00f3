"""A plugin of pytest that pretends: cases end at once, as their ids say, and a board breaks now and then.

It stands for toolkits and boards where a test is about the run around them.
"""

from __future__ import annotations

import hashlib
import os
import time

import numpy as np
import pytest

from rknn_harness.case import CaseResult
from rknn_harness.outcomes import Outcome, Stage
from rknn_harness.plan import Entry
from rknn_harness.suite.suite import Suite
from tests.harness.samples import passed

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

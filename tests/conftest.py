"""What the tests draw, and what came of it.

The same examples on every machine; only `tox -e explore` draws freely.
"""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import settings

from rknn_harness.plan.same_draws import without_local_constants
from tests.counts import COUNTED_SET

_STACK = contextlib.ExitStack()

settings.register_profile("gate", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", deadline=None, print_blob=True)
_PROFILE = os.environ.get("SCIRKNN_EXAMPLES", "gate")
settings.load_profile(_PROFILE)
if _PROFILE == "gate":
    _STACK.enter_context(without_local_constants())


def pytest_unconfigure() -> None:
    _STACK.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what came of the counted sets, whichever process tried them."""
    lines = {
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == COUNTED_SET
    }
    if lines:
        terminalreporter.section("counted sets")
        terminalreporter.write_line("\n".join(sorted(lines)))

"""What the tests draw: the same examples on every machine, and only `tox -e explore` draws freely."""

from __future__ import annotations

import contextlib
import os

from hypothesis import settings

from rknn_harness.plan.same_draws import without_local_constants

_STACK = contextlib.ExitStack()

settings.register_profile("gate", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", deadline=None, print_blob=True)
_PROFILE = os.environ.get("SCIRKNN_EXAMPLES", "gate")
settings.load_profile(_PROFILE)
if _PROFILE == "gate":
    _STACK.enter_context(without_local_constants())


def pytest_unconfigure() -> None:
    _STACK.close()

"""The suite needs a board and a toolkit, and says so where it is not given them."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if not item.config.pluginmanager.has_plugin("rknn_harness.suite.pytest_plugin"):
        pytest.skip("needs a board and a toolkit: run `rknn-harness run` (or `tox -e device`)")

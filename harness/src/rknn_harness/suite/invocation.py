"""Start pytest on the installed suite, from any folder."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from rknn_harness.records.outcomes import ExitCode
from rknn_harness.suite.run_options import RunOptions

_PLUGINS = ("rknn_harness.suite.pytest_plugin", "pytest_timeout", "xdist.plugin")
_SETTINGS = Path(__file__).with_name("pytest.ini")


def run_suite(options: RunOptions, jobs: int, words: Iterable[str] = ()) -> ExitCode:
    """Run the suite in so many processes, with more of pytest's options; return its exit code.

    Settings, ``conftest.py`` and plugins of the folder, the environment and other packages are left out: they
    are meant for other tests.
    """
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # xdist's workers read it too
    os.environ.pop("PYTEST_ADDOPTS", None)
    # Tables that hypothesis keeps: by default in the current folder, which is the user's.
    cache = user_cache_path("rknn-harness") / "hypothesis"
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(cache))
    arguments = ["-c", str(_SETTINGS), "--noconftest", "-p", "no:cacheprovider"]
    arguments += [word for name in _PLUGINS for word in ("-p", name)]
    arguments += ["--pyargs", "rknn_harness.suite.test_conformance", "--rknn", options.to_json(), *words]
    if jobs > 1:
        arguments += ["-n", str(jobs), "--dist", "loadscope", "--no-loadscope-reorder"]
    code = pytest.main(arguments)
    return ExitCode.USAGE if code == pytest.ExitCode.USAGE_ERROR else ExitCode(code)

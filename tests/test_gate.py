"""The gate is the same on every machine: what it draws, what it installs, which kernels it computes with."""

from __future__ import annotations

import configparser
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

from tests.counts import FULL, counted
from tests.processors import KERNELS, environment

ROOT = Path(__file__).parents[1]
ASK = """
import json, numpy, threadpoolctl
print(json.dumps([pool["architecture"] for pool in threadpoolctl.threadpool_info()
                  if pool["internal_api"] == "openblas"]))
"""


def tox() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    assert parser.read(ROOT / "tox.ini")
    assert "testenv" in parser.sections()
    return parser


def test_openblas_computes_with_the_kernels_asked_for() -> None:
    """A run under another OPENBLAS_CORETYPE would prove nothing if tox had dropped the variable."""
    wanted = os.environ.get("OPENBLAS_CORETYPE")
    if not wanted:
        pytest.skip("OPENBLAS_CORETYPE is not set: the kernels are this processor's")
    found = {pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"}
    assert found == {KERNELS.get(wanted, wanted)}


@pytest.mark.parametrize("asked", KERNELS)
def test_a_child_process_computes_with_the_kernels_asked_for(asked: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", ASK], env=environment(asked), capture_output=True, text=True, check=True
    )
    assert set(json.loads(run.stdout)) == {KERNELS[asked]}


def test_every_environment_of_tox_gets_the_kernels_asked_for() -> None:
    parser = tox()
    for section in parser.sections():
        if section.startswith("testenv"):
            variables = parser.get(section, "pass_env", fallback="{[testenv]pass_env}").split()
            assert "OPENBLAS_CORETYPE" in variables or "{[testenv]pass_env}" in variables, section


def test_every_environment_of_tox_but_explore_installs_pinned_versions() -> None:
    parser = tox()
    for section in parser.sections():
        if section.startswith("testenv") and section != "testenv:explore":
            deps = parser.get(section, "deps", fallback="{[testenv]deps}").split("\n")
            pinning = ("constraints.txt", "lowest.txt")
            pinned = {"{[testenv]deps}", "{[testenv:test]deps}", *(f"-c tests/{name}" for name in pinning)}
            assert pinned & set(deps), section
    text = (ROOT / "tests" / "constraints.txt").read_text()
    assert len(re.findall(r"^hypothesis==", text, re.MULTILINE)) == 1, "equal seeds draw other examples"


def test_property_tests_draw_the_same_examples() -> None:
    if os.environ.get("SCIRKNN_EXAMPLES", "gate") != "gate":
        pytest.skip("SCIRKNN_EXAMPLES is explore: examples are drawn freely")
    assert settings.default is not None
    assert settings.default.derandomize
    assert settings.default.database is None


def test_a_run_counts_a_tenth_or_everything() -> None:
    assert counted(200) == (200 if FULL else 20)
    assert counted(1) == 1

"""A command that only answers imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "docker",
    "fabric",
    "hypothesis",
    "jinja2",
    "onnx",
    "pandas",
    "paramiko",
    "pytest",
    "scipy",
    "sklearn",
    "skops",
    "typeguard",
)
"""What takes longer to import than numpy, or nearly so."""

PROGRAM = """
import runpy, sys
module, *words = sys.argv[1:]
sys.argv = [module, *words]
try:
    runpy.run_module(module, run_name="__main__")
except SystemExit as exit:
    code = exit.code or 0
print(code, *sorted(set({heavy}) & sys.modules.keys()), file=sys.stderr)
"""


@pytest.mark.parametrize("module", ["rknn_harness", "scirknn", "sklearn2rknn", "virtual_npu"])
@pytest.mark.parametrize(("word", "code"), [("--help", 0), ("--version", 0), ("--no-such-option", 2)])
def test_help_version_and_usage_errors_import_nothing_heavy(module: str, word: str, code: int) -> None:
    assert _last_line(module, word) == str(code)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["run", "--help"], 0),
        (["board", "list"], 0),
        (["board", "list", "--nosuch"], 2),
        (["run", "--nosuch"], 2),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_commands_of_the_harness_that_only_answer_import_nothing_heavy(words: list[str], code: int) -> None:
    assert _last_line("rknn_harness", *words) == str(code)


def test_an_import_that_is_heavy_is_named() -> None:
    assert _last_line("json.tool", "--help") == "0"
    done = subprocess.run(
        [sys.executable, "-c", "import sklearn.base\n" + PROGRAM.format(heavy=HEAVY), "json.tool", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "sklearn" in done.stderr.splitlines()[-1]


def _last_line(module: str, *words: str) -> str:
    """Return the exit code of ``python -m MODULE WORDS`` and the heavy modules that it imported."""
    command = [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), module, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[-1]

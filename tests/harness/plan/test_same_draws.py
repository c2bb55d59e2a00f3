"""Equal seeds draw equal examples, whatever else a process has imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = """
import json, sys
sys.path.insert(0, {folder!r})
if {imports!r}:
    import full_of_numbers
from hypothesis import settings
from rknn_harness.plan.drawing import Draw, draw_cases
if {everything!r}:
    import rknn_harness.commands.cli
    import sklearn2rknn
    import scirknn
    import virtual_npu
print(json.dumps([case.id for case in draw_cases(Draw(("float16", "int8"), 40, 0))]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a local module with numbers in the ranges that networks are drawn from."""
    path = tmp_path_factory.mktemp("local")
    (path / "full_of_numbers.py").write_text(f"NUMBERS = {[number * 7919 for number in range(3, 300)]}\n")
    return path


def drawn(folder: Path, *, imports: bool, everything: bool = False) -> list[str]:
    script = DRAW.format(folder=str(folder), imports=imports, everything=everything)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names: list[str] = json.loads(run.stdout)
    return names


def test_networks_are_the_same_whatever_is_imported(folder: Path) -> None:
    first = drawn(folder, imports=False)
    assert len(first) > 20
    assert drawn(folder, imports=True) == first
    assert drawn(folder, imports=False, everything=True) == first


def test_hypothesis_itself_would_draw_others(folder: Path) -> None:
    """What `without_local_constants` is for: without it the drawn numbers depend on the imports."""
    script = """
import sys
sys.path.insert(0, {folder!r})
if {imports!r}:
    import full_of_numbers
from hypothesis import given, seed, settings, strategies as st
numbers = []
@settings(max_examples=100, database=None)
@seed(0)
@given(st.integers(0, 2**32))
def draw(number):
    numbers.append(number)
draw()
print(numbers)
"""
    first, second = (
        subprocess.run(
            [sys.executable, "-c", script.format(folder=str(folder), imports=imports)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for imports in (False, True)
    )
    assert first != second

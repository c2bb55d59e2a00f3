"""The probe through the vendor's own rknnlite: the answers of the virtual NPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.arm64 import boards_file
from rknn_harness.commands.cli import main
from rknn_harness.probe.asking import QUESTIONS
from rknn_harness.probe.facts_file import read_facts
from rknn_harness.probe.questions.timing import EMULATED

NAMES = (
    "form_height",
    "form_batch",
    "cores",
    "input_rounding",
    "sum_order",
    "nan_input",
    "tanh_beyond_table",
    "int8_output_rounding",
    "int8_input_range",
    "submit_cost",
)


@pytest.mark.parametrize("version", ["2.3.0", "2.5.0"])
def test_answers_are_those_of_the_virtual_npu(
    boards: Mapping[str, Board], tmp_path: Path, version: str
) -> None:
    file, out = tmp_path / "boards.toml", tmp_path / "facts.json"
    file.write_text(boards_file(boards))
    arguments = ["--boards", str(file), "--board", f"arm64-{version}", "--out", str(out)]
    arguments += [word for name in NAMES for word in ("--only", name)]
    result = CliRunner().invoke(main, ["probe", *arguments])
    assert result.exit_code == 0, result.output
    found = read_facts(out)
    answers = {name: entry["answer"] for name, entry in found["answers"].items()}
    expected = {name: EMULATED if QUESTIONS[name].timed else QUESTIONS[name].assumed for name in NAMES}
    assert answers == expected
    assert (found["virtual"], found["facts"]["rknnlite"]) == (True, version)

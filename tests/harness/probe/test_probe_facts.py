"""Facts files: written, read, checked; and the command that makes them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import sklearn2rknn
from rknn_harness.commands.cli import main
from rknn_harness.errors import FactsFileError
from rknn_harness.probe.agreement import disagreements, unsettled
from rknn_harness.probe.asking import QUESTIONS, Answered
from rknn_harness.probe.facts_file import ProbeRun, document, markdown, read_facts, write_facts
from rknn_harness.probe.question import UNDECIDED, Answer
from rknn_harness.probe.questions.timing import EMULATED


def facts(*, virtual: bool = False, **answers: str) -> dict[str, Any]:
    """A board that answers as virtual_npu is built, but for `answers`."""
    given = {
        name: EMULATED if question.timed and virtual else question.assumed
        for name, question in QUESTIONS.items()
    }
    figures = {"value": 1.25e-4, "interval": [1e-4, 2e-4], "missed": {"a": 3}}
    return document(
        [
            Answered(QUESTIONS[name], Answer(key, figures, {}, "a | note"), 0.5)
            for name, key in {**given, **answers}.items()
        ],
        ProbeRun(
            board="rock5b",
            virtual=virtual,
            toolkit="2.3.2",
            platform="rk3588",
            versions={"virtual-npu": "0.2.0"},
            facts={"driver": "0.9.8", "npu": {"frequency": 1_000_000_000}},
            facts_after={"npu": {"frequency": 300_000_000}},
            clocks=[{"pinned": {"npu": 1_000_000_000}, "moved": True}, {"pinned": None, "moved": False}],
            started="2026-01-01T00:00:00+00:00",
            seconds=12.0,
        ),
    )


def test_every_answer_is_a_sentence() -> None:
    for name, question in QUESTIONS.items():
        assert question.assumed in question.answers, name
        for text in (question.text, question.why, *question.answers.values()):
            assert text[0].isupper() or text[0].isdigit() or text.startswith("float32"), (name, text)
            assert text[-1] in ".?", (name, text)


@pytest.mark.parametrize("name", QUESTIONS)
def test_an_answer_is_decided_in_a_module_that_exists(name: str) -> None:
    assert importlib.import_module(QUESTIONS[name].decided_in)


def test_the_documentation_has_every_question_and_what_is_assumed() -> None:
    page = (Path(__file__).parents[3] / "docs" / "probe.md").read_text("utf-8")
    for name, question in QUESTIONS.items():
        ending = "" if question.timed else f" {question.answers[question.assumed]} |"
        assert f"| `{name}` | {question.text} |{ending}\n" in page


def test_facts_survive_the_file(tmp_path: Path) -> None:
    found = facts()
    view = write_facts(tmp_path / "facts.json", found)
    assert read_facts(tmp_path / "facts.json") == found
    assert view.read_text() == markdown(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["facts.json", "facts.md"]


def test_the_view_tells_versions_answers_and_times() -> None:
    text = markdown(facts())
    for part in ("driver: 0.9.8", "2.3.2, for rk3588", "a \\| note", "value 0.000125", "0.0001 to 0.0002"):
        assert part in text
    assert "clocks moved in 1 of 2 timings" in text
    assert "virtual board" not in text


def test_the_view_of_a_virtual_board_has_no_times() -> None:
    found = facts(virtual=True)
    for entry in found["answers"].values():
        entry["figures"] = {"emulated": {"value": 1.25e-4}}
    text = markdown(found)
    assert "This was a virtual board" in text
    assert "0.000125" not in text


def test_disagreements_are_named() -> None:
    assert disagreements(facts()) == []
    found = disagreements(facts(output_rounding="toward_zero", layer_cost="slower"))
    assert [(each.question, each.answer, each.assumed) for each in found] == [
        ("output_rounding", "toward_zero", "nearest_even"),
        ("layer_cost", "slower", "as_estimated"),
    ]
    assert found[0].text == (
        "How is a layer's float32 result rounded to float16? rock5b: It rounds toward zero: low bits are cut "
        "off. virtual_npu.execute.half_precision assumes otherwise: It rounds to the nearest, halves to even."
    )


def test_what_is_not_settled_disagrees_with_nothing() -> None:
    found = facts(output_rounding=UNDECIDED)
    found["answers"]["a question of next year"] = {"answer": "yes"}
    assert disagreements(found) == []
    assert unsettled(found) == ["output_rounding"]
    virtual = facts(virtual=True)
    assert disagreements(virtual) == []
    assert unsettled(virtual) == []


def test_disagreements_are_printed_without_controls(tmp_path: Path) -> None:
    question = QUESTIONS["output_rounding"]
    found = facts(output_rounding=next(key for key in question.answers if key != question.assumed))
    found["board"] = "\x1b[31mrock\u202e"
    (tmp_path / "facts.json").write_text(json.dumps(found))
    result = CliRunner().invoke(main, ["probe", "--check", str(tmp_path / "facts.json")])
    assert result.exit_code == 1
    for shown in (result.output, markdown(found)):
        assert "\ufffd[31mrock\ufffd" in shown


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is no facts file"),
        ('{"probe": 2}', "has format 2"),
        ('{"probe": 1, "answers": {}}', "lacks"),
        (
            '{"probe": 1, "board": "b", "toolkit": "t", "virtual": false, "answers": {"q": 1}}',
            "answer to 'q'",
        ),
    ],
)
def test_files_that_are_none_are_refused(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    path.write_text(text)
    with pytest.raises(FactsFileError, match=problem):
        read_facts(path)
    with pytest.raises(FactsFileError, match="cannot be read"):
        read_facts(tmp_path / "none.json")


def test_the_command_checks_a_file(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    write_facts(path, facts())
    clean = CliRunner().invoke(main, ["probe", "--check", str(path)])
    assert (clean.exit_code, clean.output) == (0, "virtual_npu agrees with every answer.\n")
    write_facts(path, facts(subnormals="flushed_input", cores=UNDECIDED))
    apart = CliRunner().invoke(main, ["probe", "--check", str(path)])
    assert apart.exit_code == 1
    assert "subnormals: Are numbers below 2^-14 kept" in apart.output
    assert "Not settled: cores." in apart.output
    path.write_text("{}")
    assert CliRunner().invoke(main, ["probe", "--check", str(path)]).exit_code == 3
    wrong = CliRunner().invoke(main, ["probe", "--only", "weather"])
    assert wrong.exit_code == 2
    assert "There is no question 'weather'" in wrong.output


def test_the_command_probes_the_virtual_board(tmp_path: Path) -> None:
    try:
        sklearn2rknn.open_toolkit("2.3.2").close()
    except sklearn2rknn.ToolkitError as error:
        pytest.skip(f"needs rknn-toolkit2 2.3.2: {error}")
    out = tmp_path / "facts.json"
    names = ["output_rounding", "cores", "tanh_beyond_table", "int8_output_rounding", "submit_cost"]
    only = [word for name in names for word in ("--only", name)]
    result = CliRunner().invoke(main, ["probe", "--out", str(out), *only])
    assert result.exit_code == 0, result.output
    assert "nearest_even output_rounding" in result.output
    assert "virtual_npu agrees with every answer." in result.output
    found = read_facts(out)
    assert found["virtual"] is True
    assert set(found["answers"]) == set(names)
    assert found["answers"]["submit_cost"]["answer"] == EMULATED
    assert found["versions"]["virtual-npu"]
    assert found["facts"]["machine"]
    assert json.loads(out.read_text())["clocks"]["pinned"] is None

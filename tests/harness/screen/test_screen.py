"""The screen of a run, part by part, on given results."""

from __future__ import annotations

import io
import json
from pathlib import Path

import attrs
import pytest

from rknn_harness.boards.boards_file import VIRTUAL, Board
from rknn_harness.records.case import Score, family_case, own_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Kind, Outcome, Stage
from rknn_harness.records.printed_commands import replay_command, resume_command
from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.screen.ending import ending
from rknn_harness.screen.header import board_lines, expected_seconds, plan_lines
from rknn_harness.screen.live import Record, TimeLeft, live
from rknn_harness.screen.printer import print_lines
from rknn_harness.screen.table import table
from rknn_harness.screen.tally import tally
from tests.harness.screen.screen_runs import BEYOND, entries, refused, run_of, wrong

DESK = Board(
    name="desk", host="board.example", user="rock", key=Path("key"), known_hosts=Path("hosts"), device="npu"
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def known(result: CaseResult) -> CaseResult:
    return attrs.evolve(wrong(result), expected="Known.") if wrong(result).is_failure else refused(result)


def untried(result: CaseResult) -> CaseResult:
    if result.case.precision == "int8" and result.case.kind == "dataset":
        first = result.case.id.startswith("iris-int8-n64")
        reason = ("" if first else "The board was given up earlier: ") + "The link was cut."
        return attrs.evolve(result, outcome=Outcome.INFRA_ERROR, stage=Stage.BOARD, reason=reason)
    return result


def test_counts_add_up_to_the_plan(tmp_path: Path) -> None:
    run, plan = run_of(tmp_path / "run", entries(), wrong)
    found = tally(run, plan)
    assert {kind: found.count(kind) for kind in Kind} == {
        Kind.RIGHT: 10,
        Kind.REFUSED: 3,
        Kind.WRONG: 5,
        Kind.KNOWN: 0,
        Kind.UNTRIED: 0,
    }
    assert found.total == len(plan) == 18


def test_a_case_of_the_plan_without_a_result_was_not_tried(tmp_path: Path) -> None:
    run, _ = run_of(tmp_path / "run", entries()[:5])
    found = tally(run, entries())
    assert (found.count(Kind.RIGHT), found.count(Kind.UNTRIED), found.untried) == (5, 13, 13)
    text = "\n".join(ending(run, entries()))
    assert "  INCOMPLETE  13 of 18 models were not tried: the run was ended." in text
    assert f"rknn-harness run --resume {run.path}" in text


def test_a_network_made_smaller_is_in_no_count_and_is_the_one_to_try_again(tmp_path: Path) -> None:
    planned = entries()
    run, _ = run_of(tmp_path / "run", planned, wrong)
    smaller = next(result for result in run.results if result.outcome is Outcome.LOAD_ERROR)
    smaller = attrs.evolve(
        smaller, case=attrs.evolve(smaller.case, id="small"), notes=("Made smaller from it.",)
    )
    run = attrs.evolve(run, results=(*run.results, smaller))
    text = "\n".join(ending(run, planned))
    assert "  FAIL   2 causes, 5 of 18 models" in text
    assert f"again:  rknn-harness replay {run.path} small" in text


def test_known_failures_do_not_fail_a_run(tmp_path: Path) -> None:
    text = "\n".join(ending(*run_of(tmp_path / "run", entries(), known)))
    assert "  PASS   10 models right, 3 refused by the converter, 0 wrong." in text
    assert "         5 known failures; no new ones." in text
    assert "FAIL" not in text


def test_a_known_failure_that_passes_is_a_cause_that_names_its_list(tmp_path: Path) -> None:
    run, plan = run_of(tmp_path / "run", entries(), lambda result: attrs.evolve(result, expected="Known."))
    text = " ".join("\n".join(ending(run, plan)).split())
    assert "FAIL 1 cause, 18 of 18 models" in text
    assert "expected to fail and passes: Known. Remove it from expectations/virtual-2.3.2.txt." in text


def test_what_could_not_be_tried_is_incomplete_and_one_cause(tmp_path: Path) -> None:
    text = "\n".join(ending(*run_of(tmp_path / "run", entries(), untried)))
    assert "  INCOMPLETE  6 of 18 models could not be tried. 12 models right, 0 wrong." in text
    assert text.count("The link was cut.") == 1
    assert "first seen" not in text  # nothing was seen of the models
    assert "PASS" not in text
    assert "FAIL" not in text


def test_one_cause_over_precisions_toolkits_and_boards_is_one_paragraph(tmp_path: Path) -> None:
    def all_iris(result: CaseResult) -> CaseResult:
        if result.case.group != "iris":
            return result
        reason = BEYOND.replace("0.00212", "0.0031") if result.case.precision == "int8" else BEYOND
        return attrs.evolve(result, outcome=Outcome.MISMATCH, stage=Stage.BOARD, reason=reason)

    planned = entries("2.2.0", "2.5.0", boards=("virtual", "desk"))
    text = "\n".join(ending(*run_of(tmp_path / "run", planned, all_iris)))
    assert "  FAIL   1 cause, 24 of 72 cases" in text
    assert "  1  iris float16 and int8 (n64 n1 n1+64), first seen on the board:" in text
    assert text.count("again:") == 1


def test_precisions_stand_below_each_other_where_a_line_would_be_too_long(tmp_path: Path) -> None:
    planned = entries("2.2.0", "2.5.0", boards=("virtual", "a-board-with-a-rather-long-name"))
    lines = table(tally(*run_of(tmp_path / "run", planned, refused)))
    assert max(map(len, lines)) <= 80
    assert any("a-boar...ng-name" in line for line in lines)
    assert lines[0].split() == ["model", "toolkit", "board", "precision", "right", "refused", "wrong"]


def test_a_command_is_quoted_and_names_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"toolkit": ["2.2.0", "2.5.0@container"], "boards": str(tmp_path / "my boards.toml")}
    planned = entries("2.2.0", "2.5.0", boards=("desk",))
    run, _ = run_of(tmp_path / "runs" / "of mine", planned, options=options)
    last = run.results[-1]
    assert replay_command(run.path, run.manifest, last) == (
        f"rknn-harness replay 'runs/of mine' {last.case.id} --toolkit 2.5.0@container --board desk "
        "--boards 'my boards.toml'"
    )
    monkeypatch.chdir("/")
    assert resume_command(Path("/elsewhere/runs/one")) == "rknn-harness run --resume elsewhere/runs/one"


def test_a_board_with_an_npu_is_not_called_virtual() -> None:
    lines = board_lines(
        {"virtual": VIRTUAL, "desk": DESK, "pc": attrs.evolve(DESK, name="pc", device="virtual")}
    )
    assert lines == [
        "  board    virtual (no NPU: the model file's program, executed in numpy)",
        "           desk (rock@board.example over SSH)",
        "           pc (rock@board.example over SSH; no NPU: executed in numpy)",
    ]


def test_the_expected_time_is_an_earlier_runs_or_a_stated_model(tmp_path: Path) -> None:
    planned = entries()
    assert expected_seconds(planned, {"virtual": VIRTUAL}, tmp_path, 2) == 15 + 2 * 18 / 2
    assert expected_seconds(planned, {"desk": DESK}, tmp_path, 2) is None
    run, _ = run_of(tmp_path / "20260101T000000Z-abcdef", planned)
    document = json.loads((run.path / "manifest.json").read_text())
    document.update(started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:01:30+00:00")
    (run.path / "manifest.json").write_text(json.dumps(document))
    assert expected_seconds(planned * 2, {"virtual": VIRTUAL}, tmp_path, 2) == 180
    document.update(finished="2025-12-31T23:00:00+00:00")  # the clock was set back
    (run.path / "manifest.json").write_text(json.dumps(document))
    assert expected_seconds(planned, {"virtual": VIRTUAL}, tmp_path, 2) == 15 + 2 * 18 / 2
    assert plan_lines(["2.3.2"], planned, 180.0)[0].endswith("about 3 minutes")
    assert plan_lines(["2.3.2"], planned, None)[0].endswith("(12 fixed, 6 random)")


def test_the_time_left_is_from_the_cases_that_are_done() -> None:
    clock = Clock()
    left = TimeLeft(20, 0, clock)
    for done in range(1, 6):
        clock.seconds = 100 + 2.0 * done  # the start of the board took long, and counts for nothing
        assert (left.seconds is None) == (done < 5)
        left.ended(done)
    assert left.seconds == 30
    assert str(left) == "30 s left"


def test_a_pipe_gets_sparse_lines_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, clock = io.StringIO(), Clock()
    shown = live(100, 0, stream, clock)
    for done in range(1, 101):
        clock.seconds += 0.5
        shown.show(done, int(done > 50), "iris-float16-n64")
    shown.close()
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == [str(count) for count in range(10, 101, 10)]
    assert "1 wrong" in lines[-1]
    assert "\x1b" not in stream.getvalue()
    clock.seconds += 60
    slow = live(1000, 0, stream, clock)
    slow.show(1, 0, "iris-float16-n64")
    clock.seconds += 11
    slow.show(2, 0, "iris-float16-n64")
    assert stream.getvalue().splitlines()[len(lines) :] == ["     2 of 1000   iris-float16-n64"]


@pytest.mark.parametrize("name", ["NO_COLOR", "CI"])
def test_no_bar_and_no_colour_where_none_is_wanted(
    name: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    print_lines(["  PASS   all"], terminal)
    assert "\x1b" in terminal.getvalue()
    monkeypatch.setenv(name, "1")
    plain = Terminal()
    print_lines(["  PASS   all"], plain)
    live(3, 0, plain).close()
    assert plain.getvalue() == "  PASS   all\n"


def test_a_terminal_has_a_counted_line_at_once_and_none_at_the_end(terminal: Terminal) -> None:
    shown = live(3, 1, terminal)
    assert "1/3" in terminal.getvalue()
    shown.show(2, 1, "iris-float16-n64")
    shown.close()
    assert "1 wrong" in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K")  # rich took the line away


def test_a_record_gives_whole_lines_once(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    record = Record(path)
    assert record.read() == []
    path.write_bytes(b"one\ntw")
    assert record.read() == [b"one"]
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert record.read() == [b"two", b"three"]
    assert record.read() == []


def test_a_record_of_before_with_npu_gain_is_read_and_its_figure_is_no_property(tmp_path: Path) -> None:
    run, _ = run_of(tmp_path / "run", entries()[:1])
    document = run.results[0].to_json()
    document["properties"]["npu_gain"] = ""
    result = CaseResult.from_json(document)
    assert "npu_gain" not in result.properties
    assert result.kind is Kind.RIGHT


def test_a_users_own_model_has_its_score_beside_scikit_learns(tmp_path: Path) -> None:
    def scored(result: CaseResult) -> CaseResult:
        board = 0.95 if result.case.precision == "int8" else None
        return attrs.evolve(result, score=Score("accuracy", 75, board, 0.96))

    cases = [own_case("mine", precision, "2.3.2", (64,)) for precision in ("float16", "int8")]
    lines = ending(*run_of(tmp_path / "run", [Entry(case, "virtual") for case in cases], scored))
    assert [line.strip() for line in lines if "accuracy" in line] == [
        "mine float16   accuracy unknown on the NPU, 0.9600 in scikit-learn (75 rows)",
        "mine int8   accuracy 0.9500 on the NPU, 0.9600 in scikit-learn (75 rows)",
    ]
    assert lines[-1] == "  next     try it on your board:  docs/add-a-board.md"


def test_families_have_a_row_in_common_unless_one_is_wrong(tmp_path: Path) -> None:
    specs = [FamilySpec(name, "Model", data="wine") for name in ("bayes", "kernels", "linear")]
    plan = [*entries(), *(Entry(family_case(spec, "float16", "2.3.2", (64,)), "virtual") for spec in specs)]
    text = "\n".join(table(tally(*run_of(tmp_path / "right", plan))))
    assert "4 data sets" in text
    assert "3 families" in text

    def wrong_kernels(result: CaseResult) -> CaseResult:
        return wrong(result) if result.case.group == "kernels" else result

    text = "\n".join(table(tally(*run_of(tmp_path / "wrong", plan, wrong_kernels))))
    assert "2 families" in text
    assert "\n  kernels " in text

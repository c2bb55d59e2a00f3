"""The questions of programs' limits and of lookups in fine steps, to boards that compute otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import sklearn2rknn
import virtual_npu
from rknn_harness.errors import BoardError
from rknn_harness.probe.agreement import disagreements
from rknn_harness.probe.asking import QUESTIONS, Answered
from rknn_harness.probe.bench import Bench
from rknn_harness.probe.facts_file import ProbeRun, document, markdown
from rknn_harness.probe.question import Answer, PredictionQuestion
from tests.harness.probe import planted
from tests.harness.probe.planted import InProcess, Plant
from virtual_npu import evidence, rules_followed
from virtual_npu.inspection.lane_events import LaneZero

Array = npt.NDArray[Any]


def answer(question: str, toolkit: sklearn2rknn.Toolkit, device: InProcess | None = None) -> Answer:
    device = device or InProcess()
    return QUESTIONS[question].ask(Bench(toolkit, lambda: device, virtual=True))


def _place(found: Any, values: Array, *, rounded: bool) -> Array:
    place = np.asarray(values, np.float64)
    at = np.clip(((np.rint(place) if rounded else place) - found.start) / found.step, 0, 1024)
    segment = np.minimum(np.floor(at), 1023).astype(int)
    result: Array = found.base[segment] + found.rise[segment] * (at - segment)
    return np.rint(result) if rounded else result


LOOKUPS: dict[str, Plant] = {
    "as_it_is": planted.table(lambda found, values: _place(found, values, rounded=False)),
    "offset": planted.table(lambda found, values: _place(found, values, rounded=False) + 1),
    "rounded": planted.table(lambda found, values: _place(found, values, rounded=True)),
    "rounded_offset": planted.table(lambda found, values: _place(found, values, rounded=True) + 1),
}


def _zero_law(found: Any, values: Array) -> Array:
    result = _place(found, values, rounded=True)
    return np.where(result == 0, 4.0 * 2**15, result)


@pytest.mark.parametrize("operator", ["tanh", "sigmoid", "softmax"])
@pytest.mark.parametrize("rule", LOOKUPS)
def test_a_lookup_s_rule_is_found_in_fine_steps(
    operator: str, rule: str, toolkit: sklearn2rknn.Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    LOOKUPS[rule](monkeypatch)
    found = answer(f"lookup_fine_{operator}", toolkit)
    assert found.key == rule, found.note
    assert found.figures["surviving"] == [rule]
    assert set(found.figures["missed"]) == set(QUESTIONS[f"lookup_fine_{operator}"].answers)


def test_a_result_of_0_that_comes_out_as_4_is_found(
    toolkit: sklearn2rknn.Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.table(_zero_law)(monkeypatch)
    assert answer("lookup_fine_tanh", toolkit).key == "rounded_zero"


def test_an_added_product_is_a_rule_of_one_program_which_the_simulator_rounds_twice(
    toolkit: sklearn2rknn.Toolkit,
) -> None:
    question, other = QUESTIONS["conv_add"], QUESTIONS["division"]
    assert isinstance(question, PredictionQuestion)
    assert isinstance(other, PredictionQuestion)
    config, runs = question.model.config("rk3588"), question.model.shaped(question.rows)[None]
    built = toolkit.build(question.model.graph, config=config, simulate=runs)
    assert built.simulated is not None
    simulated = question.model.rows(built.simulated)
    np.testing.assert_array_equal(simulated, question.predict(built.rknn)["twice"])
    apart = toolkit.build(other.model.graph, config=config).rknn
    rules = [rules_followed(virtual_npu.read(file)) for file in (built.rknn, apart)]
    assert [evidence.FUSED_ADDITION in each for each in rules] == [True, False]


class Short(InProcess):
    """A board that refuses runs of more rows than its register for an input's height holds."""

    def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
        if x.shape[2] > 2047:
            raise BoardError("run_error", "NativeError", "failed to submit!")
        output: Array = super().run_raw(x)
        return output


class Garbage(InProcess):
    """A board that spoils some rows: the last of a run, or all below four."""

    def __init__(self, *, below: int = 0, last: bool = False, cores: str = "") -> None:
        super().__init__()
        self._below, self._last, self._cores = below, last, cores

    def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
        output: Array = super().run_raw(x).copy()
        if x.shape[2] < self._below:
            output += 1
        if self._last or (self._cores and self.core == self._cores):
            output[..., -1, :] = 7.0
        return output


class Events(InProcess):
    """A board whose core 2 has an event, or something else, in an output of a lane."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self._channel = channel

    def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
        output: Array = super().run_raw(x).copy()
        if self.core == "2":
            events = LaneZero(virtual_npu.read(self.file)).run(x)
            for point in range(x.shape[2]):
                values = events.values(point, 16)
                if (values != values[0]).any():
                    lowered = values[values != values[0]][0] - values[0]
                    output[0, self._channel, point, 0] += lowered
                    break
        return output


@pytest.mark.parametrize(
    ("question", "device", "expected"),
    [
        ("rows_a_task", Short(), "to_2047"),
        ("rows_a_task", Garbage(last=True), "none"),
        ("one_row", Garbage(below=4), "differ"),
        ("full_lines", Garbage(last=True), "wrong"),
        ("cores_wait", Garbage(cores="0_1"), "vary"),
        ("lane_zero", Events(16), "as_published"),
        ("lane_zero", Events(17), "elsewhere"),
    ],
    ids=["short", "last row", "one row", "lines", "race", "event", "lane 1"],
)
def test_a_board_that_computes_otherwise_answers_so(
    question: str, device: InProcess, expected: str, toolkit: sklearn2rknn.Toolkit
) -> None:
    found = answer(question, toolkit, device)
    assert found.key == expected, found.figures
    if isinstance(device, Events):
        is_event = int(expected == "as_published")
        assert found.figures["differing"]["2"] == {"events": is_event, "others": 1 - is_event}


def facts_with(name: str, key: str) -> dict[str, Any]:
    run = ProbeRun(
        board="desk", virtual=False, toolkit="2.3.2", platform="rk3588", versions={}, facts={},
        facts_after={}, clocks=(), started="2026-11-28", seconds=1.0,
    )  # fmt: skip
    return document([Answered(QUESTIONS[name], Answer(key), 0.1)], run)


def test_another_answer_than_published_is_news() -> None:
    (wrong,) = disagreements(facts_with("sum_order", "exact"))
    assert "That is news: other boards were measured to answer so" in wrong.text
    (wrong,) = disagreements(facts_with("rows_a_task", "to_2047"))
    assert "news" not in wrong.text
    assert not disagreements(facts_with("sum_order", QUESTIONS["sum_order"].assumed))


def test_the_facts_say_what_a_run_could_not_have_shown() -> None:
    text = markdown(facts_with("lane_zero", "as_published"))
    assert "none need have an event" in text
    assert "(A check: github.com/gregordinary/rockchip-npu-notes at 224b1390, September 2026.)" in text

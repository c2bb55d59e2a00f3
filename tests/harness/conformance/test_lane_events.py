"""Events on lane 0, planted in what a board answers: admitted and counted, or a mismatch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import scirknn
import sklearn2rknn
import virtual_npu
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.model_calls import Prediction
from rknn_harness.conformance.run_case import run_case
from rknn_harness.records.case import Case, random_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.specs.mlp_spec import MlpSpec
from scirknn.bundle import Bundle
from tests.harness.conformance.test_planted_properties import BRIEF, TOOLKIT, Wrong
from virtual_npu.inspection.lane_events import LaneZero

Array = np.ndarray[Any, Any]
Change = Callable[[Bundle, Array, Array], Array]
"""Bundle, rows and outputs to what a board with events answers."""

BATCH = 64


def case_of(hidden: tuple[int, ...] = (), activation: str = "relu") -> Case:
    spec = MlpSpec(64, hidden, activation, "regressor", 18, "int", 1.0, 100, 5)
    return random_case(spec, "float16", TOOLKIT, (BATCH,))


@pytest.fixture(scope="module")
def real(board: Board) -> Iterator[BoardLink]:
    """A virtual board that is taken for a real one."""
    with BoardLink(attrs.evolve(board, virtual=False)) as opened:
        yield opened


def run_with(
    change: Change, case: Case, toolkit: sklearn2rknn.Toolkit, link: BoardLink, patch: pytest.MonkeyPatch
) -> CaseResult:
    """Run a case on a board whose first answer is changed, and its answer on core 2."""
    bundles: list[Bundle] = []

    class Changed(Wrong):
        def spoil(self, found: Prediction, X: Array) -> Prediction:
            if self.calls != 1 and self.core != "2":
                return found
            output = change(bundles[0], np.asarray(X, np.float64), found.output)
            return attrs.evolve(found, output=output, predictions=output)

    def keep(path: Path) -> None:
        bundles.append(scirknn.read_bundle(path))

    link.prove(toolkit)
    session = Changed(link.session())
    patch.setattr(link, "session", lambda: session)
    return run_case(case, toolkit, link, timing=BRIEF, tamper=keep)


def events_of(bundle: Bundle, X: Array) -> Any:
    """Return the events of the first run."""
    _, path = next(bundle.files())
    rows = np.zeros((BATCH, bundle.channels), np.float32)
    rows[:, : X.shape[1]] = bundle.prepare(X[:BATCH])
    return LaneZero(virtual_npu.read(path)).run(rows.T[None, :, :, None])


def in_units(bundle: Bundle, values: Array, column: int) -> Array:
    if bundle.output is None:
        return values
    mapped: Array = (values.astype(np.float64) - bundle.output.offset[column]) * bundle.output.scale[column]
    return mapped.astype(np.float32)


def an_event(bundle: Bundle, X: Array, output: Array) -> Array:
    """Put the first value with an event that shows, on lane 0."""
    events, output = events_of(bundle, X), output.copy()
    for point in range(BATCH):
        for channel in (0, 16):
            values = events.values(point, channel)
            others = values[values != values[0]]
            if len(others):
                output[point, channel] = in_units(bundle, others, channel)[0]
                return output
    raise AssertionError("no event shows in these rows")


def a_step_on(channel: int) -> Change:
    """Move an output by a step of float16, as an event on lane 0 does at most."""

    def change(bundle: Bundle, X: Array, output: Array) -> Array:
        events, output = events_of(bundle, X), output.copy()
        value = events.output[3, channel].astype(np.float16)
        lowered = np.nextafter(value, np.float16(-np.inf)).astype(np.float32)
        output[3, channel] = in_units(bundle, np.array([lowered]), channel)[0]
        return output

    return change


def carried(share: float) -> Change:
    """Move every output by a share of what events in earlier layers can, in steps of the output."""

    def change(bundle: Bundle, X: Array, output: Array) -> Array:
        events, output = events_of(bundle, X), output.copy()
        scale = 1.0 if bundle.output is None else bundle.output.scale
        output[:BATCH] += (share * events.carried * scale).astype(np.float32)
        return output

    return change


def notes_of(result: CaseResult) -> dict[str, str]:
    return dict(note.split(": ", 1) for note in result.notes if "Lane 0" in note)


def test_an_event_on_lane_0_passes_and_is_counted(
    toolkit: sklearn2rknn.Toolkit, real: BoardLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_with(an_event, case_of(), toolkit, real, monkeypatch)
    assert result.outcome is Outcome.PASS, result.reason
    assert not any(result.properties.values())
    expected = "Lane 0: 1 numbers differ by an event in their own sum, to the bit, and 0 within"
    notes = notes_of(result)
    assert notes.keys() == {"board_equals_virtual_npu", "deterministic", "rows_independent", "cores_agree"}
    for name in ("board_equals_virtual_npu", "deterministic"):
        assert notes[name].startswith(expected)


def test_the_same_change_on_lane_1_of_one_layer_is_a_mismatch(
    toolkit: sklearn2rknn.Toolkit, real: BoardLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_with(a_step_on(1), case_of(), toolkit, real, monkeypatch)
    assert result.outcome is Outcome.MISMATCH
    found = result.properties["board_equals_virtual_npu"]
    assert found.startswith("board: The output differs from the virtual NPU run here in 1 of 1800 numbers")
    assert "Core 2 answers differently" not in result.properties["deterministic"]
    assert not notes_of(result)


def test_a_virtual_board_gets_no_allowance(
    toolkit: sklearn2rknn.Toolkit, real: BoardLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real, "board", attrs.evolve(real.board, virtual=True))
    result = run_with(an_event, case_of(), toolkit, real, monkeypatch)
    assert result.outcome is Outcome.MISMATCH
    assert "differs from the virtual NPU run here in 1 of" in result.properties["board_equals_virtual_npu"]
    assert not notes_of(result)


@pytest.mark.parametrize(("share", "outcome"), [(0.9, Outcome.PASS), (1.1, Outcome.MISMATCH)])
def test_behind_an_earlier_layer_a_difference_is_admitted_within_what_is_carried(
    toolkit: sklearn2rknn.Toolkit,
    real: BoardLink,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    outcome: Outcome,
) -> None:
    result = run_with(carried(share), case_of((40,)), toolkit, real, monkeypatch)
    assert result.outcome is outcome, result.reason
    if outcome is Outcome.PASS:
        assert "0 numbers differ by an event in their own sum" in notes_of(result)["board_equals_virtual_npu"]


def test_other_cores_are_held_to_the_bit_but_for_events(
    toolkit: sklearn2rknn.Toolkit, real: BoardLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_with(a_step_on(1), case_of(), toolkit, real, monkeypatch)
    assert result.properties["cores_agree"].startswith("board: Core 0 answers differently")

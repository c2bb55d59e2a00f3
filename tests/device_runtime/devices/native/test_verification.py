"""Answers held to what a bundle records, and to general calls, number by number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scirknn.devices.native.verification import difference_from_general, distance_from_record, probe_runs
from scirknn.probe_rows import ProbeRows

RECORDED = np.arange(10.0).reshape(5, 2)
PROBE = ProbeRows(np.ones((5, 3), np.float32), RECORDED, 0.5)


def answers(**errors: float) -> list[Any]:
    """Return the answers of three runs of two rows, the last row padding, one number off."""
    outputs = np.vstack([RECORDED, [[9e9, 9e9]]]).astype(np.float32)
    for place, error in errors.items():
        outputs[int(place[1:]), 1] += error
    return np.split(outputs, 3)


@pytest.mark.parametrize(
    ("errors", "text"),
    [
        ({}, ""),
        ({"r0": 0.5, "r4": -0.5}, ""),
        ({"r4": 0.625}, "outputs err by 0.625, and the recorded error bound is 0.5"),
        ({"r0": np.nan}, "outputs err by nan, and the recorded error bound is 0.5"),
    ],
)
def test_every_recorded_row_is_compared_and_no_padding(errors: dict[str, float], text: str) -> None:
    bundle: Any = SimpleNamespace(probe=PROBE, finish=lambda raw: raw)
    assert distance_from_record(answers(**errors), bundle) == text
    bundle.probe = None
    assert distance_from_record(answers(**errors), bundle) == ""


def test_bits_are_compared_in_every_run() -> None:
    runs, expected, given = [np.zeros((2, 3), np.float32)] * 3, answers(), iter(answers(r4=1e-6))
    session: Any = SimpleNamespace(run=lambda rows: next(given))
    text = "1 of 4 outputs have other bits than by general calls"
    assert difference_from_general(expected, session, runs) == text
    given = iter(answers())
    assert difference_from_general(expected, session, runs) == ""


def test_recorded_rows_are_fed_with_zeros_around_them() -> None:
    runs = list(probe_runs(PROBE, 2, 8))
    assert [run.shape for run in runs] == [(2, 8)] * 3
    assert np.vstack(runs).sum(axis=0).tolist() == [5.0] * 3 + [0.0] * 5
    assert not runs[2][1].any()

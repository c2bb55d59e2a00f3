"""Runs cover every row once, in order, at the least cost."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scirknn.networks.run_plan import RUN_ROWS, cover

VARIANTS = st.sets(st.integers(1, 300), min_size=1, max_size=4).map(sorted)


@given(rows=st.integers(0, 3000), samples=VARIANTS)
def test_every_row_is_covered_once_in_order(rows: int, samples: list[int]) -> None:
    runs = list(cover(rows, samples))
    assert [row for run in runs for row in range(run.start, run.stop)] == list(range(rows))
    for run in runs:
        assert run.samples in samples
        assert 0 < run.stop - run.start <= run.samples


@given(rows=st.integers(1, 120), samples=st.sets(st.integers(1, 60), min_size=1, max_size=3).map(sorted))
def test_no_other_choice_costs_less(rows: int, samples: list[int]) -> None:
    """By trying all: at most as many runs of each variant as cover the rows alone."""

    def cost(counts: tuple[int, ...]) -> int:
        return sum(count * (RUN_ROWS + size) for count, size in zip(counts, samples, strict=True))

    choices = itertools.product(*(range(min(-(-rows // size), 12) + 1) for size in samples))
    enough = (
        counts
        for counts in choices
        if sum(count * size for count, size in zip(counts, samples, strict=True)) >= rows
    )
    best = min((cost(counts) for counts in enough), default=None)
    found = sum(RUN_ROWS + run.samples for run in cover(rows, samples))
    if best is not None:
        # Whole runs of the largest are taken without looking further: at most one run of it is lost.
        assert found <= best + samples[-1]


@pytest.mark.parametrize(
    ("rows", "samples", "expected"),
    [
        (1, (1, 64), [1]),
        (2, (1, 64), [64]),
        (65, (1, 64), [64, 1]),
        (70, (1, 64, 1024), [64, 64]),
        (600, (1, 64, 1024), [1024]),
        (1024, (1, 1024), [1024]),
        (1025, (1, 1024), [1024, 1]),
        (3000, (1, 64, 1024), [1024, 1024, 1024]),
    ],
)
def test_padding_is_cheaper_than_another_run(
    rows: int, samples: tuple[int, ...], expected: list[int]
) -> None:
    assert [run.samples for run in cover(rows, samples)] == expected

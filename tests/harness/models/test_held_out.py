"""A model's rows are divided between the converter and the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_harness.models.held_out import split


@pytest.mark.parametrize("count", [1, 2, 3, 20, 601])
def test_every_row_is_either_shown_or_judged(count: int) -> None:
    X = np.arange(count)[:, None]
    example, judged = split(X)
    assert sorted([*example[:, 0], *judged]) == list(range(count))
    assert len(judged) == count // 2
    assert list(judged) == sorted(judged)


@pytest.mark.parametrize("period", [2, 4])
def test_labels_that_alternate_are_on_both_sides(period: int) -> None:
    X = (np.arange(200) % period)[:, None]
    example, judged = split(X)
    assert set(example[:, 0]) == set(X[judged, 0]) == set(range(period))


def test_the_split_is_the_same_every_time() -> None:
    X = np.random.default_rng(0).normal(size=(100, 3))
    np.testing.assert_array_equal(split(X)[1], split(X)[1])

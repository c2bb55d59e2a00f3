"""Two arrays of answers compared: by limits, to the bit, and by form."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_harness.verdicts.comparisons import (
    ErrorLimit,
    beyond_limit,
    difference,
    difference_of_kind,
    finite_or_none,
    same_rows,
)

ZEROS = np.zeros((4, 2))


def test_the_number_that_is_furthest_beyond_its_own_limit_is_named() -> None:
    limit = ErrorLimit(np.array([[1.0, 0.5]] * 4), "made up")
    values = ZEROS.copy()
    values[1] = 1.0, -0.5
    assert beyond_limit("output", ZEROS, values, limit) is None
    values[1, 0], values[3, 1] = 1.5, 1.0
    assert beyond_limit("output", ZEROS, values, limit) == (
        "The output of row 3, column 1 is 1, scikit-learn's 0: off by 1, limit 0.5 (made up); "
        "2 of 4 rows are beyond it."
    )


@pytest.mark.parametrize("limit", [0.5, np.inf])
def test_nan_is_beyond_every_limit_but_where_it_is_right(limit: float) -> None:
    limits = ErrorLimit(np.full(ZEROS.shape, limit), "made up")
    values = ZEROS.copy()
    values[2, 1] = np.nan
    for expected, got in ((ZEROS, values), (values, ZEROS)):
        error = beyond_limit("output", expected, got, limits)
        assert error is not None
        assert error.startswith("The output of row 2, column 1 is ")
        assert error.endswith("1 of 4 rows are beyond it.")
    assert beyond_limit("output", values, values, limits) is None


@pytest.mark.parametrize(
    ("first", "second", "text"),
    [
        ([1.0, np.nan], [1.0, np.nan], None),
        ([1.0, 0.0], [1.0, -0.0], "in 1 of 2 numbers, first in row 1"),
        ([1.0, 2.0], [1.0, np.nextafter(np.float32(2), np.float32(3))], "in 1 of 2 numbers, first in row 1"),
        ([1.0, 2.0], [1.0, 2.0 + 1e-9], None),  # of float64, equal in float32
        ([1.0, 2.0], [1.0], "has shape (1, 1), that of mine (2, 1)"),
    ],
)
def test_outputs_are_compared_to_the_bit_of_float32(
    first: list[float], second: list[float], text: str | None
) -> None:
    error = difference(np.array(first)[:, None], np.array(second)[:, None], "mine")
    if text is None:
        assert error is None
    else:
        assert error is not None
        assert text in error


def test_an_answer_has_scikit_learns_shape_and_dtype() -> None:
    assert difference_of_kind("predict", ZEROS, ZEROS + 1) is None
    for other in (ZEROS.astype(np.float32), ZEROS[:, :1], ZEROS.astype(int)):
        error = difference_of_kind("predict", ZEROS, other)
        assert error is not None
        assert error.startswith(f"predict answers in shape {other.shape} and {other.dtype}, scikit-learn in")


def test_rows_are_equal_where_all_their_labels_are() -> None:
    assert same_rows(np.array([[1, 2], [1, 3]]), np.array([[1, 2], [1, 2]])).tolist() == [True, False]
    assert same_rows(np.array(["a", "b"]), np.array(["a", "c"])).tolist() == [True, False]


def test_what_is_not_finite_is_no_number_of_a_record() -> None:
    assert [finite_or_none(each) for each in (2, np.inf, np.nan)] == [2.0, None, None]

"""Indicators of categories: what a row may hold, and what an error may change."""

from __future__ import annotations

import json

import numpy as np
import pytest

from scirknn.errors import InputError
from scirknn.steps.description import describe_steps, read_steps
from scirknn.steps.indicators import Above, OneHot


def test_categories_become_columns_and_a_description_leads_back() -> None:
    description = describe_steps([OneHot((2, 3))], "features")
    (step,) = read_steps(json.loads(json.dumps(description.document)), description.arrays)
    values = np.array([[0.0, 2.0], [1.7, 0.0], [-0.5, 1.0]])
    expected = [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0], [1, 0, 0, 1, 0]]
    np.testing.assert_array_equal(step.apply(values), expected)
    assert step.width(2) == 5
    with pytest.raises(ValueError, match="takes 2 columns, not 3"):
        step.width(3)


def test_an_error_changes_only_what_lies_on_a_border() -> None:
    values, error = np.array([[0.5, 1.9]]), np.array([[0.1, 0.2]])
    np.testing.assert_array_equal(OneHot((2, 3)).carry(values, error), [[0, 0, 1, 1, 1]])
    above = Above(np.array([0, 1]), np.array([0.45, 0.0]))
    np.testing.assert_array_equal(above.carry(values, error), [[1, 0]])
    np.testing.assert_array_equal(above.carry(values, np.zeros((1, 2))), [[0, 0]])


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ([-1.0, 0.0], "Negative values in data passed to CategoricalNB"),
        ([0.0, 3.0], "index 3 is out of bounds for axis 1 with size 3: column 1 held no such category"),
    ],
)
def test_a_row_without_a_category_is_refused(row: list[float], text: str) -> None:
    with pytest.raises(InputError, match=text):
        OneHot((2, 3)).apply(np.array([[1.0, 1.0], row]))

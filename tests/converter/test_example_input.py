"""Bad example input is refused in words; a little is warned about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

from sklearn2rknn import ExampleInputError, ExampleInputWarning, network_from_estimator
from sklearn2rknn.example_input import validate_example_input
from tests.converter.fitted import fit

GOOD = np.random.default_rng(0).standard_normal((40, 3))


class Frame:
    """As much of a table with named columns as is looked at."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return GOOD.astype(dtype or np.float64)


def with_value(row: int, column: int, value: float) -> Any:
    X = GOOD.copy()
    X[row, column] = value
    return X


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (with_value(2, 1, np.nan), "1 NaN or infinite values, the first at row 2, column 1"),
        (with_value(3, 0, np.inf), "row 3, column 0"),
        (GOOD[:0], "no rows"),
        (GOOD[:, :2], "2 columns; the model was fitted on 3"),
        (GOOD[0], r"1 dimension, shape \(3,\)"),
        (GOOD[None], "3 dimensions"),
        (5.0, "0 dimensions"),
        ([["a", "b", "c"]], "not a table of numbers"),
        (np.array([["a", 1, 2]], dtype=object), "not a table of numbers"),
        ([[1.0, 2.0, 3.0], [1.0]], "not a table of numbers"),
        (GOOD.astype(complex), "complex128"),
        (scipy.sparse.csr_matrix(GOOD), "toarray"),
        (Frame("b", "a", "c"), "another order"),
        (Frame("x", "b", "c"), "has the columns x, b, c; the model was fitted on a, b, c"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused(given: Any, said: str) -> None:
    estimator, _ = fit("softmax")
    estimator.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)
    with pytest.raises(ExampleInputError, match=said):
        validate_example_input(given, network_from_estimator(estimator))


@pytest.mark.parametrize(
    "given", [GOOD, GOOD.tolist(), GOOD.astype(np.float32), GOOD.astype(object), Frame("a", "b", "c")]
)
def test_taken(given: Any) -> None:
    estimator, _ = fit("softmax")
    estimator.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)
    rows = validate_example_input(given, network_from_estimator(estimator))
    assert rows.dtype == np.float64
    np.testing.assert_allclose(rows, GOOD, rtol=1e-6)


def test_few_rows_are_warned_about() -> None:
    with pytest.warns(ExampleInputWarning, match="has 1 row. The ranges"):
        validate_example_input(GOOD[:1], network_from_estimator(fit("softmax")[0]))

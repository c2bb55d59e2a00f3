"""Bad example input is refused in words; a little is warned about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sklearn2rknn import ExampleInputWarning, network_from_estimator
from sklearn2rknn.rows.example_input import validate_example_input
from tests.converter.fitted import fit

GOOD = np.random.default_rng(0).standard_normal((40, 3))


class Frame:
    """As much of a table with named columns as is looked at."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return GOOD.astype(dtype or np.float64)


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
    with pytest.warns(ExampleInputWarning, match=r"has 1 row, too few .* Give at least 32, "):
        validate_example_input(GOOD[:1], network_from_estimator(fit("softmax")[0]))

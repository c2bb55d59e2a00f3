"""Features of rows."""

from __future__ import annotations

import numpy as np
import pytest

from scirknn.errors import InputError
from scirknn.steps.norms import Skewed, UnitRows


def test_a_row_of_zeros_has_no_direction_and_stays() -> None:
    result = UnitRows().apply(np.array([[0.0, 0.0], [3.0, 4.0]]))
    np.testing.assert_allclose(result, [[0.0, 0.0], [0.6, 0.8]])


def test_a_value_without_a_logarithm_is_refused_in_scikit_learns_words() -> None:
    with pytest.raises(InputError, match="X may not contain entries smaller than -skewedness"):
        Skewed(1.0).apply(np.array([[0.0, -1.0]]))

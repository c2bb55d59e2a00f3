"""What the runner's child makes of predictions and requests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rknn_harness.board_runner.frames import to_wire_dtype


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array(["a", "bcd"], dtype=object), "<U3"),
        (np.array([1, 2], dtype=object), "<i8"),
        (np.array([1, 2], dtype=np.uint8), "<i8"),
        (np.array([1, 2], dtype=np.int16), "<i8"),
        (np.array([1, 2], dtype=np.int32), "<i4"),
        (np.array([True, False]), "|b1"),
        (np.array([0.5], dtype=np.float16), "<f4"),
        (np.array([0.5], dtype=np.float64), "<f8"),
    ],
)
def test_labels_cross_without_loss(values: np.ndarray[Any, Any], dtype: str) -> None:
    converted = to_wire_dtype(values)
    assert converted.dtype.str == dtype
    assert converted.tolist() == values.tolist()


def test_a_label_that_would_change_is_an_error() -> None:
    with pytest.raises(ValueError, match="range"):
        to_wire_dtype(np.array([2**64 - 1], dtype=np.uint64))

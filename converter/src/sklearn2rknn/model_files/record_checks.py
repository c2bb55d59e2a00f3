"""Checks of what a record or a fitted object holds: exact arrays and plain counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn2rknn.errors import ModelFileError


def damaged(what: str, why: str) -> ModelFileError:
    """Return the error for an object that its class would never have written."""
    return ModelFileError(f"The file has a {what} that cannot be used: {why}. Save the model again.")


def check_count(what: str, name: str, value: Any, most: int) -> int:
    """Return an int from 1 to `most`, or refuse it (ModelFileError)."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not 1 <= value <= most:
        raise damaged(what, f"{name} is {value!r:.60}, not 1 to {most}")
    return int(value)


def check_array(
    what: str, name: str, value: Any, dtype: np.dtype[Any], shape: tuple[int | None, ...]
) -> npt.NDArray[Any]:
    """Return a C-contiguous array of exactly this dtype and shape, in which None is any length from 0.

    Raises
    ------
    ModelFileError
    """
    if type(value) is not np.ndarray or value.dtype != dtype:
        kind = value.dtype if type(value) is np.ndarray else type(value).__name__
        raise damaged(what, f"{name} is {kind!s:.300}, not an array of {dtype!s:.300}")
    if value.ndim != len(shape) or any(
        wanted not in (None, length) for wanted, length in zip(shape, value.shape, strict=True)
    ):
        wanted_shape = tuple("n" if wanted is None else wanted for wanted in shape)
        raise damaged(what, f"{name} has shape {value.shape}, not {wanted_shape}")
    return np.ascontiguousarray(value)

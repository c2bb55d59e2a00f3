"""What several transformers refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.transformers.feature_table import FeatureTable, FilledText, join

__all__ = ["refuse_text"]


def refuse_text(table: FeatureTable, reader: str) -> None:
    """Raise where a column filled with text reaches something that computes."""
    for column in table.columns:
        if isinstance(column, FilledText):
            raise UnsupportedModelError(
                f"{reader} is given column {column.source} of X, which an imputer fills with "
                f"{column.fill!r:.60}. Put a OneHotEncoder or an OrdinalEncoder after the imputer."
            )


def refusal(named: str, option: str, why: str, cure: str) -> UnsupportedModelError:
    """Return the error that refuses an option of a transformer."""
    return UnsupportedModelError(f"{named} has {option}: {why}. {cure}")


def join_parts(parts: list[FeatureTable], named: str) -> FeatureTable:
    """Join the features of several transformers side by side."""
    if not parts:
        raise refusal(named, "no features", "nothing is left for the network", "Keep at least one column.")
    return join(parts)


def is_number(value: Any) -> bool:
    """Whether a value is a number, and no boolean."""
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def is_nan(value: Any) -> bool:
    """Whether a value is the float NaN."""
    return isinstance(value, (float, np.floating)) and math.isnan(value)

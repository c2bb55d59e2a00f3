"""What several transformers refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scirknn.steps.branches import Finite
from scirknn.steps.step import Step
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.transformers.feature_table import FeatureTable, FilledText, join


def refuse_text(table: FeatureTable, reader: str) -> None:
    """Raise where a column filled with text reaches something that computes."""
    for column in table.columns:
        if isinstance(column, FilledText):
            raise UnsupportedModelError(
                f"{reader} is given column {column.source} of X, which an imputer fills with "
                f"{column.fill!r:.60}. Put a OneHotEncoder or an OrdinalEncoder after the imputer."
            )


def compute(
    transformer: Any, table: FeatureTable, named: str, *steps: Step, passes_nan: bool = False
) -> FeatureTable:
    """Return what the host computes of numbers, after it has refused what scikit-learn's step refuses.

    Parameters
    ----------
    *steps : Step
        What the transformer is on the host.
    passes_nan : bool
        The transformer takes NaN, and NaN is what it gives.
    """
    refuse_text(table, named)
    refuse_statistics(table, named)
    finite = Finite(type(transformer).__name__, passes_nan)
    return table.compute(finite, *steps, passes_nan=passes_nan)


def refuse_statistics(table: FeatureTable, named: str) -> None:
    """Raise where a table's map or matrix is of numbers that are not finite, or divides by infinity."""
    numbers = (table.offset, table.scale, table.weights, table.bias)
    if not all(each is None or np.isfinite(each).all() for each in numbers) or not table.scale.all():
        raise UnsupportedModelError(
            f"{named} holds statistics that are zero, NaN or infinite where it divides or multiplies. Look "
            "for a column without a finite value, and fit again without it."
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

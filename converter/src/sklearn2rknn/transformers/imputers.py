"""Imputers and indicators of missing values."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer

from scirknn.bundle.columns import Coded, Missing, Number
from scirknn.steps.gaps import Fill, Gaps, NearestFill
from sklearn2rknn.network.ranges import Ranges
from sklearn2rknn.transformers.feature_table import Computed, FeatureTable, FilledText
from sklearn2rknn.transformers.refusals import is_nan, is_number, join_parts, refusal, refuse_text
from sklearn2rknn.transformers.registry import reads

_ZERO_OR_ONE = Ranges(np.zeros(1), np.ones(1), ("MissingIndicator",))


@reads(SimpleImputer)
def apply_imputer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Fill missing values."""
    missing = _missing(step.missing_values, named)
    filled = []
    for index, fill in enumerate(_fillings(step).tolist()):
        if is_nan(fill) and not step.keep_empty_features:
            continue  # the column was empty at fit; scikit-learn drops it
        filled.append(_fill(table.select([index]), missing, fill, named))
    if step.add_indicator:
        filled += _indicators(table, missing, step.indicator_.features_, named)
    return join_parts(filled, named)


def _fillings(step: Any) -> npt.NDArray[Any]:
    """Return what each feature is filled with, in the dtype of fit where scikit-learn rounds it to that."""
    statistics: npt.NDArray[Any] = step.statistics_
    dtype = np.dtype(getattr(step, "_fill_dtype", statistics.dtype))
    if dtype.kind != "f" or step.strategy == "constant" or step.keep_empty_features:
        return statistics
    return statistics.astype(dtype)


def _fill(one: FeatureTable, missing: Any, fill: Any, named: str) -> FeatureTable:
    """Fill the missing values of a table of one feature."""
    column = one.columns[0]
    if one.weights is None and is_number(fill):
        one = attrs.evolve(one, ranges=one.ranges.include(float(fill)))
    if one.weights is None and isinstance(column, Coded) and is_nan(missing):
        value = float(fill / one.scale[0] + one.offset[0])
        values = tuple(value if math.isnan(each) else each for each in column.values[:-1])
        # Behind an error there is no code for what is unknown; its place stays NaN.
        unknown = column.values[-1]
        if one.lookups[column.lookup].unknown != "error" and math.isnan(unknown):
            unknown = value
        return attrs.evolve(one, columns=(replace(column, values=(*values, unknown)),))
    if one.weights is None and isinstance(column, Number) and column.missing is None:
        if is_nan(missing) and is_number(fill):
            value = float(fill / one.scale[0] + one.offset[0])
            return attrs.evolve(one, columns=(Number(column.source, math.nan, value),))
        if one.is_raw:
            if is_number(missing) and is_number(fill):
                return attrs.evolve(one, columns=(Number(column.source, float(missing), float(fill)),))
            return attrs.evolve(one, columns=(FilledText(column.source, missing, fill),))
    elif isinstance(column, Computed) and column.stage.passes_nan and is_nan(missing) and is_number(fill):
        return one.compute(Fill(np.array([float(fill)])), ranges=one.ranges)
    elif is_nan(missing) and not isinstance(column, Coded):
        return one  # nothing is missing any more
    raise refusal(
        named,
        f"missing_values={missing!r:.60}",
        "a missing value other than NaN must be imputed first, by one imputer per column",
        "Put the imputer first in the pipeline.",
    )


@reads(KNNImputer)
def apply_nearest_imputer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Fill missing values from the nearest rows of fit, on the host."""
    refuse_text(table, named)
    missing = _missing(step.missing_values, named)
    valid = np.flatnonzero(step._valid_mask)
    if step.keep_empty_features and len(valid) < table.width:
        raise refusal(
            named,
            "keep_empty_features=True and columns that were empty",
            "they are zeros, which no network needs",
            "Fit with keep_empty_features=False.",
        )
    values = [_fill(table.select([index]), missing, 0.0, named) for index in range(table.width)]
    gaps = _indicators(table, missing, np.arange(table.width), named)
    present = np.asarray(~step._mask_fit_X, dtype=np.int64)
    points = np.where(present > 0, step._fit_X, 0.0).astype(np.float64)
    fill = NearestFill(points, present, int(step.n_neighbors), step.weights == "distance")
    filled = join_parts([*values, *gaps], named).compute(fill).select(valid)
    if not step.add_indicator:
        return filled
    return join_parts([filled, *_indicators(table, missing, step.indicator_.features_, named)], named)


@reads(MissingIndicator)
def apply_indicator(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Say where values are missing."""
    if step.error_on_new and step.features == "missing-only":
        raise refusal(
            named,
            "error_on_new=True",
            "the runtime does not look for new missing values",
            "Fit with error_on_new=False.",
        )
    return join_parts(_indicators(table, _missing(step.missing_values, named), step.features_, named), named)


def _indicators(
    table: FeatureTable, missing: Any, features: npt.NDArray[np.intp], named: str
) -> list[FeatureTable]:
    indicators = []
    for index in features:
        one = table.select([index])
        column = one.columns[0]
        if isinstance(column, Computed) and column.stage.passes_nan and is_nan(missing):
            indicators.append(one.compute(Gaps(), ranges=_ZERO_OR_ONE, passes_nan=True))
            continue
        plain = one.weights is None and isinstance(column, Number) and column.missing is None
        if not plain or not is_number(missing) or not (one.is_raw or is_nan(missing)):
            raise refusal(
                named,
                f"an indicator of missing values of feature {int(index)}",
                "only numbers that come straight from X have one",
                "Fit with add_indicator=False, or put the imputer first.",
            )
        assert isinstance(column, Number)
        columns = (Missing(column.source, float(missing)),)
        indicators.append(
            attrs.evolve(one, columns=columns, offset=np.zeros(1), scale=np.ones(1), ranges=_ZERO_OR_ONE)
        )
    return indicators


def _missing(value: Any, named: str) -> Any:
    """Return what stands for a missing value, with NaN for pandas.NA."""
    if type(value).__name__ == "NAType":
        return math.nan
    if value is None or isinstance(value, str) or is_number(value):
        return value
    raise refusal(named, f"missing_values={value!r:.60}", "it is no number or text", "Use numpy.nan.")

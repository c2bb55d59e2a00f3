"""Encoders: they look categories up."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from scirknn.bundle.columns import Category, Coded, Lookup, Number
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.transformers.feature_table import FeatureTable, FilledText
from sklearn2rknn.transformers.refusals import is_nan, join_parts, refusal
from sklearn2rknn.transformers.registry import reads


@reads(OneHotEncoder)
def apply_one_hot(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Look up categories, one feature for each."""
    unknown = "error" if step.handle_unknown == "error" else "ignore"
    if step.handle_unknown == "warn" or (step.drop is not None and unknown == "ignore"):
        unknown = "warn"
    dropped = step.drop_idx_ if step.drop_idx_ is not None else [None] * table.width
    parts = []
    for index, lookup in enumerate(_lookups(step, table, unknown, named)):
        codes = [code for code in range(lookup.size) if code != dropped[index]]
        columns = tuple(Category(0, code) for code in codes)
        part = FeatureTable(columns, (lookup,), np.zeros(len(codes)), np.ones(len(codes)))
        parts.append(part.with_range(0.0, 1.0, "OneHotEncoder"))
    return _with_checks(join_parts(parts, named), table)


@reads(OrdinalEncoder)
def apply_ordinal(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Look up categories' codes."""
    refuses_unknown = step.handle_unknown == "error"
    otherwise = math.nan if refuses_unknown else float(step.unknown_value)
    parts = []
    for index, lookup in enumerate(_lookups(step, table, "error" if refuses_unknown else "ignore", named)):
        values = [float(code) for code in range(lookup.size)]
        if index in step._missing_indices:
            values[step._missing_indices[index]] = float(step.encoded_missing_value)
        coded = Coded(0, (*values, otherwise))
        codes = np.array([*values, *([] if refuses_unknown else [otherwise])])
        codes = codes[np.isfinite(codes)]
        part = FeatureTable((coded,), (lookup,), np.zeros(1), np.ones(1))
        parts.append(part.with_range(codes.min(), codes.max(), "OrdinalEncoder") if len(codes) else part)
    return _with_checks(join_parts(parts, named), table)


def _with_checks(encoded: FeatureTable, table: FeatureTable) -> FeatureTable:
    return attrs.evolve(encoded, checked=encoded.checked | table.checked)


def _lookups(step: Any, table: FeatureTable, unknown: str, named: str) -> list[Lookup]:
    """Return a lookup for each feature of an encoder."""
    if any(indices is not None for indices in getattr(step, "_infrequent_indices", ())):
        raise refusal(
            named,
            "infrequent categories",
            "several categories share one column",
            "Group rare categories in X, or fit without min_frequency and max_categories.",
        )
    if not table.is_raw or not all(isinstance(each, (Number, FilledText)) for each in table.columns):
        raise UnsupportedModelError(
            f"{named} looks up values that another step has computed. Put it first, or after an imputer "
            "only: a ColumnTransformer gives each column its own steps."
        )
    return [
        _lookup(column, index, categories, unknown, named)
        for index, (column, categories) in enumerate(zip(table.columns, step.categories_, strict=True))
    ]


def _lookup(column: Any, index: int, categories: Any, unknown: str, named: str) -> Lookup:
    items = np.asarray(categories).tolist()
    code_of: dict[Any, int] = {}
    nan: int | None = None
    for code, item in enumerate(items):
        if is_nan(item) or type(item).__name__ == "NAType":
            nan = code
        elif item is None or isinstance(item, (str, int, float)):
            code_of[item] = code
        else:
            raise UnsupportedModelError(
                f"{named} has the category {item!r:.60} of type {type(item).__name__}; categories can be "
                "text, numbers or None. Write it as text in X: X[column].astype(str)."
            )
    filled = isinstance(column, FilledText) or column.missing is not None
    if filled:
        # A missing value has the code of what it is filled with, or is as unknown as that is.
        filling = nan if is_nan(column.fill) else code_of.get(column.fill)
        if is_nan(column.missing):
            nan = filling
        else:
            code_of.pop(column.missing, None)
            if filling is not None:
                code_of[column.missing] = filling
    return Lookup(column.source, tuple(code_of), tuple(code_of.values()), nan, len(items), unknown, index)

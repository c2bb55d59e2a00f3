"""Encoders: they look categories up."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from scirknn.bundle.columns import Category, Coded, Lookup, Number
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.transformers.feature_table import FeatureTable, FilledText
from sklearn2rknn.transformers.refusals import is_nan, join_parts
from sklearn2rknn.transformers.registry import reads


@reads(OneHotEncoder)
def apply_one_hot(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Look up categories, one feature for each."""
    unknown = "error" if step.handle_unknown == "error" else "ignore"
    if step.handle_unknown == "warn" or (step.drop is not None and unknown == "ignore"):
        unknown = "warn"
    dropped = getattr(step, "_drop_idx_after_grouping", step.drop_idx_)
    dropped = [None] * table.width if dropped is None else dropped
    parts = []
    groups = _groups(step, table.width)
    for index, lookup in enumerate(_lookups(step, table, unknown, named)):
        group = groups[index]
        takes_unknown = group is not None and step.handle_unknown in ("infrequent_if_exist", "warn")
        lookup = lookup if group is None else _grouped(lookup, group, takes_unknown=takes_unknown)
        columns = tuple(
            Coded(0, (*(0.0,) * code, 1.0, 1.0))
            if takes_unknown and code == lookup.size - 1
            else Category(0, code)
            for code in range(lookup.size)
            if code != dropped[index]
        )
        part = FeatureTable(columns, (lookup,), np.zeros(len(columns)), np.ones(len(columns)))
        parts.append(part.with_range(0.0, 1.0, "OneHotEncoder"))
    return _with_checks(join_parts(parts, named), table)


Group = npt.NDArray[np.intp]
"""The number of the group of each category; the last group is that of infrequent categories."""


def _groups(step: Any, width: int) -> list[Group | None]:
    """Return the groups of each feature's categories, None where none is infrequent."""
    if not getattr(step, "_infrequent_enabled", False):
        return [None] * width
    return list(step._default_to_infrequent_mappings)


def _grouped(lookup: Lookup, group: Group, *, takes_unknown: bool) -> Lookup:
    """Return a lookup of groups, the last of which may take what is not known."""
    codes = tuple(int(group[code]) for code in lookup.codes)
    nan = None if lookup.nan is None else int(group[lookup.nan])
    warns = takes_unknown and lookup.unknown == "warn"
    return replace(
        lookup,
        codes=codes,
        nan=nan,
        size=int(group.max()) + 1,
        unknown="warn_infrequent" if warns else lookup.unknown,
    )


@reads(OrdinalEncoder)
def apply_ordinal(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Look up categories' codes."""
    refuses_unknown = step.handle_unknown == "error"
    otherwise = math.nan if refuses_unknown else float(step.unknown_value)
    parts = []
    groups = _groups(step, table.width)
    for index, lookup in enumerate(_lookups(step, table, "error" if refuses_unknown else "ignore", named)):
        group = groups[index]
        values = [float(code) for code in range(lookup.size)]
        if group is not None:  # a missing value's code, the last one, belongs to none
            values[: len(group)] = group.astype(float).tolist()
        if index in step._missing_indices:
            values[step._missing_indices[index]] = float(step.encoded_missing_value)
        coded = Coded(0, (*values, otherwise))
        codes = np.array([*values, *([] if refuses_unknown else [otherwise])])
        codes = codes[np.isfinite(codes)]
        part = FeatureTable((coded,), (lookup,), np.zeros(1), np.ones(1))
        parts.append(part.with_range(codes.min(), codes.max(), "OrdinalEncoder") if len(codes) else part)
    return _with_checks(join_parts(parts, named), table)


@reads(TargetEncoder)
def apply_target_encoder(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Look up what the target was where a category was, for each class where there are several."""
    means = np.atleast_1d(np.asarray(step.target_mean_, dtype=np.float64))
    parts = []
    for index, lookup in enumerate(_lookups(step, table, "ignore", named)):
        encodings = step.encodings_[index * len(means) : (index + 1) * len(means)]
        columns = tuple(
            Coded(0, (*(float(each) for each in encoding), float(mean)))
            for encoding, mean in zip(encodings, means, strict=True)
        )
        part = FeatureTable(columns, (lookup,), np.zeros(len(means)), np.ones(len(means)))
        values = np.array([column.values for column in columns])
        parts.append(part.with_range(values.min(axis=1), values.max(axis=1), "TargetEncoder"))
    return _with_checks(join_parts(parts, named), table)


def _with_checks(encoded: FeatureTable, table: FeatureTable) -> FeatureTable:
    return attrs.evolve(encoded, checked=encoded.checked | table.checked, is_exact=table.is_exact)


def _lookups(step: Any, table: FeatureTable, unknown: str, named: str) -> list[Lookup]:
    """Return a lookup for each feature of an encoder."""
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

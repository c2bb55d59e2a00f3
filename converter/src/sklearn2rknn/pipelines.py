"""What the steps of a pipeline do to features, taken from their fitted numbers.

Scalers are affine and per feature, PCA and TruncatedSVD are matrices, selectors pick, imputers fill, encoders
look up; `FeatureTable` holds all of it. Each formula is the step's ``transform`` (scikit-learn's source). A
step that is none of these is refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError as _SklearnNotFittedError
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils.validation import check_is_fitted

from scirknn.bundle.columns import Category, Coded, Lookup, Missing, Number
from sklearn2rknn.errors import NotFittedError, UnsupportedModelError
from sklearn2rknn.feature_table import FeatureTable, FilledText, join
from sklearn2rknn.spans import samples_within, unknown

__all__ = ["apply_step", "first_step", "refuse_text"]

ROBUST_REACH = 10.0
"""Scales (interquartile ranges by default) that a RobustScaler's features are taken to reach from their
centre: quartiles bound nothing."""

APART = "Apply it to X yourself, before fit and before predict, and convert the rest of the pipeline."


def apply_step(step: Any, table: FeatureTable, where: str) -> FeatureTable:
    """Return the features behind a fitted transformer.

    Parameters
    ----------
    step : object
        A transformer, or ``"passthrough"`` or None.
    table : FeatureTable
        The features in front of it.
    where : str
        What to call it, such as ``"Pipeline step 'pca'"``.

    Returns
    -------
    FeatureTable

    Raises
    ------
    UnsupportedModelError
        The step, or a parameter of it, has no counterpart; the text names it and the cure.
    NotFittedError
        It was not fitted.
    """
    if step is None or isinstance(step, str):
        if step not in (None, "passthrough"):
            raise UnsupportedModelError(f"{where} is {step!r:.60}; it can be a transformer or 'passthrough'.")
        return table
    kind = type(step)
    named = f"{where} ({kind.__name__})"
    if kind is Pipeline:
        for name, each in step.steps:
            table = apply_step(each, table, f"{where}, step {name!r}")
        return table
    apply = STEPS.get(kind)
    if apply is None and isinstance(step, SelectorMixin) and kind.transform is SelectorMixin.transform:
        apply = _select
    if apply is None:
        raise UnsupportedModelError(
            f"{named} cannot be converted: it is neither affine nor a choice of columns nor one of "
            f"{', '.join(sorted(each.__name__ for each in STEPS))}. {APART}"
        )
    try:
        check_is_fitted(step)
    except _SklearnNotFittedError:
        raise NotFittedError(
            f"{named} is not fitted. Call fit(X, y) on the whole before converting."
        ) from None
    fitted_on = getattr(step, "n_features_in_", table.width)
    if fitted_on != table.width:
        raise UnsupportedModelError(
            f"{named} was fitted on {fitted_on} features and is given {table.width}. Fit the whole again."
        )
    result = apply(step, table, named)
    numbers = (result.offset, result.scale, result.weights, result.bias)
    if not all(each is None or np.isfinite(each).all() for each in numbers) or not result.scale.all():
        raise UnsupportedModelError(
            f"{named} holds statistics that are zero, NaN or infinite where it divides or multiplies. Look "
            "for a column without a finite value, and fit again without it."
        )
    return result


def first_step(steps: Iterable[Any]) -> Any:
    """Return the transformer or estimator among `steps` that meets X first; it knows the columns' names."""
    for step in steps:
        if step is None or isinstance(step, str):
            continue
        if isinstance(step, Pipeline):
            inner = first_step(each for _, each in step.steps)
        elif isinstance(step, FeatureUnion):
            inner = first_step(each for _, each in step.transformer_list)
        else:
            return step
        if inner is not None:
            return inner
    return None


def refuse_text(table: FeatureTable, reader: str) -> None:
    """Raise where a column filled with text reaches something that computes."""
    for column in table.columns:
        if isinstance(column, FilledText):
            raise UnsupportedModelError(
                f"{reader} is given column {column.source} of X, which an imputer fills with "
                f"{column.fill!r:.60}. Put a OneHotEncoder or an OrdinalEncoder behind the imputer."
            )


def _refuse(named: str, option: str, why: str, cure: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{named} has {option}: {why}. {cure}")


def _standard(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    refuse_text(table, named)
    if step.mean_ is not None and step.var_ is not None:
        table = table.know(*samples_within(step.mean_, step.var_, step.n_samples_seen_), "StandardScaler")
    return table.map(step.mean_ if step.with_mean else 0.0, 1.0 / step.scale_ if step.with_std else 1.0)


def _min_max(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    refuse_text(table, named)
    _refuse_clip(step, named)
    table = table.know(step.data_min_, step.data_max_, "MinMaxScaler")
    return table.map(-step.min_ / step.scale_, step.scale_)


def _max_abs(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    refuse_text(table, named)
    _refuse_clip(step, named)
    return table.know(-step.max_abs_, step.max_abs_, "MaxAbsScaler").map(0.0, 1.0 / step.scale_)


def _refuse_clip(step: Any, named: str) -> None:
    if getattr(step, "clip", False):
        raise _refuse(named, "clip=True", "cutting values off is not affine", "Fit with clip=False.")


def _robust(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    refuse_text(table, named)
    if step.center_ is not None and step.scale_ is not None:
        reach = ROBUST_REACH * step.scale_
        table = table.know(step.center_ - reach, step.center_ + reach, "RobustScaler")
    return table.map(
        step.center_ if step.with_centering else 0.0, 1.0 / step.scale_ if step.with_scaling else 1.0
    )


def _pca(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    refuse_text(table, named)
    # The mean is subtracted before the matrix, not after it: X may be large beside what varies in it.
    table = table.know(*samples_within(step.mean_, _pca_variance(step), step.n_samples_), "PCA")
    mixed = table.map(step.mean_, 1.0).mix(step.components_.T)
    if not step.whiten:
        return mixed
    deviation = np.sqrt(step.explained_variance_)
    return mixed.map(0.0, 1.0 / np.maximum(deviation, np.finfo(deviation.dtype).eps))


def _pca_variance(step: Any) -> npt.NDArray[np.float64]:
    """Return an upper bound on each feature's variance over n, which PCA takes over n - 1.

    The components' share of it, and all that they leave, which no feature can exceed.
    """
    kept = np.asarray(step.explained_variance_, dtype=np.float64)
    ratio = np.asarray(step.explained_variance_ratio_, dtype=np.float64)
    if not ratio[0] > 0:
        return np.full(step.n_features_in_, np.inf)
    left = max(0.0, float(kept[0] / ratio[0] - kept.sum()))
    # Some roundings of the total are left too.
    return np.asarray(kept @ step.components_**2 + left + 1e-12 * kept.sum())


def _svd(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    refuse_text(table, named)
    return table.mix(step.components_.T)


def _select(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    support = np.asarray(step.get_support(), dtype=bool)
    chosen = table.select(np.flatnonzero(support))
    tags = getattr(step, "__sklearn_tags__", None)
    if tags is not None and tags().input_tags.allow_nan:
        return chosen
    dropped = {
        column.source for column in table.columns if isinstance(column, Number) and column.missing is None
    }
    return attrs.evolve(chosen, checked=chosen.checked | dropped)


def _function(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    for option in ("func", "inverse_func"):
        function = getattr(step, option)
        if function is not None:
            name = getattr(function, "__name__", repr(function))
            raise _refuse(named, f"{option}={name:.60}", "a function cannot be read", APART)
    return table


def _column_transformer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    weights = step.transformer_weights or {}
    parts = []
    for name, transformer, _ in step.transformers_:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        indices = step._transformer_to_input_indices.get(name, ())
        if len(indices):
            part = apply_step(transformer, table.select(indices), f"{_inside(named)}, transformer {name!r}")
            parts.append(_weighted(part, weights.get(name), named))
    return _joined(parts, named)


def _feature_union(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    weights = step.transformer_weights or {}
    parts = []
    for name, transformer in step.transformer_list:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        part = apply_step(transformer, table, f"{_inside(named)}, transformer {name!r}")
        parts.append(_weighted(part, weights.get(name), named))
    return _joined(parts, named)


def _inside(named: str) -> str:
    """Take the class off ``"Pipeline step 'union' (FeatureUnion)"``."""
    return named[: named.rindex(" (")]


def _weighted(table: FeatureTable, weight: float | None, named: str) -> FeatureTable:
    if weight is None:
        return table
    if not weight:
        raise _refuse(named, "a weight of 0 in transformer_weights", "the features vanish", "Use 'drop'.")
    refuse_text(table, named)
    return table.map(0.0, weight)


def _joined(parts: list[FeatureTable], named: str) -> FeatureTable:
    if not parts:
        raise _refuse(named, "no features", "nothing is left for the network", "Keep at least one column.")
    return join(parts)


def _impute(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    missing = _missing(step.missing_values, named)
    filled = []
    for index, fill in enumerate(step.statistics_.tolist()):
        if _is_nan(fill) and not step.keep_empty_features:
            continue  # the column was empty at fit; scikit-learn drops it
        filled.append(_fill(table.select([index]), missing, fill, named))
    if step.add_indicator:
        filled += _indicators(table, missing, step.indicator_.features_, named)
    return _joined(filled, named)


def _fill(one: FeatureTable, missing: Any, fill: Any, named: str) -> FeatureTable:
    """Fill the missing values of a table of one feature."""
    column = one.columns[0]
    if one.weights is None and _is_number(fill):
        one = attrs.evolve(one, spans=one.spans.widened(float(fill)))
    if one.weights is None and isinstance(column, Coded) and _is_nan(missing):
        value = float(fill / one.scale[0] + one.offset[0])
        values = tuple(value if math.isnan(each) else each for each in column.values[:-1])
        # Behind an error there is no code for what is unknown; its place stays NaN.
        unknown = column.values[-1]
        if one.lookups[column.lookup].unknown != "error" and math.isnan(unknown):
            unknown = value
        return attrs.evolve(one, columns=(replace(column, values=(*values, unknown)),))
    if one.weights is None and isinstance(column, Number) and column.missing is None:
        if _is_nan(missing) and _is_number(fill):
            value = float(fill / one.scale[0] + one.offset[0])
            return attrs.evolve(one, columns=(Number(column.source, math.nan, value),))
        if one.is_raw:
            if _is_number(missing) and _is_number(fill):
                return attrs.evolve(one, columns=(Number(column.source, float(missing), float(fill)),))
            return attrs.evolve(one, columns=(FilledText(column.source, missing, fill),))
    elif _is_nan(missing) and not isinstance(column, Coded):
        return one  # nothing is missing any more
    raise _refuse(
        named,
        f"missing_values={missing!r:.60}",
        "its values are searched for in X itself, as it comes, once",
        "Put one imputer for each column first in the pipeline.",
    )


def _indicate(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    if step.error_on_new and step.features == "missing-only":
        raise _refuse(
            named, "error_on_new=True", "rows are not searched for new gaps", "Fit with error_on_new=False."
        )
    return _joined(_indicators(table, _missing(step.missing_values, named), step.features_, named), named)


def _indicators(
    table: FeatureTable, missing: Any, features: npt.NDArray[np.intp], named: str
) -> list[FeatureTable]:
    found = []
    for index in features:
        one = table.select([index])
        column = one.columns[0]
        plain = one.weights is None and isinstance(column, Number) and column.missing is None
        if not plain or not _is_number(missing) or not (one.is_raw or _is_nan(missing)):
            raise _refuse(
                named,
                f"an indicator of missing values of feature {int(index)}",
                "it can be told of numbers that come straight from X only",
                "Fit with add_indicator=False, or put the imputer first.",
            )
        assert isinstance(column, Number)
        columns = (Missing(column.source, float(missing)),)
        told = unknown(1).narrowed(np.zeros(1), np.ones(1), "MissingIndicator")
        found.append(attrs.evolve(one, columns=columns, offset=np.zeros(1), scale=np.ones(1), spans=told))
    return found


def _missing(value: Any, named: str) -> Any:
    """Return what stands for a missing value, with NaN for pandas.NA."""
    if type(value).__name__ == "NAType":
        return math.nan
    if value is None or isinstance(value, str) or _is_number(value):
        return value
    raise _refuse(named, f"missing_values={value!r:.60}", "it is no number or text", "Use numpy.nan.")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _is_nan(value: Any) -> bool:
    return isinstance(value, (float, np.floating)) and math.isnan(value)


def _one_hot(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    unknown = "error" if step.handle_unknown == "error" else "ignore"
    if step.handle_unknown == "warn" or (step.drop is not None and unknown == "ignore"):
        unknown = "warn"
    dropped = step.drop_idx_ if step.drop_idx_ is not None else [None] * table.width
    parts = []
    for index, lookup in enumerate(_lookups(step, table, unknown, named)):
        codes = [code for code in range(lookup.size) if code != dropped[index]]
        columns = tuple(Category(0, code) for code in codes)
        part = FeatureTable(columns, (lookup,), np.zeros(len(codes)), np.ones(len(codes)))
        parts.append(part.know(0.0, 1.0, "OneHotEncoder"))
    return _with_checks(_joined(parts, named), table)


def _ordinal(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    known = step.handle_unknown == "error"
    otherwise = math.nan if known else float(step.unknown_value)
    parts = []
    for index, lookup in enumerate(_lookups(step, table, "error" if known else "ignore", named)):
        values = [float(code) for code in range(lookup.size)]
        if index in step._missing_indices:
            values[step._missing_indices[index]] = float(step.encoded_missing_value)
        coded = Coded(0, (*values, otherwise))
        told = np.array([*values, *([] if known else [otherwise])])
        told = told[np.isfinite(told)]
        part = FeatureTable((coded,), (lookup,), np.zeros(1), np.ones(1))
        parts.append(part.know(told.min(), told.max(), "OrdinalEncoder") if len(told) else part)
    return _with_checks(_joined(parts, named), table)


def _with_checks(encoded: FeatureTable, table: FeatureTable) -> FeatureTable:
    return attrs.evolve(encoded, checked=encoded.checked | table.checked)


def _lookups(step: Any, table: FeatureTable, unknown: str, named: str) -> list[Lookup]:
    """Return a lookup for each feature of an encoder."""
    if any(indices is not None for indices in getattr(step, "_infrequent_indices", ())):
        raise _refuse(
            named,
            "infrequent categories",
            "several categories share one column",
            "Group rare categories in X, or fit without min_frequency and max_categories.",
        )
    if not table.is_raw or not all(isinstance(each, (Number, FilledText)) for each in table.columns):
        raise UnsupportedModelError(
            f"{named} looks up values that another step has computed. Put it first, or behind an imputer "
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
        if _is_nan(item) or type(item).__name__ == "NAType":
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
        filling = nan if _is_nan(column.fill) else code_of.get(column.fill)
        if _is_nan(column.missing):
            nan = filling
        else:
            code_of.pop(column.missing, None)
            if filling is not None:
                code_of[column.missing] = filling
    return Lookup(column.source, tuple(code_of), tuple(code_of.values()), nan, len(items), unknown, index)


STEPS: dict[type[BaseEstimator], Callable[[Any, FeatureTable, str], FeatureTable]] = {
    StandardScaler: _standard,
    MinMaxScaler: _min_max,
    MaxAbsScaler: _max_abs,
    RobustScaler: _robust,
    PCA: _pca,
    TruncatedSVD: _svd,
    FunctionTransformer: _function,
    ColumnTransformer: _column_transformer,
    FeatureUnion: _feature_union,
    SimpleImputer: _impute,
    MissingIndicator: _indicate,
    OneHotEncoder: _one_hot,
    OrdinalEncoder: _ordinal,
}
"""By the exact class: a subclass may compute anything."""

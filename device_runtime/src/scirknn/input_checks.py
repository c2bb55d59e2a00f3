"""Checks of X, y and sample weights, in scikit-learn's words.

A user who moves a program from scikit-learn to the board meets the texts they know
(``sklearn.utils.validation``), from code that needs numpy alone.
"""

from __future__ import annotations

import warnings
from typing import Any, Collection, Sequence

import numpy as np

from scirknn.arrays import Array
from scirknn.errors import InputError

_RESHAPE = (
    "Reshape your data either using array.reshape(-1, 1) if your data has a single feature or "
    "array.reshape(1, -1) if it contains a single sample."
)


def check_rows(
    X: Any,
    n_features: int,
    feature_names: tuple[str, ...] | None,
    estimator: str,
    first_step: str | None = None,
) -> Array:
    """Return X as a numeric array of shape (n, n_features).

    It is X itself where that qualifies; the memory of a memory map is not copied. Whether it is finite is
    left to `check_finite`. `feature_names` are those seen at fit, `estimator` is scikit-learn's class name
    and `first_step` that of what meets X first in a pipeline, for the texts.

    Raises
    ------
    InputError
        With scikit-learn's text for the same mistake.
    """
    first_step = first_step or estimator
    if not isinstance(X, np.ndarray):
        _check_names(X, feature_names, first_step)
        X = _as_array(X)
    elif feature_names is not None:
        _check_names(X, feature_names, first_step)
    if type(X) is not np.ndarray:
        X = np.asarray(X)  # a memory map, a matrix: what is made of them need not be more of the kind
    if X.ndim != 2:
        _refuse_dimensions(X, first_step)
    if X.dtype.kind not in "fiub":
        X = _as_numeric(X)
    if X.shape[1] != n_features or not len(X):
        if X.dtype.kind == "f":
            check_finite(X, estimator)  # scikit-learn's order
        _check_shape(X, n_features, first_step)
    rows: Array = X
    return rows


def check_table(
    X: Any,
    n_features: int,
    feature_names: tuple[str, ...] | None,
    first_step: str,
    *,
    named: Collection[int] | None = None,
) -> Array:
    """Return X as an array for a model that fills, looks up or picks columns.

    It has shape (n, n_features); text and numbers may be mixed, values are not checked. `named` are the
    columns that a table with names has to have: it is taken by name, may have others, in any order. By
    default it has to have all, in order.

    Raises
    ------
    InputError
        With scikit-learn's text for the same mistake.
    """
    if named is not None and feature_names is not None and _names(X) is not None:
        places = {name: place for place, name in enumerate(X.columns)}
        missing = {feature_names[column] for column in named} - set(places)
        if missing:
            raise InputError(f"columns are missing: {missing}")
        # What is not looked at may be any column.
        X = _as_array(X, keep_types=True)[:, [places.get(name, 0) for name in feature_names]]
    else:
        if named is None and (feature_names is not None or not isinstance(X, np.ndarray)):
            _check_names(X, feature_names, first_step)
        if not isinstance(X, np.ndarray):
            X = _as_array(X, keep_types=True)
    _refuse_kinds(X)
    if X.ndim != 2:
        _refuse_dimensions(X, first_step)
    _check_shape(X, n_features, first_step)
    table: Array = X
    return table


def check_finite(values: Array, estimator: str) -> None:
    """Refuse NaN and infinity (InputError).

    With scikit-learn's text, in which `estimator` is the one that refuses.
    """
    # One reduction finds the common case finite. Float16 overflows in a sum that is itself finite, so what is
    # suspicious is looked at once more.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(values.sum())
    if suspicious:
        _refuse_not_finite(values, estimator)


def _check_shape(X: Array, n_features: int, estimator: str) -> None:
    if X.shape[0] == 0:
        raise InputError(
            f"Found array with 0 sample(s) (shape={X.shape}) while a minimum of 1 is required by {estimator}."
        )
    if X.shape[1] != n_features:
        raise InputError(
            f"X has {X.shape[1]} features, but {estimator} is expecting {n_features} features as input."
        )


def check_consistent_length(*arrays: Array | None) -> None:
    """Refuse arrays of different first dimension (InputError)."""
    lengths = [len(array) for array in arrays if array is not None]
    if len(set(lengths)) > 1:
        raise InputError(f"Found input variables with inconsistent numbers of samples: {lengths}")


def _as_array(X: Any, *, keep_types: bool = False) -> Array:
    """Return an array; with `keep_types` one that keeps each value's own type where X has several."""
    if hasattr(X, "iloc") and X.ndim == 1:
        raise InputError(
            f"Expected a 2-dimensional container but got {type(X)} instead. Pass a DataFrame containing a "
            "single row (i.e. single sample) or a single column (i.e. single feature) instead."
        )
    if hasattr(X, "toarray"):  # scipy's sparse containers, without importing scipy
        return np.asarray(X.toarray())
    try:
        # An array of numbers stays one; a list of texts and numbers would become an array of texts.
        is_mixed = keep_types and not hasattr(X, "__array__")
        return np.array(X, dtype=object) if is_mixed else np.asarray(X)
    except ValueError as error:  # ragged rows
        raise InputError(str(error)) from None


def _as_numeric(X: Array) -> Array:
    _refuse_kinds(X)
    if X.dtype.kind in "US":
        raise InputError(
            "dtype='numeric' is not compatible with arrays of bytes/strings."
            "Convert your data to numeric values explicitly instead."
        )
    try:
        return X.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None


def _refuse_kinds(X: Array) -> None:
    if X.dtype.kind == "c":
        raise InputError(f"Complex data not supported\n{X}\n")
    if X.dtype.kind in "mM":
        raise InputError(f"Input X has dtype {X.dtype}; a model takes numbers. Convert dates as before fit.")


def _refuse_dimensions(X: Array, estimator: str) -> None:
    if X.ndim > 2:
        raise InputError(f"Found array with dim {X.ndim}, while dim <= 2 is required by {estimator}.")
    kind = "scalar array" if X.ndim == 0 else "1D array"
    raise InputError(f"Expected 2D array, got {kind} instead:\narray={X}.\n{_RESHAPE}")


def _refuse_not_finite(X: Array, estimator: str) -> None:
    if np.isnan(X).any():
        raise InputError(
            f"Input X contains NaN.\n{estimator} does not accept missing values encoded as NaN natively. "
            "Fill them with an imputer, or drop the samples that have them."
        )
    if np.isinf(X).any():
        raise InputError(f"Input X contains infinity or a value too large for {X.dtype!r}.")


def _check_names(X: Any, fitted: tuple[str, ...] | None, estimator: str) -> None:
    names = _names(X)
    if names is None:
        if fitted is not None:
            warnings.warn(
                f"X does not have valid feature names, but {estimator} was fitted with feature names",
                stacklevel=5,
            )
        return
    if fitted is None:
        warnings.warn(f"X has feature names, but {estimator} was fitted without feature names", stacklevel=5)
        return
    if names == fitted:
        return
    unseen, missing = sorted(set(names) - set(fitted)), sorted(set(fitted) - set(names))
    message = "The feature names should match those that were passed during fit.\n"
    if unseen:
        message += "Feature names unseen at fit time:\n" + _bullets(unseen)
    if missing:
        message += "Feature names seen at fit time, yet now missing:\n" + _bullets(missing)
    if not unseen and not missing:
        message += "Feature names must be in the same order as they were in fit.\n"
    raise InputError(message)


def _names(X: Any) -> tuple[str, ...] | None:
    columns: Sequence[Any] = getattr(X, "columns", ())
    are_texts = {isinstance(name, str) for name in columns}
    if len(are_texts) > 1:
        types = sorted({type(name).__qualname__ for name in columns})
        raise InputError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{types} as feature name / column name types. If you want feature names to be stored and "
            "validated, you must convert them all to strings, by using X.columns = X.columns.astype(str) for "
            "example. Otherwise you can remove feature / column names from your input data, or convert them "
            "all to a non-string data type."
        )
    return tuple(columns) if are_texts == {True} else None


def _bullets(names: list[str]) -> str:
    text = "".join(f"- {name}\n" for name in names[:5])
    return text + ("- ...\n" if len(names) > 5 else "")

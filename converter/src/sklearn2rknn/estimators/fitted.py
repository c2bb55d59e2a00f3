"""What readers of estimators share: fitted attributes, checked, and the methods of an estimator."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scirknn.answers import METHODS, Responses, default_responses
from scirknn.arrays import Floats
from scirknn.steps.step import Step
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.not_fitted import NotFittedError
from sklearn2rknn.transformers.refusals import is_number


def require_fitted(estimator: Any, attribute: str) -> None:
    """Raise NotFittedError where an attribute that fit leaves is missing."""
    if not hasattr(estimator, attribute):
        raise NotFittedError(
            f"This {type(estimator).__name__} is not fitted: it has no {attribute}. Call fit(X, y) before "
            "converting."
        )


def feature_names(estimator: Any) -> tuple[str, ...] | None:
    """Return ``feature_names_in_``, None where it was fitted without names."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else tuple(str(each) for each in names)


def methods(estimator: Any, task: str, own: Mapping[str, tuple[Step, ...]] | None = None) -> Responses | None:
    """Return the methods that an estimator has, for `Network.responses`.

    Parameters
    ----------
    estimator : object
        Fitted.
    task : str
        Of the network. What its task and head determine needs no steps.
    own : mapping of str to tuple of Step, optional
        Methods with steps of their own; only those that the estimator has are taken. With an empty tuple it
        is a method that starts from the network's values.

    Returns
    -------
    mapping of str to tuple of Step, or None
        None where it has the methods of its task, without steps.
    """
    default = default_responses(task)
    possible = {**default, **(own or {})}
    taken = {name: possible[name] for name in METHODS if name in possible and hasattr(estimator, name)}
    return None if taken == default else taken


def fitted_numbers(label: str, values: Any, dimensions: int | None) -> npt.NDArray[Any]:
    """Return a fitted attribute as an array of finite floats.

    Parameters
    ----------
    label : str
        Class and attribute, for the texts.
    dimensions : int or None
        None for any number of them.

    Raises
    ------
    UnsupportedModelError
        It is something else.
    """
    if hasattr(values, "toarray"):
        raise UnsupportedModelError(
            f"{label} is a sparse matrix. Fit to X.toarray(), or call densify() where sparsify() was called."
        )
    array = np.asarray(values)
    if dimensions in (None, array.ndim) and not array.size:
        raise UnsupportedModelError(
            f"{label} is empty, of shape {array.shape}: the fit kept no component, class or row. Fit with "
            "one or more, classifiers with two classes."
        )
    if array.dtype.kind != "f" or dimensions not in (None, array.ndim):
        shape = "an array" if dimensions is None else f"a {dimensions}-D array"
        raise UnsupportedModelError(
            f"{label} is an array of {array.dtype} and shape {array.shape}, not {shape} of "
            "floats. The weights were changed after fit; fit again."
        )
    if not np.isfinite(array).all():
        raise UnsupportedModelError(
            f"{label} holds {np.count_nonzero(~np.isfinite(array))} NaN or infinite values: training "
            "diverged. Scale the features, or lower learning_rate_init, and fit again."
        )
    return array


def stored_rows(label: str, rows: Any) -> npt.NDArray[Any]:
    """Return rows of X that an estimator keeps as `fitted_numbers` does, integers too: as float64."""
    is_integer = getattr(rows, "dtype", np.dtype(object)).kind in "iub"
    return fitted_numbers(label, rows.astype(np.float64) if is_integer else rows, 2)


def finite_number(name: str, key: str, value: Any) -> float:
    """Return a parameter that is a number, or refuse it."""
    if not is_number(value) or not np.isfinite(value):
        raise UnsupportedModelError(f"{name}.{key} is {value!r:.60}; it is a number. Fit again.")
    return float(value)


def checked_numbers(estimator: Any, key: str, shape: tuple[int | None, ...]) -> Floats:
    """Return an array of finite floats of a shape, in which None stands for any length; or refuse it."""
    values = Attributes(estimator).array(key, shape, "f")
    return np.asarray(fitted_numbers(f"{type(estimator).__name__}.{key}", values, len(shape)), np.float64)


def positive_numbers(estimator: Any, key: str, shape: tuple[int | None, ...]) -> Floats:
    """Return `checked_numbers` that are all above 0, or refuse them."""
    values = checked_numbers(estimator, key, shape)
    if not (values > 0).all():
        raise UnsupportedModelError(
            f"{type(estimator).__name__}.{key} holds a number that is not above 0: a prior of 0, or a column "
            "that does not vary. Fit again without it."
        )
    return values


def class_labels(name: str, labels: Any) -> npt.NDArray[Any]:
    """Return the labels in a dtype that the metadata can hold, or refuse them."""
    array = np.asarray(labels)
    if array.ndim != 1 or not array.size:
        raise UnsupportedModelError(
            f"{name}.classes_ is {reprlib.repr(labels)[:80]}; fit leaves an array of labels. It was changed "
            "after fit, or the file is damaged: fit again."
        )
    if array.dtype.kind in "OT" and all(isinstance(label, str) for label in array.tolist()):
        # An array of strings keeps its dtype: predictions of scikit-learn have the dtype of classes_.
        return array.astype(object)
    if array.dtype.kind not in "biufU" or (array.dtype.itemsize > 8 and array.dtype.kind != "U"):
        raise UnsupportedModelError(
            f"{name}.classes_ has dtype {array.dtype}; labels can be strings, integers, floats or booleans. "
            "Fit with labels of one of these, for example y.astype(str)."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise UnsupportedModelError(f"{name}.classes_ holds NaN or infinity. Fit with finite labels.")
    return array.astype(array.dtype.newbyteorder("<"))

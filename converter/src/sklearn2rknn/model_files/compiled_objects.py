"""Objects of compiled classes, made from their records once these passed, and held to their estimators."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.preprocessing import SplineTransformer
from sklearn.utils.validation import check_array as sklearn_check_array

from sklearn2rknn.model_files.decision_trees import make_tree
from sklearn2rknn.model_files.inert import NamedStandIn, Record, Workshop
from sklearn2rknn.model_files.losses import make_loss
from sklearn2rknn.model_files.model_names import LOSSES
from sklearn2rknn.model_files.neighbor_trees import TREE_RECORDS, make_neighbor_tree
from sklearn2rknn.model_files.record_checks import damaged
from sklearn2rknn.model_files.tree_agreement import check_agreement
from sklearn2rknn.transformers.plain_splines import plain_spline


def make_compiled_objects(workshop: Workshop) -> None:
    """Replace the records among the attributes of a file's instances by real objects.

    Raises
    ------
    ModelFileError
        A record holds what its class would not write, or another size than its estimator.
    """
    made: dict[int, Any] = {}
    for instance in workshop.instances:
        attributes = vars(instance)
        for key, value in attributes.items():
            if type(value) is list and type(instance) is SplineTransformer:
                attributes[key] = [_made(each, made) for each in value]
            else:
                attributes[key] = _made(value, made)
    for instance in workshop.instances:
        check_agreement(instance)


def _made(value: Any, made: dict[int, Any]) -> Any:
    """Return the object of a record, one for each; any other value as it is."""
    make = _MAKERS.get(value.full_name) if type(value) is Record else None
    if make is None:
        return value
    if id(value) not in made:
        made[id(value)] = make(value)
    return made[id(value)]


def _make_spline(record: Record) -> Any:
    spline = plain_spline(record.state)
    if spline is None:
        raise damaged("BSpline", "it lacks ascending knots, or coefficients for each spline")
    return spline


def _make_partial(record: Record) -> Any:
    """Return the check of numbers that HistGradientBoosting keeps; any other partial stays a record."""
    state = record.state
    if type(state) is not tuple or len(state) != 4:
        return record
    function, arguments, keywords, namespace = state
    if function != NamedStandIn("sklearn.utils.validation.check_array") or arguments != () or namespace:
        return record
    flags = (
        {key: value for key, value in keywords.items() if key != "dtype"} if type(keywords) is dict else {}
    )
    if keywords != {"dtype": [np.float64], **flags} or flags not in (
        {"ensure_all_finite": False},
        {"force_all_finite": False},  # before scikit-learn 1.6
    ):
        return record
    return functools.partial(sklearn_check_array, dtype=[np.float64], ensure_all_finite=False)


_MAKERS: dict[str, Callable[[Record], Any]] = {
    "sklearn.tree._tree.Tree": make_tree,
    "functools.partial": _make_partial,
    "scipy.interpolate._bsplines.BSpline": _make_spline,
    **dict.fromkeys(TREE_RECORDS, make_neighbor_tree),
    **{f"sklearn._loss.loss.{name}": make_loss for name in LOSSES},
}

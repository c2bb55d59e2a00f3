"""Fitted estimators of trees and neighbors whose parts fit together: compiled code does not look."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from sklearn.neighbors import BallTree, KDTree
from sklearn.tree import DecisionTreeRegressor
from sklearn.tree._tree import Tree

from sklearn2rknn.model_files.decision_trees import check_predictor
from sklearn2rknn.model_files.record_checks import check_array, check_count, damaged

_MOST_FEATURES = 1 << 31
_MOST_TREES = 1 << 20


def check_agreement(instance: Any) -> None:
    """Refuse a fitted estimator whose trees, classes or training rows have other sizes than it says.

    Raises
    ------
    ModelFileError
    """
    name, attributes = type(instance).__name__, vars(instance)
    fitted, check = _CHECKS.get(name, ("", None))
    if check is not None and fitted in attributes:
        check(name, attributes)


def _features(name: str, attributes: dict[str, Any]) -> int:
    return check_count(name, "n_features_in_", attributes.get("n_features_in_"), _MOST_FEATURES)


def _check_tree(name: str, attributes: dict[str, Any]) -> None:
    tree, n_features = attributes["tree_"], _features(name, attributes)
    if type(tree) is not Tree:
        raise damaged(name, f"tree_ is {type(tree).__name__}")
    if (tree.n_features, tree.n_outputs) != (n_features, attributes.get("n_outputs_")):
        raise damaged(name, f"its tree is of {tree.n_features} features and {tree.n_outputs} outputs")


def _check_members(name: str, members: Iterable[Any], n_features: Iterable[Any]) -> None:
    """Refuse members that are no fitted trees of so many features each."""
    for member, expected in zip(members, n_features, strict=True):
        tree: Any = vars(member).get("tree_") if hasattr(member, "__dict__") else None
        if type(tree) is not Tree or tree.n_features != expected:
            raise damaged(name, f"a member is no tree of {expected} features")


def _check_forest(name: str, attributes: dict[str, Any]) -> None:
    trees = attributes["estimators_"]
    if type(trees) is not list or not trees:
        raise damaged(name, "estimators_ is no list of trees")
    _check_members(name, trees, [_features(name, attributes)] * len(trees))
    outputs = {(tree.tree_.n_outputs, tuple(tree.tree_.n_classes)) for tree in trees}
    if len(outputs) != 1 or outputs.pop()[0] != attributes.get("n_outputs_"):
        raise damaged(name, "its trees have other outputs than it has")


def _check_isolation_forest(name: str, attributes: dict[str, Any]) -> None:
    trees, subsets = attributes["estimators_"], attributes.get("estimators_features_")
    n_features = _features(name, attributes)
    if type(trees) is not list or type(subsets) is not list or not len(trees) == len(subsets) > 0:
        raise damaged(name, "estimators_ and estimators_features_ are no lists of one length")
    for subset in subsets:
        chosen = check_array(name, "estimators_features_", subset, np.dtype(np.intp), (None,))
        if not chosen.size or not 0 <= chosen.min() <= chosen.max() < n_features:
            raise damaged(name, f"a tree takes another feature than the {n_features}")
    # With all features, rows are passed as they are.
    takes_all = attributes.get("_max_features") == n_features
    _check_members(name, trees, [n_features if takes_all else len(subset) for subset in subsets])


def _check_gradient_boosting(name: str, attributes: dict[str, Any]) -> None:
    columns = check_count(
        name, "n_trees_per_iteration_", attributes.get("n_trees_per_iteration_"), _MOST_TREES
    )
    trees = check_array(name, "estimators_", attributes["estimators_"], np.dtype(object), (None, columns))
    n_features = _features(name, attributes)
    if not trees.size or not all(type(tree) is DecisionTreeRegressor for tree in trees.flat):
        raise damaged(name, "estimators_ holds none, or another than DecisionTreeRegressor")
    _check_members(name, trees.flat, [n_features] * trees.size)
    if any(tree.tree_.value.shape[1:] != (1, 1) for tree in trees.flat):
        raise damaged(name, "a tree has more than one output")
    loss: Any = attributes.get("_loss")
    first = attributes.get("init_")
    if not type(loss).__module__.startswith("sklearn._loss"):
        raise damaged(name, f"its loss is {type(loss).__name__}")
    if (loss.n_classes if loss.is_multiclass else 1) != columns:
        raise damaged(name, f"its loss is not of {columns} columns")
    if type(first) is str and first == "zero":
        return
    if type(first).__name__ not in ("DummyClassifier", "DummyRegressor"):
        raise damaged(name, f"init is {type(first).__name__}, where only None and 'zero' are read from files")
    priors = vars(first).get("class_prior_")
    if loss.is_multiclass and (type(priors) is not np.ndarray or priors.shape != (columns,)):
        raise damaged(name, f"init_ has no {columns} classes")


def _check_hist_gradient_boosting(name: str, attributes: dict[str, Any]) -> None:
    rounds, mapper = attributes["_predictors"], attributes.get("_bin_mapper")
    n_features = _features(name, attributes)
    columns = check_count(
        name, "n_trees_per_iteration_", attributes.get("n_trees_per_iteration_"), _MOST_TREES
    )
    mapping = vars(mapper) if type(mapper).__name__ == "_BinMapper" else {}
    flags = check_array(
        name, "is_categorical_", mapping.get("is_categorical_"), np.dtype(np.uint8), (n_features,)
    )
    thresholds = mapping.get("bin_thresholds_")
    if type(thresholds) is not list or len(thresholds) != n_features:
        raise damaged(name, f"bin_thresholds_ are not those of {n_features} features")
    for each in thresholds:
        check_array(name, "bin_thresholds_", each, np.dtype(np.float64), (None,))
    if type(rounds) is not list or not all(type(one) is list and len(one) == columns for one in rounds):
        raise damaged(name, f"_predictors holds no lists of {columns} trees")
    for predictor in (each for one in rounds for each in one):
        if type(predictor).__name__ != "TreePredictor":
            raise damaged(name, f"_predictors holds a {type(predictor).__name__}")
        check_predictor(vars(predictor), n_features, flags != 0)


def _check_neighbors(name: str, attributes: dict[str, Any]) -> None:
    n_features = _features(name, attributes)
    tree = attributes.get("_tree")
    rows = attributes["_fit_X"] if tree is None else tree.data if type(tree) in (KDTree, BallTree) else None
    shape: tuple[int, ...] = getattr(rows, "shape", ())
    if type(attributes["_fit_X"]) is not np.ndarray or len(shape) != 2 or shape[1] != n_features:
        raise damaged(name, f"its training rows are not of {n_features} features")
    if shape[0] != attributes.get("n_samples_fit_") or len(attributes["_fit_X"]) != shape[0]:
        raise damaged(name, f"its {shape[0]} training rows are not those that it counts")
    answers = attributes.get("_y")
    if type(answers) is not np.ndarray or len(answers) != shape[0] or answers.ndim not in (1, 2):
        raise damaged(name, f"its answers are not those of {shape[0]} training rows")
    if name == "KNeighborsClassifier":
        _check_labels(name, answers.reshape(len(answers), -1), attributes.get("classes_"))


def _check_labels(name: str, answers: Any, classes: Any) -> None:
    """Refuse places among the classes that are not there."""
    columns = classes if type(classes) is list else [classes]
    if answers.dtype != np.intp or len(columns) != answers.shape[1]:
        raise damaged(name, "its answers are no places among its classes")
    for column, labels in zip(answers.T, columns, strict=True):
        if type(labels) is not np.ndarray or not 0 <= column.min() <= column.max() < len(labels):
            raise damaged(name, "its answers are no places among its classes")


def _check_density(name: str, attributes: dict[str, Any]) -> None:
    tree = attributes["tree_"]
    if type(tree) not in (KDTree, BallTree) or tree.data.shape[1] != _features(name, attributes):
        raise damaged(name, "its tree of training rows is none of its features")


_Check = Callable[[str, dict[str, Any]], None]

_CHECKS: dict[str, tuple[str, _Check]] = {
    **dict.fromkeys(
        ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"),
        ("tree_", _check_tree),
    ),
    **dict.fromkeys(
        ("ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"),
        ("estimators_", _check_forest),
    ),
    "IsolationForest": ("estimators_", _check_isolation_forest),
    **dict.fromkeys(
        ("GradientBoostingClassifier", "GradientBoostingRegressor"),
        ("estimators_", _check_gradient_boosting),
    ),
    **dict.fromkeys(
        ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
        ("_predictors", _check_hist_gradient_boosting),
    ),
    **dict.fromkeys(("KNeighborsClassifier", "KNeighborsRegressor"), ("_fit_X", _check_neighbors)),
    "KernelDensity": ("tree_", _check_density),
}
"""For each class the attribute that fit leaves, and the check."""

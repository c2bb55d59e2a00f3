"""Fitted models of trees and neighbors."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

__all__ = ["FLOWERS", "KINDS", "MODELS", "PEOPLE", "answers", "fitted"]

FLOWERS, KINDS = load_iris(return_X_y=True)
PEOPLE, VALUES = load_diabetes(return_X_y=True)
BOTH = np.column_stack([KINDS, KINDS[::-1]])


def _categories() -> Any:
    """Return flowers whose first column is a category."""
    return np.column_stack([KINDS[::-1], FLOWERS[:, 1:]])


_SPREAD = np.arange(1, 11.0)

MODELS: dict[str, tuple[Any, Any, Any]] = {
    "tree": (DecisionTreeClassifier(max_depth=4, random_state=0), FLOWERS, KINDS),
    "tree of one node": (DecisionTreeRegressor(max_leaf_nodes=2, min_samples_leaf=400), PEOPLE, VALUES),
    "best-first tree": (DecisionTreeRegressor(max_leaf_nodes=9, random_state=0), PEOPLE, VALUES),
    "pruned tree": (DecisionTreeClassifier(ccp_alpha=0.02, random_state=0), FLOWERS, KINDS),
    "tree of two outputs": (ExtraTreeClassifier(max_depth=3, random_state=0), FLOWERS, BOTH),
    "forest": (RandomForestClassifier(3, random_state=0), FLOWERS, KINDS),
    "forest of values": (RandomForestRegressor(3, max_depth=5, random_state=0), PEOPLE, VALUES),
    "extra trees": (ExtraTreesClassifier(3, random_state=0), FLOWERS, KINDS),
    "isolation": (IsolationForest(n_estimators=3, random_state=0), FLOWERS, None),
    "isolation of some": (IsolationForest(n_estimators=3, max_features=0.5, random_state=0), FLOWERS, None),
    "boosting": (GradientBoostingClassifier(n_estimators=3, random_state=0), FLOWERS, KINDS),
    "boosting of two": (GradientBoostingClassifier(n_estimators=3, random_state=0), FLOWERS, KINDS > 0),
    "exponential boosting": (
        GradientBoostingClassifier(loss="exponential", n_estimators=2, random_state=0),
        FLOWERS,
        KINDS > 0,
    ),
    "boosting from zero": (GradientBoostingRegressor(n_estimators=3, init="zero"), PEOPLE, VALUES),
    "quantile": (GradientBoostingRegressor(loss="quantile", n_estimators=3, alpha=0.3), PEOPLE, VALUES),
    "huber": (GradientBoostingRegressor(loss="huber", n_estimators=3), PEOPLE, VALUES),
    "absolute": (GradientBoostingRegressor(loss="absolute_error", n_estimators=3), PEOPLE, VALUES),
    "histogram": (HistGradientBoostingClassifier(max_iter=3), FLOWERS, KINDS),
    "histogram of two": (HistGradientBoostingClassifier(max_iter=3), FLOWERS, KINDS > 0),
    "histogram of values": (HistGradientBoostingRegressor(max_iter=3, loss="poisson"), PEOPLE, VALUES),
    "categories": (
        HistGradientBoostingClassifier(max_iter=3, categorical_features=[0]),
        _categories(),
        KINDS,
    ),
    "neighbors": (KNeighborsClassifier(algorithm="kd_tree", leaf_size=5), FLOWERS, KINDS),
    "neighbors in balls": (KNeighborsClassifier(algorithm="ball_tree", p=1), FLOWERS, BOTH),
    "neighbors without a tree": (KNeighborsClassifier(algorithm="brute"), FLOWERS, KINDS),
    "minkowski": (KNeighborsRegressor(algorithm="kd_tree", p=3), PEOPLE, VALUES),
    "seuclidean": (
        KNeighborsRegressor(algorithm="ball_tree", metric="seuclidean", metric_params={"V": _SPREAD}),
        PEOPLE,
        VALUES,
    ),
    "mahalanobis": (
        KNeighborsRegressor(algorithm="ball_tree", metric="mahalanobis", metric_params={"VI": np.eye(10)}),
        PEOPLE,
        VALUES,
    ),
    "density": (KernelDensity(bandwidth=0.5, algorithm="ball_tree"), FLOWERS, None),
}  # fmt: skip
METHODS = ("predict", "predict_proba", "decision_function", "score_samples")


@functools.cache
def fitted(name: str) -> Any:
    model, X, y = MODELS[name]
    return model.fit(X, y)


def answers(model: Any, X: Any) -> list[Any]:
    methods = [getattr(model, method) for method in METHODS if hasattr(model, method)]
    return [method(X) for method in methods]

"""A user's files: models of every kind that are fitted in a moment, rows, and what is true of them."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import skops.io
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

Array = np.ndarray[Any, Any]

KINDS = ("perceptron", "scaled", "reduced", "searched", "scaled target", "mixed table")
WRITERS: dict[str, Callable[[Any, Path], Any]] = {
    "skops": skops.io.dump,
    "joblib": joblib.dump,
    "pkl": lambda estimator, path: path.write_bytes(pickle.dumps(estimator)),
}

_OPTIONS: dict[str, Any] = {"max_iter": 200, "random_state": 0, "alpha": 1.0}


def fitted(kind: str) -> tuple[Any, Array, Array]:
    """Return a fitted estimator with X and y."""
    perceptron = MLPClassifier((16,), **_OPTIONS)
    X, y = load_wine(return_X_y=True)
    y = np.array(["barolo", "grignolino", "barbera"])[y]
    if kind == "perceptron":
        X, estimator = StandardScaler().fit_transform(X), perceptron
    elif kind == "scaled":
        estimator = make_pipeline(StandardScaler(), perceptron)
    elif kind == "reduced":
        estimator = make_pipeline(StandardScaler(), PCA(6), perceptron)
    elif kind == "searched":
        search = GridSearchCV(perceptron, {"alpha": [1.0]}, cv=2)
        X, estimator = StandardScaler().fit_transform(X), search
    elif kind == "scaled target":
        X, y = load_diabetes(return_X_y=True)
        regressor = MLPRegressor(hidden_layer_sizes=(16,), **_OPTIONS)
        estimator = make_pipeline(
            StandardScaler(), TransformedTargetRegressor(regressor, transformer=StandardScaler())
        )
    else:
        X = _mixed_table(X)
        columns = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1, 2, 3]),
                ("colour", OneHotEncoder(), [4]),
            ]
        )
        estimator = make_pipeline(columns, perceptron)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
    return estimator, X, y


def _mixed_table(X: Array) -> Array:
    """Return four numbers, some of them missing, and a text."""
    table = np.empty((len(X), 5), dtype=object)
    table[:, :4] = X[:, :4]
    table[::7, 1] = np.nan
    table[:, 4] = np.where(X[:, 9] > 5, "deep", "pale")
    return table


def write_csv(path: Path, table: Array, header: str = "") -> Path:
    """Write rows, numbers in full and NaN as an empty cell."""

    def cell(value: Any) -> str:
        return value if isinstance(value, str) else "" if value != value else repr(float(value))

    rows = np.atleast_2d(table.T).T.tolist()
    lines = [",".join(map(cell, row)) for row in rows]
    path.write_text("\n".join([*([header] if header else []), *lines]) + "\n")
    return path

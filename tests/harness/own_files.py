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
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.datasets import load_diabetes, load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, RidgeClassifier, SGDOneClassSVM
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.neural_network import BernoulliRBM, MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.svm import SVC

Array = np.ndarray[Any, Any]

KINDS = ("perceptron", "scaled", "reduced", "searched", "scaled target", "mixed table")
FAMILIES: dict[str, Any] = {
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
    "discriminant": LinearDiscriminantAnalysis(),
    "ridge classifier": make_pipeline(StandardScaler(), RidgeClassifier()),
    "least squares": PLSRegression(3),
    "poisson": PoissonRegressor(),
    "outliers": make_pipeline(StandardScaler(), SGDOneClassSVM(random_state=0)),
    "components": make_pipeline(StandardScaler(), PCA(5)),
    "hidden units": make_pipeline(MinMaxScaler(), BernoulliRBM(6, n_iter=3, random_state=0)),
    "constant": DummyClassifier(),
    "support vectors": make_pipeline(StandardScaler(), SVC()),
    "density": make_pipeline(StandardScaler(), KernelDensity(bandwidth=2.0)),
}
"""Models of other families than perceptrons, each with steps or methods that those have not."""

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


def fitted_family(kind: str) -> tuple[Any, Array, Array | None]:
    """Return one of `FAMILIES`, fitted, with X and what is true of its rows."""
    estimator = clone(FAMILIES[kind])
    X, y = (
        load_diabetes(return_X_y=True) if kind in ("poisson", "least squares") else load_wine(return_X_y=True)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(X, y)
    if kind == "outliers":
        return estimator, X, estimator.predict(X)
    return estimator, X, y if hasattr(estimator, "predict") else None


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

"""The fitted estimator of a family's specification, and its rows."""

from __future__ import annotations

import warnings
from typing import Any

import attrs
import numpy as np
from sklearn import datasets
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from rknn_harness.models.family import find_kind
from rknn_harness.models.held_out import split
from rknn_harness.models.kind import Columns, Kind, Target
from rknn_harness.records.specs.family_spec import FamilySpec
from scirknn.arrays import Array, Floats

_CATEGORIES = 6
_NUMBERS = 3
"""Columns of a target of several numbers or labels."""

_UNKNOWN = -1
"""The label of a row that scikit-learn takes for one without."""


@attrs.frozen(eq=False)
class FamilyModel:
    """A fitted estimator and rows.

    Attributes
    ----------
    estimator : object
    fitted : numpy.ndarray, shape (n, n_features)
        The rows that it was fitted to.
    X : numpy.ndarray, shape (n, n_features)
        Rows to predict: others of the same distribution, or of the data set.
    """

    estimator: Any
    fitted: Floats
    X: Floats

    @property
    def rows(self) -> Floats:
        """All of them, those that it was fitted to first."""
        return np.concatenate([self.fitted, self.X])


def build_family_model(spec: FamilySpec) -> FamilyModel:
    """Fit the estimator that a spec describes; equal specs give equal models.

    Raises
    ------
    HarnessError
        There is no such kind.
    """
    chosen = find_kind(spec)
    fitted, y, X = _drawn(spec, chosen) if spec.data == "drawn" else _of_data_set(spec)
    estimator = chosen.make(**dict(spec.parameters))
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # of fits that have not converged, which are models too
        estimator = estimator.fit(fitted, *([] if chosen.target is Target.NONE else [y]))
    return FamilyModel(estimator, fitted, X)


def _of_data_set(spec: FamilySpec) -> tuple[Floats, Array, Floats]:
    X, y = getattr(datasets, f"load_{spec.data}")(return_X_y=True)
    X = np.ascontiguousarray(X * _scales(spec, X.shape[1]))
    kept, others = split(np.arange(len(X)))
    return X[kept], y[kept], X[others]


def _drawn(spec: FamilySpec, chosen: Kind) -> tuple[Floats, Array, Floats]:
    random = np.random.default_rng([spec.seed, 1])
    counts = spec.fitted_rows, spec.rows
    clusters = np.concatenate([random.permutation(np.arange(each) % spec.n_classes) for each in counts])
    centres = 1.5 * random.standard_normal((spec.n_classes, spec.n_features))
    numbers = centres[clusters] + random.standard_normal((len(clusters), spec.n_features))
    y = _target(spec, chosen.target, clusters, numbers, random)
    X = _columns(spec, chosen.columns, numbers)
    return X[: spec.fitted_rows], y[: spec.fitted_rows], X[spec.fitted_rows :]


def _columns(spec: FamilySpec, columns: Columns, numbers: Floats) -> Floats:
    if columns is Columns.COUNTS:
        return np.asarray(np.floor(3 * np.abs(numbers)))
    if columns is Columns.CATEGORIES:
        return np.asarray(np.clip(np.floor(numbers + _CATEGORIES / 2), 0, _CATEGORIES - 1))
    if columns is Columns.SHARES:
        return np.asarray(1 / (1 + np.exp(-numbers)))
    X = numbers.copy()
    if columns is Columns.GAPS:
        X[np.random.default_rng([spec.seed, 3]).random(X.shape) < 0.1] = np.nan
        X[0] = numbers[0]  # no column is empty
    if spec.oddity == "constant column" and spec.n_features > 1:
        X[:, -1] = 3.0
    elif spec.oddity == "twin columns":
        X[:, min(1, spec.n_features - 1)] = X[:, 0]
    elif spec.oddity == "far from 0":
        X[:, ::3] += 20.0
    return np.ascontiguousarray(X * _scales(spec, spec.n_features))


def _scales(spec: FamilySpec, n_features: int) -> Floats:
    random = np.random.default_rng([spec.seed, 2])
    return np.asarray(10.0 ** random.integers(0, spec.decades + 1, n_features), np.float64)


def _target(
    spec: FamilySpec, target: Target, clusters: Array, numbers: Floats, random: np.random.Generator
) -> Array:
    if target is Target.TWO_CLASSES:
        clusters = clusters % 2
    if target is Target.SOME_CLASSES:
        return np.where(random.random(len(clusters)) < 0.3, _UNKNOWN, clusters)
    if target in (Target.CLASSES, Target.TWO_CLASSES, Target.NONE):
        if spec.labels == "string":
            return np.asarray([f"class {each}" for each in range(spec.n_classes)])[clusters]
        return np.asarray(10 * clusters - 5)
    weights = random.standard_normal((spec.n_features, _NUMBERS)) / spec.n_features**0.5
    values = numbers @ weights + 0.3 * np.sin(2 * numbers[:, :1])
    values += 0.1 * random.standard_normal(values.shape)
    if target is Target.LABELS:
        return np.asarray((values > 0).astype(int))
    if target is Target.POSITIVE:
        return np.asarray(np.exp(0.3 * values[:, 0]))
    values *= 10.0**spec.target_decades
    return np.asarray(values if target is Target.NUMBERS else values[:, 0])

"""Nearest rows of those that were fitted."""

from __future__ import annotations

import functools

from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)

from rknn_harness.models.kind import Target, fixed, kind, scaled

_RADII = (2.0, 6.0)
_COUNTS, _WEIGHTS = (1, 3, 5, 10), ("uniform", "distance")

KINDS = (
    kind(KNeighborsClassifier, Target.CLASSES, n_neighbors=_COUNTS, weights=_WEIGHTS),
    kind(KNeighborsRegressor, Target.NUMBER, n_neighbors=_COUNTS, weights=_WEIGHTS),
    kind(KNeighborsRegressor, Target.NUMBERS, name="KNeighborsRegressor of several", n_neighbors=_COUNTS),
    kind(
        functools.partial(LocalOutlierFactor, novelty=True),
        Target.NONE,
        name="LocalOutlierFactor",
        n_neighbors=(5, 20),
    ),
    # By brute force scikit-learn's distance from a row to itself is a rounding.
    kind(NearestNeighbors, Target.NONE, n_neighbors=_COUNTS, algorithm=("kd_tree",)),
    kind(
        scaled(RadiusNeighborsClassifier, outlier_label="most_frequent"),
        Target.CLASSES,
        radius=_RADII,
        weights=_WEIGHTS,
    ),
    kind(scaled(RadiusNeighborsRegressor), Target.NUMBER, radius=_RADII, weights=_WEIGHTS),
)

FIXED = (
    fixed("KNeighborsClassifier", "wine", decades=5, n_neighbors=3),
    fixed("KNeighborsClassifier", "digits", n_neighbors=5),
    fixed("KNeighborsRegressor", "diabetes", n_neighbors=5, weights="distance"),
    fixed("NearestNeighbors", "breast_cancer", n_neighbors=5, algorithm="kd_tree"),
)

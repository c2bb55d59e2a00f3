"""Nearest rows of those that were fitted."""

from __future__ import annotations

import functools

from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, LocalOutlierFactor

from rknn_harness.models.kind import Target, fixed, kind

__all__ = ["FIXED", "KINDS"]

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
)

FIXED = (
    fixed("KNeighborsClassifier", "wine", decades=5, n_neighbors=3),
    fixed("KNeighborsClassifier", "digits", n_neighbors=5),
    fixed("KNeighborsRegressor", "diabetes", n_neighbors=5, weights="distance"),
)

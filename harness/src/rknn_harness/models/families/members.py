"""Models made of others, or of another one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rknn_harness.models.kind import Target, fixed, kind

LAYERS: dict[str, Any] = {"hidden_layer_sizes": (8,), "max_iter": 30, "random_state": 0}
"""Parameters of a small perceptron."""

CLASSIFIERS = {
    "linear": LogisticRegression(max_iter=50),
    "scores": LinearSVC(random_state=0),
    "squares": GaussianNB(),
    "kernel": SVC(),
    "layers": make_pipeline(StandardScaler(), MLPClassifier(**LAYERS)),
    "tree": DecisionTreeClassifier(max_depth=4, random_state=0),
    "near": KNeighborsClassifier(),
}
REGRESSORS = {
    "linear": Ridge(),
    "kernel": SVR(),
    "layers": make_pipeline(StandardScaler(), MLPRegressor(**LAYERS)),
    "tree": DecisionTreeRegressor(max_depth=4, random_state=0),
    "near": KNeighborsRegressor(),
}


def of_one(make: Callable[..., Any], members: dict[str, Any], **fixed_parameters: Any) -> Callable[..., Any]:
    """Return what makes a model of one other, which its parameter ``member`` names."""

    @functools.wraps(make, updated=())
    def make_of_one(member: str, **parameters: Any) -> Any:
        return make(clone(members[member]), **fixed_parameters, **parameters)

    return make_of_one


def _of_several(make: Callable[..., Any], table: dict[str, Any], **fixed_parameters: Any) -> Any:
    @functools.wraps(make, updated=())
    def make_of_several(members: str, **parameters: Any) -> Any:
        named = [(name, clone(table[name])) for name in members.split()]
        return make(named, **fixed_parameters, **parameters)

    return make_of_several


@attrs.frozen
class _Freezing:
    """What is fitted before it is frozen."""

    estimator: Any

    def fit(self, X: Any, y: Any) -> FrozenEstimator:
        return FrozenEstimator(self.estimator.fit(X, y))


@attrs.frozen
class _Calibration:
    """What is calibrated; with a temperature its classes are 0, 1 and so on."""

    estimator: Any
    method: str

    def fit(self, X: Any, y: Any) -> CalibratedClassifierCV:
        # scikit-learn 1.9 takes labels for places (_fit_calibrator): it reads out of bounds, or refuses.
        labels = np.unique(y, return_inverse=True)[1] if self.method == "temperature" else y
        return CalibratedClassifierCV(self.estimator, method=self.method, cv=2).fit(X, labels)


_WITH_CHANCES = ("linear", "squares", "layers", "tree")
_SEVERAL = ("linear tree", "squares linear", "layers linear tree", "near linear", "layers near")

KINDS = (
    kind(
        of_one(_Calibration, CLASSIFIERS),
        Target.CLASSES,
        name="CalibratedClassifierCV",
        member=("scores", *_WITH_CHANCES, "kernel"),
        method=("sigmoid", "isotonic", "temperature"),
    ),
    kind(
        _of_several(VotingClassifier, CLASSIFIERS),
        Target.CLASSES,
        members=_SEVERAL,
        voting=("soft", "hard"),
    ),
    kind(
        _of_several(VotingRegressor, REGRESSORS),
        Target.NUMBER,
        members=("linear tree", "kernel linear", "near linear"),
    ),
    kind(
        of_one(BaggingClassifier, CLASSIFIERS, random_state=0),
        Target.CLASSES,
        member=("tree", "layers", "linear", "squares"),
        n_estimators=(3, 10),
        max_features=(1.0, 0.6),
    ),
    kind(
        of_one(BaggingRegressor, REGRESSORS, random_state=0),
        Target.NUMBER,
        member=("tree", "layers", "linear", "kernel"),
        n_estimators=(3, 10),
        max_features=(1.0, 0.6),
    ),
    kind(
        _of_several(StackingClassifier, CLASSIFIERS, final_estimator=LogisticRegression(), cv=2),
        Target.CLASSES,
        members=_SEVERAL,
        passthrough=(False, True),
    ),
    kind(
        _of_several(StackingRegressor, REGRESSORS, final_estimator=Ridge(), cv=2),
        Target.NUMBER,
        members=("linear tree", "layers tree", "linear kernel", "layers near"),
        passthrough=(False, True),
    ),
    kind(
        of_one(AdaBoostClassifier, CLASSIFIERS, random_state=0),
        Target.CLASSES,
        name="AdaBoostClassifier of members",
        member=("tree", "linear", "squares"),
        n_estimators=(2, 5),
    ),
    kind(
        of_one(AdaBoostRegressor, REGRESSORS, random_state=0),
        Target.NUMBER,
        member=("tree", "linear", "kernel"),
        n_estimators=(2, 5),
    ),
    kind(
        of_one(FixedThresholdClassifier, CLASSIFIERS),
        Target.TWO_CLASSES,
        member=_WITH_CHANCES,
        threshold=(0.3, 0.7),
    ),
    kind(
        of_one(TunedThresholdClassifierCV, CLASSIFIERS, cv=2, random_state=0),
        Target.TWO_CLASSES,
        member=("scores", *_WITH_CHANCES),
    ),
    kind(of_one(SelfTrainingClassifier, CLASSIFIERS), Target.SOME_CLASSES, member=_WITH_CHANCES),
    kind(of_one(_Freezing, CLASSIFIERS), Target.CLASSES, name="FrozenEstimator", member=("linear", "kernel")),
)

FIXED = (
    fixed("VotingClassifier", "wine", decades=5, members="layers linear tree", voting="soft"),
    fixed("CalibratedClassifierCV", "digits", member="scores", method="sigmoid"),
    fixed("CalibratedClassifierCV", "wine", decades=5, member="linear", method="isotonic"),
    fixed("BaggingRegressor", "diabetes", member="layers", n_estimators=3, max_features=0.6),
    fixed("StackingClassifier", "breast_cancer", members="squares linear", passthrough=True),
)

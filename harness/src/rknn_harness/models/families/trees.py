"""Trees and what is made of them: the host walks them."""

from __future__ import annotations

from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rknn_harness.models.kind import Target, fixed, kind

_DEPTHS = (1, 4, None)

KINDS = (
    kind(DecisionTreeClassifier, Target.CLASSES, max_depth=_DEPTHS, random_state=(0,)),
    kind(DecisionTreeRegressor, Target.NUMBER, max_depth=_DEPTHS, random_state=(0,)),
    kind(RandomForestClassifier, Target.CLASSES, n_estimators=(1, 10), max_depth=_DEPTHS, random_state=(0,)),
    kind(RandomForestRegressor, Target.NUMBER, n_estimators=(1, 10), max_depth=_DEPTHS, random_state=(0,)),
    kind(ExtraTreesClassifier, Target.CLASSES, n_estimators=(1, 10), max_depth=_DEPTHS, random_state=(0,)),
    kind(GradientBoostingClassifier, Target.CLASSES, n_estimators=(1, 10), random_state=(0,)),
    kind(GradientBoostingRegressor, Target.NUMBER, n_estimators=(1, 10), random_state=(0,)),
    kind(HistGradientBoostingClassifier, Target.CLASSES, max_iter=(1, 10), random_state=(0,)),
    kind(HistGradientBoostingRegressor, Target.NUMBER, max_iter=(1, 10), random_state=(0,)),
    kind(IsolationForest, Target.NONE, n_estimators=(3, 20), random_state=(0,)),
    kind(AdaBoostClassifier, Target.CLASSES, n_estimators=(1, 10), random_state=(0,)),
)

FIXED = (
    fixed("DecisionTreeClassifier", "breast_cancer", decades=5, random_state=0),
    fixed("RandomForestClassifier", "digits", n_estimators=10, random_state=0),
    fixed("GradientBoostingRegressor", "diabetes", n_estimators=20, random_state=0),
)

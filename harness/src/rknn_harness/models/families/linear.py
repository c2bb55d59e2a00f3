"""Linear models: one dense layer."""

from __future__ import annotations

from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    MultiTaskLasso,
    PoissonRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDOneClassSVM,
    TweedieRegressor,
)
from sklearn.svm import LinearSVC, LinearSVR

from rknn_harness.models.kind import Target, fixed, kind

_STRENGTHS = (1e-2, 1.0, 100.0)

KINDS = (
    kind(LinearRegression, Target.NUMBER),
    kind(LinearRegression, Target.NUMBERS, name="LinearRegression of several"),
    kind(Ridge, Target.NUMBER, alpha=_STRENGTHS, fit_intercept=(True, False)),
    kind(Lasso, Target.NUMBER, alpha=(1e-3, 0.1)),
    kind(ElasticNet, Target.NUMBER, alpha=(1e-3, 0.1)),
    kind(MultiTaskLasso, Target.NUMBERS, alpha=(1e-3, 0.1)),
    kind(BayesianRidge, Target.NUMBER),
    kind(HuberRegressor, Target.NUMBER),
    kind(RANSACRegressor, Target.NUMBER, random_state=(0,)),
    kind(LinearSVR, Target.NUMBER, C=_STRENGTHS, random_state=(0,)),
    kind(PoissonRegressor, Target.POSITIVE, alpha=_STRENGTHS),
    kind(GammaRegressor, Target.POSITIVE, alpha=_STRENGTHS),
    kind(TweedieRegressor, Target.POSITIVE, power=(0, 1, 1.5, 2, 3), alpha=_STRENGTHS, link=("log",)),
    kind(PLSRegression, Target.NUMBERS, features=(2, 33), n_components=(1, 2)),
    kind(PLSCanonical, Target.NUMBERS, features=(2, 33), n_components=(1, 2)),
    kind(CCA, Target.NUMBERS, features=(2, 33), n_components=(1, 2)),
    kind(LogisticRegression, Target.CLASSES, C=_STRENGTHS),
    kind(RidgeClassifier, Target.CLASSES, alpha=_STRENGTHS),
    kind(LinearSVC, Target.CLASSES, C=(1e-2, 1.0), random_state=(0,)),
    kind(SGDClassifier, Target.CLASSES, loss=("hinge", "log_loss", "modified_huber"), random_state=(0,)),
    kind(LinearDiscriminantAnalysis, Target.CLASSES, solver=("svd", "lsqr")),
    kind(SGDOneClassSVM, Target.NONE, nu=(0.1, 0.5), random_state=(0,)),
    kind(DummyClassifier, Target.CLASSES, strategy=("prior", "most_frequent")),
    kind(DummyRegressor, Target.NUMBER, strategy=("mean", "median")),
)

FIXED = (
    fixed("LogisticRegression", "wine", decades=5),
    fixed("Ridge", "diabetes"),
    fixed("LinearSVC", "digits", random_state=0),
    fixed("LinearDiscriminantAnalysis", "breast_cancer", decades=5),
)

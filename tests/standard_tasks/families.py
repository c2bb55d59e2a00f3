"""Kinds of model across all families: each fitted to a data set, with what its answers are held to."""

from __future__ import annotations

import warnings
from typing import Any

import attrs
import numpy as np
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import (
    AffinityPropagation,
    Birch,
    BisectingKMeans,
    FeatureAgglomeration,
    KMeans,
    MeanShift,
    MiniBatchKMeans,
)
from sklearn.compose import TransformedTargetRegressor
from sklearn.covariance import EllipticEnvelope
from sklearn.cross_decomposition import CCA, PLSSVD, PLSRegression
from sklearn.decomposition import (
    PCA,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    KernelPCA,
    SparsePCA,
    TruncatedSVD,
)
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.impute import KNNImputer
from sklearn.kernel_approximation import AdditiveChi2Sampler, Nystroem, RBFSampler, SkewedChi2Sampler
from sklearn.kernel_ridge import KernelRidge
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
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDOneClassSVM,
)
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import (
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    NearestNeighbors,
    NeighborhoodComponentsAnalysis,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.neural_network import BernoulliRBM, MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.random_projection import GaussianRandomProjection
from sklearn.semi_supervised import LabelPropagation, LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from rknn_harness.models.held_out import split
from scirknn.arrays import Array, Floats
from tests.converter.estimators.families.emulation import load

__all__ = ["TASKS", "Fitted", "Task"]


@attrs.frozen(eq=False)
class Task:
    """A model, its data, and its limits.

    Attributes
    ----------
    data : str
        A data set of scikit-learn, ``"bad"`` behind it for columns of very different sizes and places;
        ``"digits on"`` has 0 or 1; ``"two"`` has two numbers to predict, ``"labels"`` two labels, ``"gaps"``
        missing numbers; or a generator.
    model : object
        Not fitted.
    probability : float
        Largest error of a probability.
    r2 : float
        Least R2 of numbers against scikit-learn's, the worst column.
    exact : float or None
        Where the host computes the answers in float64, the largest error of numbers, as a share of the
        largest; every label is the same then.
    """

    data: str
    model: Any
    probability: float = 2e-3
    r2: float = 0.9999
    exact: float | None = None

    @property
    def name(self) -> str:
        """The model's class and the data."""
        steps = [each for _, each in getattr(self.model, "steps", [("", self.model)])]
        named = [type(each).__name__ for each in steps if not isinstance(each, StandardScaler)]
        inside = getattr(self.model, "estimator", None) or getattr(self.model, "regressor", None)
        own = getattr(self.model, "method", None) or getattr(self.model, "voting", None)
        of = [f"of {type(inside).__name__}"] if inside is not None else []
        return " ".join([*named, *of, *([own] if isinstance(own, str) else []), self.data])

    def fitted(self) -> Fitted:
        """Fit the model to half of the rows."""
        X, y = _rows(self.data)
        kept, others = split(np.arange(len(X)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Fitted(self.model.fit(X[kept], y[kept]), X[kept], X[others], y[others])


@attrs.frozen(eq=False)
class Fitted:
    """A model, the rows that it was fitted to, and others with their targets."""

    model: Any
    example: Floats
    X: Floats
    y: Array


def _rows(name: str) -> tuple[Floats, Array]:
    if name == "friedman":
        return datasets.make_friedman1(600, noise=0.5, random_state=0)  # type: ignore[no-any-return]
    if name == "moons":
        return datasets.make_moons(500, noise=0.2, random_state=0)  # type: ignore[no-any-return]
    if name == "classification":
        return datasets.make_classification(  # type: ignore[no-any-return]
            500, 20, n_informative=8, n_classes=4, random_state=0
        )
    plain, _, kind = name.partition(" ")
    X, y = load(name if kind == "bad" else plain)
    X, y = X[:900], y[:900]
    if kind == "on":
        X = (X > 8).astype(np.float64)
    if kind == "shares":
        X = X / X.max()
    if kind == "gaps":
        X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    if kind == "labels":
        y = np.stack([y > np.median(y), X[:, 2] > np.median(X[:, 2])], axis=1).astype(int)
    if kind == "two":
        y = np.stack([y, X[:, 2] + y / y.max()], axis=1)
    return X, y


def _scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


_SEED: dict[str, Any] = {"random_state": 0}

_MEMBERS = [
    ("linear", _scaled(LogisticRegression())),
    ("layers", _scaled(MLPClassifier((16,), max_iter=60, **_SEED))),
    ("trees", RandomForestClassifier(10, **_SEED)),
]
_REGRESSORS = [("linear", Ridge()), ("trees", RandomForestRegressor(10, **_SEED)), ("kernel", SVR(C=100.0))]

TASKS = (
    # linear
    Task("diabetes", LinearRegression()),
    Task("diabetes bad", Ridge(1e-6)),
    Task("diabetes", Lasso(0.1)),
    Task("friedman", ElasticNet(0.01)),
    Task("diabetes two", MultiTaskLasso(0.01)),
    Task("diabetes", BayesianRidge()),
    Task("diabetes", HuberRegressor(max_iter=1000)),
    Task("diabetes", QuantileRegressor(alpha=0.0)),
    Task("diabetes", RANSACRegressor(**_SEED)),
    Task("friedman", LinearSVR(**_SEED)),
    Task("diabetes", PoissonRegressor()),
    Task("diabetes", GammaRegressor()),
    Task("diabetes two", PLSRegression(2)),
    Task("diabetes two", CCA(1)),
    Task("wine bad", LogisticRegression(max_iter=300)),
    Task("digits", GridSearchCV(LogisticRegression(max_iter=300), {"C": [0.01, 1.0]}, cv=2)),
    Task("breast_cancer bad", _scaled(RidgeClassifier())),
    Task("digits", LinearSVC(**_SEED)),
    Task("breast_cancer", _scaled(SGDClassifier(loss="log_loss", **_SEED))),
    Task("wine bad", LinearDiscriminantAnalysis()),
    Task("breast_cancer", _scaled(SGDOneClassSVM(**_SEED))),
    Task("wine", DummyClassifier(strategy="prior")),
    Task("diabetes", DummyRegressor()),
    # dense layers
    Task("digits", _scaled(MLPClassifier((32,), max_iter=60, **_SEED))),
    Task("friedman", _scaled(MLPRegressor(hidden_layer_sizes=(32,), max_iter=300, **_SEED))),
    # naive Bayes
    Task("digits", MultinomialNB()),
    Task("digits", ComplementNB()),
    Task("digits", BernoulliNB(binarize=8.0)),
    Task("digits on", CategoricalNB(min_categories=2)),
    Task("wine bad", GaussianNB()),
    # quadratic forms
    Task("wine bad", QuadraticDiscriminantAnalysis()),
    Task("breast_cancer bad", GaussianMixture(4, **_SEED)),
    Task("wine", BayesianGaussianMixture(n_components=3, **_SEED)),
    Task("breast_cancer", EllipticEnvelope(**_SEED)),
    # nearest centres
    Task("digits", KMeans(10, n_init=1, **_SEED)),
    Task("wine bad", MiniBatchKMeans(5, n_init=1, **_SEED)),
    Task("digits", BisectingKMeans(8, **_SEED)),
    Task("breast_cancer", Birch(n_clusters=4)),
    Task("wine", MeanShift()),
    Task("wine", AffinityPropagation(**_SEED)),
    Task("wine bad", NearestCentroid()),
    # nearest rows
    Task("digits", KNeighborsClassifier(), exact=1e-12),
    # scikit-learn expands the squares, which are up to 345,000 times a squared distance here: times 2^-49.
    Task("breast_cancer bad", KNeighborsClassifier(3, weights="distance"), exact=1e-9),
    Task("diabetes", KNeighborsRegressor(), exact=1e-12),
    Task("friedman", LocalOutlierFactor(novelty=True), exact=1e-12),
    # kernels
    Task("wine bad", _scaled(SVC())),
    # A vote of a pair near its border moves a decision value by 1.
    Task("digits", SVC(kernel="poly"), r2=0.998),
    Task("moons", NuSVC(nu=0.2)),
    Task("diabetes", SVR(C=100.0)),
    Task("friedman", _scaled(NuSVR())),
    Task("breast_cancer bad", _scaled(OneClassSVM(nu=0.1))),
    Task("diabetes", _scaled(KernelRidge(kernel="rbf"))),
    Task("friedman", GaussianProcessRegressor(RBF(1.0) + WhiteKernel(0.1), optimizer=None, normalize_y=True)),
    Task("wine", _scaled(KernelDensity(bandwidth=2.0))),
    Task("digits shares", LabelPropagation(gamma=1.0)),
    Task("wine", _scaled(LabelSpreading(gamma=0.1))),
    Task("wine", _scaled(KernelPCA(3, kernel="rbf"))),
    Task("digits shares", Nystroem(n_components=50, **_SEED)),
    Task("wine", _scaled(RBFSampler(n_components=100, **_SEED))),
    Task("digits shares", SkewedChi2Sampler(n_components=50, **_SEED)),
    # projections
    Task("digits", PCA(8, whiten=True)),
    Task("wine bad", IncrementalPCA(3)),
    Task("digits", TruncatedSVD(8, **_SEED)),
    Task("digits", FactorAnalysis(5)),
    Task("breast_cancer", _scaled(FastICA(4, **_SEED))),
    Task("wine", _scaled(SparsePCA(3, **_SEED))),
    Task("digits", GaussianRandomProjection(20, **_SEED)),
    Task("wine bad", _scaled(NeighborhoodComponentsAnalysis(2, max_iter=20, **_SEED))),
    Task("digits", FeatureAgglomeration(10)),
    Task("diabetes two", PLSSVD(2)),
    Task("digits shares", BernoulliRBM(16, n_iter=3, **_SEED)),
    # trees
    Task("digits", DecisionTreeClassifier(**_SEED), exact=1e-12),
    Task("diabetes bad", DecisionTreeRegressor(**_SEED), exact=1e-12),
    Task("digits", RandomForestClassifier(20, **_SEED), exact=1e-12),
    Task("diabetes", RandomForestRegressor(20, **_SEED), exact=1e-12),
    Task("friedman", ExtraTreesRegressor(20, **_SEED), exact=1e-12),
    Task("wine", GradientBoostingClassifier(n_estimators=10, **_SEED), exact=1e-12),
    Task("diabetes", GradientBoostingRegressor(n_estimators=20, **_SEED), exact=1e-12),
    Task("breast_cancer", HistGradientBoostingClassifier(max_iter=20), exact=1e-12),
    Task("diabetes bad", HistGradientBoostingRegressor(max_iter=20), exact=1e-12),
    Task("breast_cancer bad", IsolationForest(n_estimators=20, **_SEED), exact=1e-12),
    Task("wine", AdaBoostClassifier(n_estimators=10, **_SEED), exact=1e-12),
    # members
    Task("wine", CalibratedClassifierCV(LinearSVC(**_SEED), cv=3)),
    Task(
        "breast_cancer", CalibratedClassifierCV(LinearSVC(**_SEED), method="isotonic", cv=3), probability=5e-3
    ),
    Task("digits", CalibratedClassifierCV(LinearSVC(**_SEED), method="temperature", cv=2)),
    Task("wine bad", VotingClassifier(_MEMBERS, voting="soft")),
    Task("breast_cancer", VotingClassifier(_MEMBERS)),
    Task("diabetes", VotingRegressor(_REGRESSORS)),
    Task("digits", BaggingClassifier(DecisionTreeClassifier(), 10, **_SEED), exact=1e-12),
    Task("wine bad", BaggingClassifier(_scaled(LogisticRegression()), 5, max_features=0.6, **_SEED)),
    Task("diabetes", BaggingRegressor(Ridge(), 5, **_SEED)),
    Task("breast_cancer", StackingClassifier(_MEMBERS, LogisticRegression(), cv=2)),
    Task("diabetes", StackingRegressor(_REGRESSORS, Ridge(), cv=2, passthrough=True)),
    Task("wine", AdaBoostClassifier(LogisticRegression(), n_estimators=4)),
    Task("diabetes", AdaBoostRegressor(Ridge(), n_estimators=4, **_SEED)),
    Task("breast_cancer bad", FixedThresholdClassifier(_scaled(LogisticRegression()), threshold=0.3)),
    Task("breast_cancer", TunedThresholdClassifierCV(GaussianNB(), cv=2)),
    Task("digits", SelfTrainingClassifier(_scaled(LogisticRegression()))),
    # one for each class, pair or target
    Task("digits", OneVsRestClassifier(LogisticRegression())),
    Task("wine", OneVsRestClassifier(_scaled(SVC()))),
    Task("digits", OneVsOneClassifier(LinearSVC(**_SEED)), r2=0.998),  # votes, as those of SVC
    Task("wine", OutputCodeClassifier(GaussianNB(), code_size=3, **_SEED)),
    Task("diabetes labels", MultiOutputClassifier(LogisticRegression())),
    Task("diabetes two", MultiOutputRegressor(SVR(C=100.0))),
    Task("diabetes labels", ClassifierChain(LogisticRegression())),
    Task("diabetes two", RegressorChain(Ridge())),
    # steps in front
    Task("diabetes", make_pipeline(PolynomialFeatures(2), StandardScaler(), Ridge())),
    Task("wine bad", make_pipeline(PowerTransformer(), LogisticRegression())),
    Task("breast_cancer", make_pipeline(QuantileTransformer(n_quantiles=50, **_SEED), SVC())),
    Task("friedman", make_pipeline(KBinsDiscretizer(5, encode="ordinal"), StandardScaler(), Ridge())),
    Task("friedman", make_pipeline(SplineTransformer(), Ridge())),
    Task("digits", make_pipeline(Normalizer(), LogisticRegression())),
    Task("digits", make_pipeline(Binarizer(threshold=8.0), MLPClassifier((16,), max_iter=60, **_SEED))),
    Task("wine", make_pipeline(FunctionTransformer(np.log1p), StandardScaler(), LogisticRegression())),
    Task("digits on", make_pipeline(TargetEncoder(**_SEED), LogisticRegression())),
    Task("digits", make_pipeline(AdditiveChi2Sampler(), LogisticRegression())),
    Task("wine gaps", make_pipeline(KNNImputer(), StandardScaler(), LogisticRegression())),
    # transformed targets
    Task("diabetes", TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)),
    Task("diabetes", TransformedTargetRegressor(SVR(), transformer=PowerTransformer())),
    Task(
        "diabetes", TransformedTargetRegressor(Lasso(0.1), transformer=QuantileTransformer(n_quantiles=100))
    ),
    # nearest rows and radii
    Task("digits", NearestNeighbors(n_neighbors=5), exact=1e-12),
    Task("wine", _scaled(RadiusNeighborsClassifier(4.0, outlier_label="most_frequent")), exact=1e-12),
    Task("diabetes", RadiusNeighborsRegressor(0.3), exact=1e-12),
)

"""Models of every family are read from files without running them, and predict as they did."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
import skops.io
from sklearn import linear_model as lm
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import AffinityPropagation, Birch, BisectingKMeans, KMeans, MeanShift
from sklearn.covariance import EllipticEnvelope
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import FactorAnalysis, FastICA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as gp
from sklearn.kernel_approximation import Nystroem, RBFSampler, SkewedChi2Sampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB
from sklearn.neighbors import (
    KernelDensity,
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestCentroid,
    NearestNeighbors,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.neural_network import BernoulliRBM
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.svm import SVC, LinearSVC, NuSVR, OneClassSVM

from scirknn.answers import ask, main_method
from sklearn2rknn import ModelFileError, network_from_estimator
from sklearn2rknn.estimators.model_file import load_model
from tests.converter.estimators.families.emulation import load

MODELS = {
    "AdaBoostRegressor": AdaBoostRegressor(n_estimators=3, random_state=0),
    "AffinityPropagation": AffinityPropagation(random_state=0),
    "BisectingKMeans": BisectingKMeans(5, random_state=0),
    "BayesianGaussianMixture": BayesianGaussianMixture(n_components=2, random_state=0),
    "BaggingClassifier": BaggingClassifier(lm.LogisticRegression(max_iter=5), 3, random_state=0),
    "BaggingRegressor": BaggingRegressor(n_estimators=3, random_state=0),
    "BernoulliNB": BernoulliNB(binarize=0.5),
    "BernoulliRBM": BernoulliRBM(3, n_iter=2, random_state=0),
    **{
        f"CalibratedClassifierCV {method}": CalibratedClassifierCV(LinearSVC(), method=method, cv=2)
        for method in ("isotonic", "sigmoid", "temperature")
    },
    "CategoricalNB": CategoricalNB(),
    "ComplementNB": ComplementNB(),
    "DummyClassifier": DummyClassifier(),
    "EllipticEnvelope": EllipticEnvelope(random_state=0),
    "FactorAnalysis": FactorAnalysis(2),
    "FastICA": FastICA(2, random_state=0),
    "FixedThresholdClassifier": FixedThresholdClassifier(lm.LogisticRegression(max_iter=5)),
    "FrozenEstimator": FrozenEstimator(lm.Ridge()),
    "GammaRegressor": lm.GammaRegressor(),
    "GaussianMixture": GaussianMixture(2, random_state=0),
    "GaussianNB": GaussianNB(),
    "GaussianProcessRegressor": GaussianProcessRegressor(
        (2.0 * gp.RBF(3.0)) ** 2
        + gp.Matern(3.0)
        + gp.RationalQuadratic()
        + gp.DotProduct()
        + gp.WhiteKernel(),
        optimizer=None,
    ),
    "KernelDensity": KernelDensity(),
    "KernelPCA": KernelPCA(3, kernel="rbf"),
    "KernelRidge": KernelRidge(kernel="rbf"),
    "LabelSpreading": LabelSpreading(),
    "KMeans": KMeans(3, n_init=1, random_state=0),
    "KNeighborsClassifier ball_tree": KNeighborsClassifier(algorithm="ball_tree"),
    "KNeighborsRegressor brute": KNeighborsRegressor(algorithm="brute"),
    "LassoLars": lm.LassoLars(alpha=0.1),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis(),
    "LocalOutlierFactor kd_tree": LocalOutlierFactor(novelty=True, algorithm="kd_tree"),
    "LogisticRegression": lm.LogisticRegression(max_iter=5),
    "NearestNeighbors kd_tree": NearestNeighbors(algorithm="kd_tree"),
    "NuSVR": NuSVR(),
    "Nystroem": Nystroem(n_components=9, random_state=0),
    "OneClassSVM": OneClassSVM(),
    "MeanShift": MeanShift(),
    "OneVsOneClassifier": OneVsOneClassifier(SVC()),
    "OneVsRestClassifier": OneVsRestClassifier(lm.LogisticRegression(max_iter=5)),
    "OutputCodeClassifier": OutputCodeClassifier(lm.RidgeClassifier(), random_state=0),
    "PLSRegression": PLSRegression(2),
    "NearestCentroid": NearestCentroid(),
    "Perceptron": lm.Perceptron(max_iter=5),
    "PoissonRegressor": lm.PoissonRegressor(),
    "QuadraticDiscriminantAnalysis": QuadraticDiscriminantAnalysis(),
    "RadiusNeighborsClassifier": RadiusNeighborsClassifier(outlier_label="most_frequent"),
    "RadiusNeighborsRegressor ball_tree": RadiusNeighborsRegressor(algorithm="ball_tree"),
    "RANSACRegressor": lm.RANSACRegressor(random_state=0),
    "RBFSampler": RBFSampler(n_components=9, random_state=0),
    "RidgeClassifier": lm.RidgeClassifier(),
    "SGDClassifier log_loss": lm.SGDClassifier("log_loss", max_iter=5, random_state=0),
    "SGDClassifier modified_huber": lm.SGDClassifier("modified_huber", max_iter=5, random_state=0),
    "SGDOneClassSVM": lm.SGDOneClassSVM(random_state=0),
    "SGDRegressor": lm.SGDRegressor("huber", random_state=0),
    "SVC": SVC(),
    "SkewedChi2Sampler": SkewedChi2Sampler(n_components=9, random_state=0),
    "SelfTrainingClassifier": SelfTrainingClassifier(lm.LogisticRegression(max_iter=5)),
    "StackingClassifier": StackingClassifier([("a", SVC()), ("b", lm.RidgeClassifier())], cv=2),
    "TweedieRegressor 0": lm.TweedieRegressor(),
    "TweedieRegressor 1.5": lm.TweedieRegressor(power=1.5),
    "VotingClassifier": VotingClassifier([("a", lm.RidgeClassifier()), ("b", SVC())]),
}


@pytest.mark.parametrize("suffix", ["joblib", "skops"])
@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_the_same_network_and_predictions(name: str, suffix: str, tmp_path: Path) -> None:
    X, y = load("wine")
    X = X / X.max(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = MODELS[name]
        if name.startswith("Frozen"):
            model.estimator.fit(X, y)
        model.fit(X, y == 0 if "Threshold" in name else y + 1)
    path = tmp_path / f"model.{suffix}"
    (joblib if suffix == "joblib" else skops.io).dump(model, path)
    read = load_model(path)
    expected, network = network_from_estimator(model), network_from_estimator(read)
    assert network.weights_digest() == expected.weights_digest()
    method = main_method(expected)
    # Sums of BLAS depend on where arrays lie in memory.
    np.testing.assert_allclose(ask(read, method, X), ask(model, method, X), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("scoring", "suffix"), [("f1", "skops"), ("balanced_accuracy", "joblib")])
def test_a_tuned_threshold_in_a_file_gives_the_same_network(
    scoring: str, suffix: str, tmp_path: Path
) -> None:
    X, y = load("wine")
    model = TunedThresholdClassifierCV(GaussianNB(), scoring=scoring, thresholds=3, cv=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, (y > 0).astype(int))
    path = tmp_path / f"model.{suffix}"
    (joblib if suffix == "joblib" else skops.io).dump(model, path)
    digest = network_from_estimator(load_model(path)).weights_digest()
    assert digest == network_from_estimator(model).weights_digest()


def test_the_tree_that_birch_was_fitted_with_is_not_built(tmp_path: Path) -> None:
    X, _ = load("wine")
    model = Birch(threshold=20.0).fit(X)
    joblib.dump(model, tmp_path / "model.joblib")
    read = load_model(tmp_path / "model.joblib")
    assert network_from_estimator(read).weights_digest() == network_from_estimator(model).weights_digest()
    assert type(read.root_).__module__.startswith("sklearn2rknn")
    np.testing.assert_array_equal(read.predict(X), model.predict(X))


def test_a_file_cannot_put_a_value_in_place_of_a_method(tmp_path: Path) -> None:
    X, y = load("wine")
    model = lm.LassoLars(alpha=0.1).fit(X, y)
    model.predict = 1
    joblib.dump(model, tmp_path / "model.joblib")
    with pytest.raises(ModelFileError, match="sets 'predict' of LassoLars, which fit never sets"):
        load_model(tmp_path / "model.joblib")

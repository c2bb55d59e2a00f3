"""Linear models: the numbers of scikit-learn, by the methods that scikit-learn has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import linear_model as lm
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import CCA, PLSCanonical, PLSRegression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import AdaBoostClassifier
from sklearn.multiclass import OneVsOneClassifier
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC, LinearSVR

from scirknn.answers import answer
from scirknn.arrays import Array
from sklearn2rknn import NotFittedError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.comparisons import are_clear, worst_r2
from tests.converter.estimators.families.emulation import Emulated, load, offered_methods, scaled

warnings.filterwarnings("ignore", module="sklearn")

CLASSIFIERS = {
    "LogisticRegression": lm.LogisticRegression(max_iter=50),
    "LogisticRegressionCV": lm.LogisticRegressionCV(Cs=2, cv=2, max_iter=20, use_legacy_attributes=False),
    "LinearSVC": LinearSVC(max_iter=50),
    "Perceptron": lm.Perceptron(max_iter=20),
    "RidgeClassifier": lm.RidgeClassifier(),
    "RidgeClassifierCV": lm.RidgeClassifierCV(),
    "SGDClassifier hinge": lm.SGDClassifier(max_iter=20, random_state=0),
    "SGDClassifier log_loss": lm.SGDClassifier("log_loss", max_iter=20, random_state=0),
    "SGDClassifier modified_huber": lm.SGDClassifier("modified_huber", max_iter=20, random_state=0),
    "LinearDiscriminantAnalysis": LinearDiscriminantAnalysis(),
    "LinearDiscriminantAnalysis eigen": LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1),
    "LinearDiscriminantAnalysis lsqr": LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1),
    "DummyClassifier prior": DummyClassifier(),
    "DummyClassifier most_frequent": DummyClassifier(strategy="most_frequent"),
}
COUNTS = {"MultinomialNB": MultinomialNB(), "ComplementNB": ComplementNB()}
REGRESSORS = {
    **{
        name: getattr(lm, name)()
        for name in (
            "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars",
            "LarsCV", "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression",
            "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV", "Ridge", "RidgeCV",
        )
    },
    "QuantileRegressor": lm.QuantileRegressor(alpha=0.0),
    "RANSACRegressor": lm.RANSACRegressor(random_state=0),
    "SGDRegressor": lm.SGDRegressor(random_state=0),
    "TheilSenRegressor": lm.TheilSenRegressor(max_subpopulation=200, random_state=0),
    "LinearSVR": LinearSVR(max_iter=200, random_state=0),
    "PoissonRegressor": lm.PoissonRegressor(),
    "GammaRegressor": lm.GammaRegressor(),
    "TweedieRegressor 1.5": lm.TweedieRegressor(power=1.5),
    "TweedieRegressor 0": lm.TweedieRegressor(),
    "PLSRegression": PLSRegression(3),
    "DummyRegressor": DummyRegressor(),
}  # fmt: skip
SEVERAL = {
    "MultiTaskElasticNet": lm.MultiTaskElasticNet(),
    "MultiTaskElasticNetCV": lm.MultiTaskElasticNetCV(cv=2),
    "MultiTaskLasso": lm.MultiTaskLasso(),
    "MultiTaskLassoCV": lm.MultiTaskLassoCV(cv=2),
    "Ridge": lm.Ridge(),
    "LinearRegression": lm.LinearRegression(),
    "Lars": lm.Lars(),
    "OrthogonalMatchingPursuit": lm.OrthogonalMatchingPursuit(),
    "PLSRegression": PLSRegression(2),
    "PLSCanonical": PLSCanonical(2),
    "CCA": CCA(2),
    "DummyRegressor": DummyRegressor(),
}
SCALED = ("Perceptron", "SGD", "Passive", "LinearSV", "Poisson", "Gamma", "Tweedie", "Logistic")
"""Those that do not converge on columns as they are."""


def fit(name: str, estimator: Any, X: Array, y: Array) -> Any:
    model = clone(estimator)
    return (make_pipeline(StandardScaler(), model) if name.startswith(SCALED) else model).fit(X, y)


def last(model: Any) -> Any:
    return model[-1] if hasattr(model, "steps") else model


def assert_alike(emulated: Emulated, X: Array) -> None:
    """Assert that methods, shapes, dtypes and the exact numbers are scikit-learn's."""
    assert emulated.methods == offered_methods(last(emulated.estimator)) & emulated.methods
    for method in emulated.methods:
        expected, exact = getattr(emulated.estimator, method)(X), emulated.exact(method, X)
        assert (exact.shape, exact.dtype) == (expected.shape, expected.dtype), method
        if expected.dtype.kind == "f":
            size = np.abs(expected[np.isfinite(expected)]).max()
            finite = np.isfinite(expected)
            if method == "predict_log_proba":
                finite = expected > -20  # exact here, while log(1 - p) loses its digits there
            np.testing.assert_allclose(exact[finite], expected[finite], rtol=1e-6, atol=1e-7 * size)
        else:
            assert (exact == expected).mean() > 0.999


def assert_labels_and_chances(emulated: Emulated, X: Array) -> None:
    """Assert that float16 gives 99.9 % of the labels off ties, and probabilities within 2e-3."""
    model = emulated.estimator
    chances = getattr(model, "predict_proba", None)
    margins = chances(X) if chances else emulated.exact("predict", X)[:, None] * 0 + [[1.0, 0.0]]
    if chances:
        assert np.abs(emulated("predict_proba", X) - margins).max() < 2e-3
    clear = are_clear(margins, one_of_them=True)
    equal = emulated("predict", X) == model.predict(X)
    assert not clear.any() or equal[clear].mean() >= 0.999


@pytest.mark.parametrize("data", ["wine", "wine bad", "breast_cancer", "breast_cancer bad", "digits"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_linear_classifiers_answer_as_scikit_learn_does(name: str, data: str) -> None:
    X, y = load(data)
    emulated = Emulated.convert(fit(name, CLASSIFIERS[name], X, y), X)
    assert emulated.methods == offered_methods(last(emulated.estimator)) - (
        {"transform"} if "lsqr" in name else set()
    )
    assert_alike(emulated, X)
    assert_labels_and_chances(emulated, X)


@pytest.mark.parametrize("name", COUNTS)
def test_bayes_models_of_counts_lose_what_all_classes_have_in_common(name: str) -> None:
    X, y = load("digits")
    emulated = Emulated.convert(COUNTS[name].fit(X, y), X)
    assert np.abs(emulated.source.forward(X).sum(axis=1)).max() < 1e-9
    assert emulated.methods == offered_methods(emulated.estimator)
    assert_alike(emulated, X)
    assert_labels_and_chances(emulated, X)


@pytest.mark.parametrize("data", ["diabetes", "diabetes bad"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_linear_regressors_answer_as_scikit_learn_does(name: str, data: str) -> None:
    X, y = load(data)
    emulated = Emulated.convert(fit(name, REGRESSORS[name], X, y), X)
    assert emulated.methods == offered_methods(last(emulated.estimator))
    assert_alike(emulated, X)
    r2 = worst_r2(emulated.estimator.predict(X), emulated("predict", X))
    assert r2 is None or r2 > 0.99999


@pytest.mark.parametrize("name", SEVERAL)
def test_several_targets_keep_their_columns(name: str) -> None:
    X, y = load("diabetes")
    for targets in (np.stack([y, X[:, 0] * 100 + y], axis=1), y[:, None]):
        if "PLS" in name and targets.shape[1] == 1:
            continue
        if name in ("PLSCanonical", "CCA") and targets.shape[1] == 1:
            continue
        model = clone(SEVERAL[name]).fit(X, targets)
        emulated = Emulated.convert(model, X)
        assert_alike(emulated, X)
        r2 = worst_r2(model.predict(X), emulated("predict", X))
        assert r2 is None or r2 > 0.99999


def test_a_linear_one_class_svm_answers_as_scikit_learn_does() -> None:
    X, _ = load("wine")
    model = make_pipeline(StandardScaler(), lm.SGDOneClassSVM(random_state=0)).fit(X)
    emulated = Emulated.convert(model, X)
    assert emulated.methods == offered_methods(model[-1]) == {"predict", "decision_function", "score_samples"}
    assert_alike(emulated, X)
    clear = np.abs(model.decision_function(X)) > 1e-2
    assert (emulated("predict", X) == model.predict(X))[clear].all()


@pytest.mark.parametrize(
    "model",
    [
        lm.Ridge(),
        lm.SGDRegressor(random_state=0),
        lm.SGDOneClassSVM(random_state=0),
        OneVsOneClassifier(lm.LogisticRegression()),
        AdaBoostClassifier(lm.LogisticRegression(), n_estimators=3, random_state=0),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_answers_of_float32_models_have_the_dtype_of_scikit_learn(model: Any, dtype: Any) -> None:
    X, y = load("wine")
    X = StandardScaler().fit_transform(X).astype(np.float32)
    model = clone(model).fit(X, y)
    with Emulated.convert(model, X).loaded() as loaded:
        for method in offered_methods(model):
            rows = X.astype(dtype)
            assert getattr(loaded, method)(rows).dtype == getattr(model, method)(rows).dtype, method


def test_a_ridge_classifier_of_several_labels_has_a_decision_function_for_each() -> None:
    X, _ = load("diabetes")
    model = lm.RidgeClassifier().fit(X, X[:, :3] > 0)
    emulated = Emulated.convert(model, X)
    assert emulated.source.task == "multilabel"
    assert_alike(emulated, X)


def test_a_target_behind_an_exponential_is_scaled_back() -> None:
    X, y = load("diabetes")
    scaler = MinMaxScaler((1.0, 2.0))
    model = TransformedTargetRegressor(lm.PoissonRegressor(), transformer=scaler).fit(X, y)
    emulated = Emulated.convert(model, X)
    assert_alike(emulated, X)
    r2 = worst_r2(model.predict(X), emulated("predict", X))
    assert r2 is not None
    assert r2 > 0.9999


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (DummyClassifier(strategy="uniform"), "draws its predictions. Fit with strategy='prior'"),
        (lm.RidgeClassifier(), "This RidgeClassifier is not fitted: it has no coef_"),
        (lm.LogisticRegression(solver="liblinear"), "This LogisticRegression is not fitted: it has no coef_"),
    ],
)
def test_what_cannot_be_read_is_refused(model: Any, text: str) -> None:
    X, y = load("wine")
    if "fitted" not in text:
        model.fit(X, y)
    with pytest.raises((UnsupportedModelError, NotFittedError), match=text):
        Emulated.convert(model, X)


@pytest.mark.parametrize(
    ("multi_class", "solver", "count"),
    [("multinomial", "lbfgs", 2), ("ovr", "lbfgs", 3), ("warn", "lbfgs", 3), ("auto", "liblinear", 3)],
)
def test_a_logistic_regression_has_the_probabilities_of_scikit_learn_1_7_there_and_is_refused_later(
    multi_class: str, solver: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = scaled("wine")
    model = lm.LogisticRegression(max_iter=50).fit(X[y < count], y[y < count])
    model.multi_class, model.solver = multi_class, solver
    with pytest.raises(UnsupportedModelError, match=f"multi_class='{multi_class}' and .* no longer computes"):
        network_from_estimator(model)
    monkeypatch.setitem(lm.LogisticRegression._parameter_constraints, "multi_class", [str])
    network, scores = network_from_estimator(model), model.decision_function(X)
    shares = expit(scores) if count > 2 else softmax(np.stack([-scores, scores], axis=1), axis=1)
    chances = answer(network, "predict_proba", network.forward(X))
    np.testing.assert_allclose(chances, shares / shares.sum(axis=1, keepdims=True), rtol=1e-12, atol=1e-15)


def test_coefficients_of_partial_least_squares_of_scikit_learn_1_4_are_refused() -> None:
    X, y = load("wine")
    model = PLSRegression(2).fit(X, y)
    model.coef_ = model.coef_ * model._x_std
    with pytest.raises(UnsupportedModelError, match=r"coef_ .* in the units of X and y"):
        network_from_estimator(model)


def test_changed_weights_and_own_methods_are_refused() -> None:
    X, y = load("wine")
    model = lm.LogisticRegression(max_iter=5).fit(X, y)
    model.intercept_ = np.zeros(5)
    with pytest.raises(UnsupportedModelError, match="The weights were changed after fit"):
        Emulated.convert(model, X)

    class Own(lm.Ridge):  # type: ignore[misc]
        def predict(self, X: Array) -> Array:
            return np.asarray(super().predict(X) + 1)

    with pytest.raises(UnsupportedModelError, match="has its own predict"):
        Emulated.convert(Own().fit(X, y), X)

"""Gaussian and naive Bayes models: the numbers of scikit-learn, by the methods that scikit-learn has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from scirknn.arrays import Array
from sklearn2rknn import NotFittedError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.agreement import expected_behind_steps
from sklearn2rknn.passes.prepare_network import prepare_network
from tests.converter.estimators.families.emulation import Emulated, assert_exact, assert_within_bound, load
from tests.counts import counted

DATA = ("wine", "wine bad", "breast_cancer bad", "digits")
MIXTURES = {
    **{
        f"{kind.__name__} {covariance}": kind(
            n_components=4, covariance_type=covariance, reg_covar=1e-2, max_iter=20, random_state=0
        )
        for kind in (GaussianMixture, BayesianGaussianMixture)
        for covariance in ("full", "tied", "diag", "spherical")
    },
    "BayesianGaussianMixture distribution": BayesianGaussianMixture(
        n_components=3, weight_concentration_prior_type="dirichlet_distribution", max_iter=20, random_state=0
    ),
}
MODELS: dict[str, Any] = {
    **MIXTURES,
    "QuadraticDiscriminantAnalysis": QuadraticDiscriminantAnalysis(reg_param=0.1),
    "EllipticEnvelope": EllipticEnvelope(support_fraction=0.9, random_state=0),
    "EllipticEnvelope without precision": EllipticEnvelope(
        support_fraction=0.9, store_precision=False, random_state=0
    ),
    "GaussianNB": GaussianNB(),
    "BernoulliNB": BernoulliNB(binarize=3.0),
    "BernoulliNB of 0 and 1": BernoulliNB(binarize=None),
    "CategoricalNB": CategoricalNB(min_categories=17),
}


def fit(name: str, data: str) -> tuple[Any, Array]:
    X, y = load(data)
    if name == "CategoricalNB":
        X = np.floor(16 * (X - X.min(axis=0)) / np.ptp(X, axis=0).clip(1.0))
    if name == "BernoulliNB of 0 and 1":
        X = (np.median(X, axis=0) < X).astype(float)
    if name.startswith("EllipticEnvelope"):
        X, y = X[:500], y[:500]  # its search takes half a minute for all of digits on a busy machine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(MODELS[name]).fit(X, y), X[:400]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", MODELS)
def test_methods_answer_as_scikit_learn_does(name: str, data: str) -> None:
    model, X = fit(name, data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        emulated = Emulated.convert(model, X)
        assert_exact(emulated, X)
        assert_within_bound(emulated, X)
        if hasattr(model, "predict_proba"):
            chances = model.predict_proba(X)
            assert np.abs(emulated("predict_proba", X) - chances).max() < 2e-3
            clear = np.ptp(np.sort(chances)[:, -2:], axis=1) > 1e-3
        else:
            decision = np.abs(model.decision_function(X))
            clear = decision > 1e-3 * decision.max()
        assert (emulated("predict", X) == model.predict(X))[clear].all()


def test_a_mixture_is_scored_by_its_mean_log_likelihood_and_others_by_accuracy() -> None:
    assert network_from_estimator(fit("GaussianMixture full", "wine")[0]).score == "mean_log_likelihood"
    assert network_from_estimator(fit("EllipticEnvelope", "wine")[0]).score == "accuracy"
    assert network_from_estimator(fit("GaussianNB", "wine")[0]).score is None


@pytest.mark.parametrize("name", ["GaussianMixture full", "GaussianNB"])
def test_float32_models_answer_in_float32(name: str) -> None:
    X, y = load("wine")
    model = clone(MODELS[name]).fit(X.astype(np.float32), y)
    expected = model.predict_proba(X.astype(np.float32)).dtype
    assert network_from_estimator(model).dtype == expected


def test_two_classes_have_one_column_of_decision_values() -> None:
    X, y = load("breast_cancer")
    for solver in (
        QuadraticDiscriminantAnalysis(reg_param=0.1),
        QuadraticDiscriminantAnalysis(reg_param=0.5),
    ):
        emulated = Emulated.convert(solver.fit(X, y), X)
        assert emulated.exact("decision_function", X).shape == (len(X),)
        assert_exact(emulated, X)


@pytest.mark.parametrize(
    "model",
    [GaussianNB(), BernoulliNB(binarize=0.3), GaussianMixture(3, random_state=0), EllipticEnvelope()],
)
def test_scalers_and_components_in_front_are_joined(model: Any) -> None:
    X, y = load("wine bad")
    pipeline = make_pipeline(StandardScaler(), PCA(5), clone(model)).fit(X, y)
    emulated = Emulated.convert(pipeline, X)
    assert_exact(emulated, X)
    assert_within_bound(emulated, X)


@pytest.mark.parametrize("rows", [None, 178])
def test_squares_take_float16_pairs_by_default(rows: int | None) -> None:
    model, X = fit("GaussianMixture full", "wine")
    source = network_from_estimator(model)
    prepared = prepare_network(source, None if rows is None else X[:rows], "float16")
    assert (prepared.parts, prepared.output_parts) == (3, 2)


def test_errors_of_far_rows_count_for_near_ones_by_outputs_not_by_squares() -> None:
    model, X = fit("GaussianMixture full", "wine")
    source = network_from_estimator(model)
    outputs = source.forward(X)
    random = np.random.default_rng(0)
    errors = np.asarray(random.normal(size=outputs.shape))
    assert expected_behind_steps(source, outputs, 1e-5 * errors, X) == 1.0
    share = expected_behind_steps(source, outputs, 10.0 * errors, X)
    assert share is not None
    assert share < 0.9


@given(data=st.data())
@settings(max_examples=counted(200))
def test_drawn_densities_answer_as_scikit_learn_does(data: st.DataObject) -> None:
    """Families, sizes, scales and forms of the covariance are drawn."""
    draw = data.draw
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    features, classes = draw(st.integers(1, 8)), draw(st.integers(2, 5))
    X = random.normal(size=(draw(st.integers(60, 120)), features)) * 10.0 ** random.uniform(-2, 4, features)
    y = np.arange(len(X)) % classes
    model: Any = {
        "discriminant": QuadraticDiscriminantAnalysis(reg_param=0.01),
        "bayes": GaussianNB(),
        "bernoulli": BernoulliNB(binarize=draw(st.floats(0, 2))),
        "mixture": GaussianMixture(
            classes,
            covariance_type=draw(st.sampled_from(["full", "tied", "diag", "spherical"])),
            max_iter=10,
            random_state=0,
        ),
    }[draw(st.sampled_from(["discriminant", "bayes", "bernoulli", "mixture"]))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        emulated = Emulated.convert(model.fit(X, y), X)
        assert_exact(emulated, X)
        assert_within_bound(emulated, X)
        assert np.abs(emulated("predict_proba", X) - model.predict_proba(X)).max() < 2e-3


@pytest.mark.parametrize(
    "model",
    [
        GaussianNB(priors=[0, 1]),
        BernoulliNB(class_prior=[0, 1]),
        QuadraticDiscriminantAnalysis(priors=np.array([0.0, 1.0]), reg_param=0.1),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_prior_of_0_is_named(model: Any) -> None:
    X, y = load("breast_cancer")
    with pytest.raises(UnsupportedModelError, match=r"prior (of )?0"):
        network_from_estimator(model.fit(X, y))


@pytest.mark.parametrize("name", MODELS)
def test_models_that_are_not_fitted_are_refused(name: str) -> None:
    with pytest.raises(NotFittedError, match="is not fitted"):
        network_from_estimator(clone(MODELS[name]))


@pytest.mark.parametrize(
    ("name", "attribute", "value"),
    [
        ("QuadraticDiscriminantAnalysis", "rotations_", []),
        ("QuadraticDiscriminantAnalysis", "rotations_", [np.ones((2, 2))] * 3),
        ("QuadraticDiscriminantAnalysis", "scalings_", [np.zeros(13)] * 3),
        ("QuadraticDiscriminantAnalysis", "scalings_", np.ones((3, 13))),
        ("QuadraticDiscriminantAnalysis", "priors_", np.zeros(3)),
        ("QuadraticDiscriminantAnalysis", "means_", np.full((3, 13), np.nan)),
        ("QuadraticDiscriminantAnalysis", "classes_", np.arange(2)),
        ("GaussianMixture full", "precisions_cholesky_", np.ones((4, 13))),
        ("GaussianMixture full", "precisions_cholesky_", -np.ones((4, 13, 13))),
        ("GaussianMixture diag", "precisions_cholesky_", np.zeros((4, 13))),
        ("GaussianMixture full", "covariance_type", "other"),
        ("GaussianMixture full", "weights_", np.array([1.0, 0.0, 0.0, 0.0])),
        ("GaussianMixture full", "means_", np.ones((4, 2))),
        ("GaussianMixture full", "n_features_in_", "13"),
        ("BayesianGaussianMixture full", "degrees_of_freedom_", np.ones(2)),
        ("BayesianGaussianMixture tied", "degrees_of_freedom_", "many"),
        ("BayesianGaussianMixture full", "mean_precision_", np.zeros(4)),
        ("BayesianGaussianMixture full", "weight_concentration_", np.ones(4)),
        ("BayesianGaussianMixture full", "weight_concentration_", (np.ones(4), -np.ones(4))),
        ("BayesianGaussianMixture full", "weight_concentration_", (np.ones(4), None)),
        ("BayesianGaussianMixture full", "weight_concentration_prior_type", None),
        ("BayesianGaussianMixture distribution", "weight_concentration_", np.zeros(3)),
        ("EllipticEnvelope", "precision_", None),
        ("EllipticEnvelope", "precision_", -np.eye(13)),
        ("EllipticEnvelope", "precision_", np.zeros((13, 13))),
        ("EllipticEnvelope", "offset_", "near"),
        ("EllipticEnvelope without precision", "covariance_", np.full((13, 13), np.inf)),
        ("GaussianNB", "var_", np.zeros((3, 13))),
        ("GaussianNB", "theta_", np.zeros((3, 2))),
        ("GaussianNB", "class_prior_", np.array([0.0, 0.5, 0.5])),
        ("GaussianNB", "classes_", np.arange(2)),
        ("BernoulliNB", "feature_log_prob_", np.zeros((3, 13))),
        ("BernoulliNB", "binarize", "1"),
        ("BernoulliNB", "class_log_prior_", np.full(3, -np.inf)),
        ("CategoricalNB", "feature_log_prob_", np.zeros((3, 13))),
        ("CategoricalNB", "feature_log_prob_", [np.zeros((2, 2))] * 13),
    ],
)
def test_attributes_that_fit_does_not_leave_are_refused(name: str, attribute: str, value: object) -> None:
    model, _ = fit(name, "wine")
    setattr(model, attribute, value)
    with pytest.raises(UnsupportedModelError):
        network_from_estimator(model)

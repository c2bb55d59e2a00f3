"""Kernel models: the numbers of scikit-learn, by the methods that scikit-learn has."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process import kernels as gp
from sklearn.kernel_approximation import Nystroem, RBFSampler, SkewedChi2Sampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from scirknn.answers import decision_values, final_values
from sklearn2rknn import NotFittedError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.comparisons import are_clear, worst_r2
from sklearn2rknn.network.network import PARTS
from tests.converter.estimators.families.emulation import (
    Emulated,
    assert_exact,
    assert_within_bound,
    load,
    scaled,
)
from tests.counts import counted

warnings.filterwarnings("ignore", module="sklearn")

CLASSIFIERS = {
    "SVC": SVC(),
    "SVC poly": SVC(kernel="poly", coef0=1.0),
    "SVC sigmoid": SVC(kernel="sigmoid", gamma=0.01),
    "SVC linear": SVC(kernel="linear"),
    "SVC one against one": SVC(C=10.0, gamma=0.02, decision_function_shape="ovo"),
    "SVC ties": SVC(break_ties=True),
    "SVC chances": SVC(probability=True, random_state=0),
    "NuSVC": NuSVC(nu=0.1),
    "NuSVC chances": NuSVC(nu=0.1, probability=True, kernel="linear", random_state=0),
    "LabelPropagation": LabelPropagation(gamma=0.5),
    "LabelSpreading": LabelSpreading(gamma=0.5),
}
REGRESSORS = {
    "SVR": SVR(C=100.0),
    "SVR poly": SVR(kernel="poly", degree=2, coef0=1.0),
    "SVR without support": SVR(epsilon=1e3),
    "NuSVR": NuSVR(C=10.0),
    "KernelRidge linear": KernelRidge(),
    "KernelRidge rbf": KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3),
    "KernelRidge poly": KernelRidge(kernel="polynomial", degree=2),
    "KernelRidge cosine": KernelRidge(kernel="cosine"),
    "KernelRidge sigmoid": KernelRidge(kernel="sigmoid", gamma=0.01),
    "GaussianProcessRegressor": GaussianProcessRegressor(
        1.5 * gp.RBF(3.0) + gp.WhiteKernel(0.1), optimizer=None, normalize_y=True
    ),
    "GaussianProcessRegressor of terms": GaussianProcessRegressor(
        gp.ConstantKernel(2.0) * gp.Matern(3.0) + gp.DotProduct(1.0) + gp.WhiteKernel(),
        optimizer=None,
    ),
    "GaussianProcessRegressor of lengths": GaussianProcessRegressor(
        (2.0 * gp.RBF(np.arange(2.0, 12.0))) ** 2 * gp.RBF(4.0) + gp.RationalQuadratic(3.0, 0.7),
        alpha=1.0,
        optimizer=None,
    ),
    "GaussianProcessRegressor rough": GaussianProcessRegressor(
        gp.Matern(3.0, nu=0.5) + gp.Matern(2.0, nu=2.5) + gp.Matern(2.0, nu=np.inf), alpha=0.5, optimizer=None
    ),
    "GaussianProcessRegressor constant": GaussianProcessRegressor(
        gp.ConstantKernel(3.0) + gp.WhiteKernel(), optimizer=None
    ),
}  # fmt: skip
TRANSFORMERS = {
    **{
        f"KernelPCA {kernel}": KernelPCA(4, kernel=kernel)
        for kernel in ("rbf", "poly", "sigmoid", "linear", "cosine")
    },
    **{
        f"Nystroem {kernel}": Nystroem(kernel, n_components=8, random_state=0)
        for kernel in ("rbf", "poly", "sigmoid", "linear", "cosine")
    },
    "Nystroem parameters": Nystroem("poly", kernel_params={"degree": 2, "coef0": 3}, n_components=9),
    "RBFSampler": RBFSampler(n_components=30, random_state=0),
    "SkewedChi2Sampler": SkewedChi2Sampler(skewedness=9.0, n_components=30, random_state=0),
}
ROUGH = 1e-7
"""What a root of a distance of 0 makes of rounding, 1e-14 of the squares."""


@pytest.mark.parametrize("data", ["wine", "breast_cancer", "digits"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_answer_as_scikit_learn_does(name: str, data: str) -> None:
    X, y = scaled(data)
    y = np.where(np.arange(len(y)) % 3 == 0, -1, y) if name.startswith("Label") else y
    emulated = Emulated.convert(clone(CLASSIFIERS[name]).fit(X, y), X)
    assert_exact(emulated, X)
    assert_within_bound(emulated, X)
    values = final_values(emulated.source, emulated.source.forward(X), None)
    distances = np.abs(decision_values(emulated.source, values)).max(axis=1)
    clear = distances > 0.01 if "SVC" in name else are_clear(values, one_of_them=True)
    assert clear.mean() > 0.5
    assert (emulated("predict", X) == emulated.estimator.predict(X))[clear].mean() >= 0.999


@pytest.mark.parametrize("data", ["wine bad", "breast_cancer bad"])
@pytest.mark.parametrize("name", ["SVC", "SVC poly", "NuSVC"])
def test_a_scaler_in_front_makes_up_for_bad_columns(name: str, data: str) -> None:
    X, y = load(data)
    emulated = Emulated.convert(make_pipeline(StandardScaler(), clone(CLASSIFIERS[name])).fit(X, y), X)
    assert_exact(emulated, X)
    assert (emulated("predict", X) == emulated.estimator.predict(X)).mean() >= 0.99


@pytest.mark.parametrize("data", ["diabetes", "diabetes bad"])
@pytest.mark.parametrize("name", REGRESSORS)
def test_regressors_answer_as_scikit_learn_does(name: str, data: str) -> None:
    X, y = scaled(data)
    emulated = Emulated.convert(clone(REGRESSORS[name]).fit(X, y), X)
    assert_exact(emulated, X, ROUGH if "rough" in name else 1e-9)
    assert_within_bound(emulated, X)
    r2 = worst_r2(emulated.estimator.predict(X), emulated("predict", X))
    assert r2 is None or r2 > 0.9999


@pytest.mark.parametrize("name", ["KernelRidge rbf", "KernelRidge linear", "GaussianProcessRegressor"])
def test_several_targets_keep_their_columns(name: str) -> None:
    X, y = scaled("diabetes")
    for targets in (np.stack([y, X[:, 0] * 100 + y], axis=1), y[:, None]):
        assert_exact(Emulated.convert(clone(REGRESSORS[name]).fit(X, targets), X), X)


@pytest.mark.parametrize("data", ["wine", "diabetes"])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_answer_as_scikit_learn_does(name: str, data: str) -> None:
    X, _ = scaled(data)
    emulated = Emulated.convert(clone(TRANSFORMERS[name]).fit(X), X)
    assert_exact(emulated, X)
    assert_within_bound(emulated, X)
    r2 = worst_r2(emulated.estimator.transform(X), emulated("transform", X))
    assert r2 is not None
    assert r2 > 0.999


def test_a_kernel_of_float32_transforms_to_float32() -> None:
    X = scaled("wine")[0].astype(np.float32)
    emulated = Emulated.convert(Nystroem(n_components=9, random_state=0).fit(X), X)
    assert emulated.exact("transform", X).dtype == np.float64  # the emulation's outputs are
    assert emulated.source.dtype == (
        "float32" if emulated.estimator.transform(X).dtype == np.float32 else "float64"
    )


@pytest.mark.parametrize("data", ["wine", "digits"])
@pytest.mark.parametrize("kernel", ["rbf", "poly", "linear"])
def test_a_one_class_svm_answers_as_scikit_learn_does(kernel: str, data: str) -> None:
    X, _ = scaled(data)
    emulated = Emulated.convert(OneClassSVM(kernel=kernel, nu=0.2).fit(X), X)
    decision = emulated.estimator.decision_function(X)
    clear = np.abs(decision) > 1e-2
    np.testing.assert_allclose(
        emulated.exact("decision_function", X), decision, atol=1e-9 * np.abs(decision).max()
    )
    for predictions in (emulated.exact("predict", X), emulated("predict", X)):
        assert predictions.dtype == emulated.estimator.predict(X).dtype
        assert (predictions == emulated.estimator.predict(X))[clear].all()
    samples = emulated.estimator.score_samples(X)
    np.testing.assert_allclose(emulated.exact("score_samples", X), samples, atol=1e-9 * np.abs(samples).max())
    assert_within_bound(emulated, X)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
def test_a_density_has_scikit_learns_scores(kernel: str, weighted: bool) -> None:
    X, _ = scaled("wine")
    weights = np.arange(len(X)) if weighted else None
    model = KernelDensity(kernel=kernel, bandwidth=1.5).fit(X, sample_weight=weights)
    emulated = Emulated.convert(model, X)
    assert emulated.source.score == "log_likelihood"
    assert_exact(emulated, X, ROUGH if kernel == "exponential" else 1e-9)
    assert_within_bound(emulated, X)


def test_thousands_of_outputs_stay_one_number_each() -> None:
    """Pairs of so many outputs would take their square of weights."""
    random = np.random.default_rng(0)
    X = random.normal(size=(2500, 4))
    model = SVC().fit(X, random.integers(0, 2, len(X)))
    emulated = Emulated.convert(model, X)
    assert len(model.support_) > 2000
    assert emulated.prepared.parts == PARTS
    assert emulated.prepared.output_parts == 1
    clear = np.abs(model.decision_function(X)) > 1e-2
    assert (emulated("predict", X) == model.predict(X))[clear].mean() >= 0.999


@given(data=st.data())
@settings(max_examples=counted(200))
def test_drawn_machines_answer_as_scikit_learn_does(data: st.DataObject) -> None:
    """Sizes, kernels, C, gamma, classes and scales are drawn."""
    draw = data.draw
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    features, classes = draw(st.integers(1, 12)), draw(st.integers(2, 6))
    X = random.normal(size=(draw(st.integers(30, 90)), features)) * 10.0 ** random.uniform(-3, 3, features)
    y = np.arange(len(X)) % classes
    options = {
        "C": 10.0 ** draw(st.integers(-2, 3)),
        "gamma": draw(st.sampled_from(["scale", "auto", 0.01, 1.0])),
        "kernel": draw(st.sampled_from(["rbf", "poly", "sigmoid", "linear"])),
        "coef0": draw(st.sampled_from([0.0, 1.0, -0.5])),
    }
    if draw(st.booleans()):
        X = StandardScaler().fit_transform(X)
    if draw(st.booleans()):
        model: Any = SVC(
            decision_function_shape=draw(st.sampled_from(["ovr", "ovo"])), max_iter=2000, **options
        ).fit(X, y)
    else:
        model = SVR(max_iter=2000, **options).fit(X, random.normal(size=len(X)))
    source = network_from_estimator(model)
    values = final_values(source, source.forward(X), None)
    if isinstance(model, SVR):
        expected = model.predict(X)[:, None]
    else:
        expected = model._decision_function(X).reshape(len(X), -1)
    weights = np.abs(model.dual_coef_).sum()
    size = max(float(np.abs(values).max()), float(weights))  # of what is summed
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-9 * size)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            SVC(kernel=lambda X, Y: X @ Y.T),
            "SVC's kernel is a Python function, which no file can hold. Fit with",
        ),
        (
            SVR(kernel="precomputed"),
            "SVR with kernel='precomputed' takes a row's kernel with every fitted row",
        ),
        (
            KernelRidge(kernel="laplacian"),
            "kernel='laplacian' is no function of products or euclidean distances",
        ),
        (
            KernelRidge(kernel="poly", degree=2.5),
            "a polynomial kernel of degree 2.5; integers up to 64 can",
        ),
        (Nystroem("chi2", n_components=5), "Nystroem with kernel='chi2' is no function of products"),
        (LabelPropagation("knn"), "LabelPropagation's kernel is 'knn'; 'rbf' can be converted"),
        (KernelDensity(kernel="tophat", bandwidth=9.0), "kernel='tophat' is 0 beyond some distance"),
        (
            KernelDensity(metric="manhattan"),
            "metric='manhattan' cannot be converted. Fit with metric='euclidean'",
        ),
        (
            GaussianProcessRegressor(gp.ExpSineSquared(), optimizer=None, alpha=100.0),
            "holds a ExpSineSquared, which",
        ),
        (
            GaussianProcessRegressor(gp.Matern(nu=0.7), optimizer=None, alpha=1.0),
            "holds a Matern of nu=0.7, which",
        ),
        (
            GaussianProcessRegressor(gp.RBF() * gp.Matern(), optimizer=None, alpha=1.0),
            "a product of kernels other than RBF and ConstantKernel",
        ),
        (
            GaussianProcessRegressor((gp.RBF() + gp.RBF()) ** 2, optimizer=None, alpha=1.0),
            "a power of kernels other than RBF and ConstantKernel",
        ),
        (GaussianProcessClassifier(optimizer=None), "it takes a row's variance for its probabilities"),
        (SVC(break_ties=True, decision_function_shape="ovo"), "cannot predict. Fit with break_ties=False"),
    ],
)
def test_what_cannot_be_converted_says_what_can(model: Any, text: str) -> None:
    X, y = scaled("wine")
    X = abs(X)
    if getattr(model, "kernel", None) == "precomputed":
        X = X @ X.T
    with pytest.raises(UnsupportedModelError, match=text):
        Emulated.convert(model.fit(X, y), X)


@pytest.mark.parametrize(
    "model", [SVC(), OneClassSVM(), KernelRidge(), KernelPCA(), Nystroem(), KernelDensity(), LabelSpreading()]
)
def test_what_is_not_fitted_is_refused(model: Any) -> None:
    with pytest.raises(NotFittedError, match=f"This {type(model).__name__} is not fitted"):
        Emulated.convert(model, scaled("wine")[0])


@pytest.mark.parametrize("model", [SVC(probability=True), NuSVC(), SVR(), NuSVR(), OneClassSVM()])
@pytest.mark.parametrize(
    "attribute",
    ["support_", "support_vectors_", "_n_support", "_dual_coef_", "_intercept_", "_probA", "_probB"],
)
def test_arrays_that_libsvm_would_read_beyond_their_ends_are_refused(model: Any, attribute: str) -> None:
    X, y = scaled("wine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of probability
        model = clone(model).fit(X, y)
    array = getattr(model, attribute)
    longer = np.concatenate([array, array]) if len(array) else np.ones(2)
    for value in (None, array.tolist(), longer):
        setattr(model, attribute, value)
        with pytest.raises(UnsupportedModelError):
            network_from_estimator(model)


@pytest.mark.parametrize(
    ("model", "attribute", "value"),
    [
        (SVC(), "support_vectors_", np.ones((3, 2))),
        (SVC(), "dual_coef_", np.ones((1, 3))),
        (SVC(), "_n_support", np.array([200, -100, 0], np.int32)),
        (SVC(), "intercept_", np.ones(7)),
        (SVC(), "intercept_", np.full(3, np.nan)),
        (SVC(), "_gamma", "scale"),
        (SVC(probability=True), "_probA", np.ones(1)),
        (SVC(), "kernel", 3),
        (SVR(), "support_vectors_", np.ones((3, 2))),
        (SVR(), "dual_coef_", None),
        (OneClassSVM(), "offset_", np.ones((2, 2))),
        (KernelRidge(kernel="rbf"), "X_fit_", np.ones((3, 4))),
        (KernelRidge(kernel="rbf"), "dual_coef_", np.ones(4)),
        (KernelPCA(3), "eigenvalues_", np.ones(2)),
        (KernelPCA(3), "eigenvalues_", -np.ones(3)),
        (KernelPCA(3), "_centerer", None),
        (Nystroem(n_components=5), "components_", np.ones((5, 2))),
        (Nystroem(n_components=5), "normalization_", np.ones((4, 4))),
        (Nystroem(n_components=5), "kernel_params", {"gamma": np.inf}),
        (RBFSampler(n_components=5), "random_offset_", np.ones(4)),
        (SkewedChi2Sampler(n_components=5), "skewedness", "2"),
        (KernelDensity(), "bandwidth_", 0.0),
        (KernelDensity(), "tree_", 7),
        (LabelPropagation(), "label_distributions_", np.ones((3, 3))),
        (LabelPropagation(), "label_distributions_", -np.ones((178, 3))),
        (LabelPropagation(), "gamma", None),
        (GaussianProcessRegressor(gp.RBF(), alpha=1.0, optimizer=None), "alpha_", np.ones(7)),
        (GaussianProcessRegressor(gp.RBF(), alpha=1.0, optimizer=None), "kernel_", gp.RBF(-1.0)),
        (GaussianProcessRegressor(gp.RBF(), alpha=1.0, optimizer=None), "kernel_", None),
        (GaussianProcessRegressor(gp.RBF(), alpha=1.0, optimizer=None), "_y_train_std", np.ones(3)),
    ],
)
def test_attributes_that_fit_does_not_leave_are_refused(model: Any, attribute: str, value: object) -> None:
    X, y = scaled("wine")
    model = clone(model).fit(abs(X), y)
    setattr(model, attribute, value)
    with pytest.raises(UnsupportedModelError):
        Emulated.convert(model, abs(X))

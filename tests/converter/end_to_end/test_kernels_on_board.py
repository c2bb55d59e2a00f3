"""Kernel models through the toolkit and files to a loaded model: scikit-learn's answers by its methods."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as gp
from sklearn.kernel_approximation import Nystroem, RBFSampler, SkewedChi2Sampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM

import scirknn
from scirknn.arrays import Array
from scirknn.cli.commands import main
from sklearn2rknn import Toolkit, convert
from sklearn2rknn.tolerances import PROBABILITY
from tests.converter.estimators.families.emulation import load, offered_methods

CASES: dict[str, tuple[str, Any, float]] = {
    "SVC": ("wine", SVC(), 1e-2),
    "SVC of ten classes": ("digits", SVC(C=10.0, gamma=0.001, decision_function_shape="ovo"), 1e-2),
    "SVC chances": ("wine bad", SVC(probability=True, random_state=0), 1e-2),
    "SVC sigmoid": ("wine", SVC(kernel="sigmoid", gamma=0.01), 1e-2),
    "NuSVC poly": ("breast_cancer bad", NuSVC(nu=0.1, kernel="poly", coef0=1.0), 1e-2),
    "OneClassSVM": ("wine", OneClassSVM(), 1e-3),
    "LabelSpreading": ("wine", LabelSpreading(gamma=0.5), 2e-3),
    "KernelDensity": ("wine", KernelDensity(bandwidth=1.5), 1e-3),
    "KernelPCA": ("wine", KernelPCA(4, kernel="rbf"), 1e-3),
    "Nystroem before a linear model": (
        "digits",
        make_pipeline(
            Nystroem(gamma=0.001, n_components=60, random_state=0), LogisticRegression(max_iter=500)
        ),
        1e-2,
    ),
    "SkewedChi2Sampler": ("wine", SkewedChi2Sampler(skewedness=9.0, n_components=50, random_state=0), 2e-2),
    "RBFSampler": ("wine", RBFSampler(n_components=50, random_state=0), 2e-2),
    "SVR": ("diabetes", SVR(C=100.0), 2e-3),
    "KernelRidge of little regularization": (
        "diabetes bad",
        KernelRidge(kernel="rbf", gamma=0.1, alpha=1e-3),
        1e-3,
    ),
    "GaussianProcessRegressor without noise": (
        "diabetes",
        GaussianProcessRegressor(gp.RBF(3.0), alpha=1e-8, optimizer=None, normalize_y=True),
        2e-3,  # of weights of 3e7: computed in float32 it errs by 6e-4
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_model_answers_on_the_virtual_board(name: str, toolkit: Toolkit, tmp_path: Path) -> None:
    data, estimator, tolerance = CASES[name]
    X, y = load(data)
    X, y = X[:600], y[:600]
    target = np.where(np.arange(len(y)) % 2, -1, y) if "Label" in name else y
    model = make_pipeline(StandardScaler(), estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, target)
    report = convert(model, tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    deciding = report.check.deciding
    assert deciding is not None
    assert deciding.bound_share is not None
    assert deciding.bound_share <= 1
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        assert {each for each in offered_methods(model) if loaded.has(each)} == offered_methods(last)
        assert loaded.has("score") == hasattr(model, "score")
        for method in offered_methods(last):
            _compare(model, loaded, method, X, tolerance)
        if loaded.has("score"):
            assert loaded.score(X, y) == pytest.approx(model.score(X, y), rel=1e-3, abs=1e-3)


def _compare(model: Any, loaded: Any, method: str, X: Array, tolerance: float) -> None:
    expected, given = getattr(model, method)(X), getattr(loaded, method)(X)
    assert (given.shape, given.dtype) == (expected.shape, expected.dtype)
    if expected.dtype.kind != "f":
        clear = np.ones(len(X), dtype=bool)
        if set(np.unique(expected)) <= {-1, 1}:  # of a border through many of its own rows
            clear = np.abs(model.decision_function(X)) > 5e-3
        assert (given == expected)[clear].mean() >= 0.999
    elif method != "predict_log_proba":
        assert np.abs(given - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("data", ["wine", "wine bad"])
def test_sixteen_bits_hold_the_exponents_of_a_kernel(data: str, toolkit: Toolkit, tmp_path: Path) -> None:
    X, y = load(data)
    model = make_pipeline(StandardScaler(), SVC()).fit(X, y)
    convert(model, tmp_path / "m.rknn", example_input=X, precision="int16", toolkit=toolkit)
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        assert (loaded.predict(X) == model.predict(X)).mean() > 0.98


def test_the_command_predicts_a_density_by_its_scores(toolkit: Toolkit, tmp_path: Path) -> None:
    X, _ = load("wine")
    model = make_pipeline(StandardScaler(), KernelDensity(bandwidth=2.0)).fit(X)
    convert(model, tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    np.savetxt(tmp_path / "X.csv", X, delimiter=",")
    given, output = str(tmp_path / "X.csv"), tmp_path / "y.csv"
    assert main(["predict", str(tmp_path / "m.rknn"), given, str(output), "--device", "virtual"]) == 0
    header, *lines = output.read_text().split()
    assert header == "score_samples"
    scores = model.score_samples(X)
    assert np.abs(np.array(lines, dtype=np.float64) - scores).max() < 1e-3 * np.abs(scores).max()


@pytest.mark.parametrize("kind", [LabelPropagation, LabelSpreading])
def test_label_propagation_keeps_its_promise_between_its_own_rows(
    kind: type[Any], toolkit: Toolkit, tmp_path: Path
) -> None:
    """At a fitted row its own weight is 1 and hides the errors of all others."""
    rng = np.random.default_rng(0)
    X, others, y = rng.standard_normal((100, 6)), rng.standard_normal((400, 6)), rng.integers(-1, 3, 100)
    model = kind().fit(X, y)
    report = convert(model, tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        error = np.abs(loaded.predict_proba(others) - model.predict_proba(others)).max()
    assert error <= PROBABILITY
    deciding = report.check.deciding
    assert deciding is not None
    assert deciding.max_probability_error is not None
    assert error <= 10 * deciding.max_probability_error

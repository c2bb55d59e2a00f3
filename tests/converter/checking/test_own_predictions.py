"""An estimator's own answers decide, but where they are nothing but scikit-learn's rounding."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.neighbors import KernelDensity

from sklearn2rknn import UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.own_predictions import check_own_predictions

X, OTHERS = np.random.default_rng(0).normal(size=(2, 100, 2))


@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
def test_log_densities_that_scikit_learn_rounds_away_are_not_compared(kernel: str) -> None:
    model = KernelDensity(bandwidth=0.001, kernel=kernel).fit(X)
    distances = np.linalg.norm(OTHERS[:, None] - X, axis=2) / 0.001
    exact = logsumexp(-(distances**2) / 2 if kernel == "gaussian" else -distances, axis=1)
    exact -= np.log(len(X) * 2 * np.pi * 0.001**2)
    assert np.abs(model.score_samples(OTHERS) - exact).max() > 1
    check_own_predictions(model, network_from_estimator(model), OTHERS)


def test_log_densities_near_rows_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    model = KernelDensity(bandwidth=0.01).fit(X)
    network, right = network_from_estimator(model), model.score_samples
    monkeypatch.setattr(model, "score_samples", lambda rows: right(rows) + 0.01)
    with pytest.raises(UnsupportedModelError, match="in 100 of 100 example rows"):
        check_own_predictions(model, network, X)


def test_sums_that_large_coefficients_leave_to_rounding_are_not_compared() -> None:
    rows = np.abs(5 * X).astype(int)
    model = GaussianProcessRegressor().fit(rows, np.arange(len(rows)) % 3)
    assert np.abs(model.alpha_).max() > 1e9  # of equal rows with other targets
    check_own_predictions(model, network_from_estimator(model), rows)

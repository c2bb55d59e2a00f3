"""Linear regressors, generalized ones among them."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn import linear_model
from sklearn.linear_model import (
    GammaRegressor,
    PoissonRegressor,
    RANSACRegressor,
    TweedieRegressor,
)
from sklearn.svm import LinearSVR

from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network, linear_weights
from sklearn2rknn.estimators.fitted import feature_names, require_fitted
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network

_NAMES = (
    "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "LarsCV",
    "Lasso", "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "MultiTaskElasticNet",
    "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV", "OrthogonalMatchingPursuit",
    "OrthogonalMatchingPursuitCV", "PassiveAggressiveRegressor", "QuantileRegressor", "Ridge", "RidgeCV",
    "SGDRegressor", "TheilSenRegressor",
)  # fmt: skip

PLAIN = (LinearSVR, *(getattr(linear_model, name) for name in _NAMES if hasattr(linear_model, name)))
"""Those that predict ``X @ coef_.T + intercept_``."""

_POWERS = {PoissonRegressor: 1.0, GammaRegressor: 2.0}


@reads(*PLAIN)
def read_linear_regressor(estimator: Any, name: str) -> Network:
    """Return the network of a linear regressor."""
    weights, bias = linear_weights(estimator)
    is_single = np.ndim(estimator.coef_) == 1 or isinstance(estimator, LinearSVR)
    return dense_network(estimator, weights, bias, Answers(task="regressor", single_output=is_single))


@reads(PoissonRegressor, GammaRegressor, TweedieRegressor)
def read_generalized(estimator: Any, name: str) -> Network:
    """Return the network of a generalized linear model, whose score is the deviance explained."""
    weights, bias = linear_weights(estimator)
    power = _POWERS.get(type(estimator), getattr(estimator, "power", None))
    if not isinstance(power, (int, float)) or not np.isfinite(power):
        raise UnsupportedModelError(f"{name}.power is {power!r:.60}; it is a number. Fit again.")
    link = getattr(estimator, "link", "log")
    if link not in ("auto", "identity", "log"):
        raise UnsupportedModelError(f"{name}.link is {link!r:.60}; it is 'identity' or 'log'. Fit again.")
    is_log = link == "log" or (link == "auto" and power > 0)
    return dense_network(
        estimator,
        weights,
        bias,
        Answers(
            task="regressor",
            head="exp" if is_log else "identity",
            single_output=True,
            score=f"d2_tweedie({float(power):.15g})",
        ),
    )


@reads(RANSACRegressor)
def read_ransac(estimator: Any, name: str) -> Network:
    """Return the network of the regressor that was fitted to the inliers."""
    require_fitted(estimator, "estimator_")
    network = network_from_estimator(estimator.estimator_)
    return attrs.evolve(network, estimator=name, feature_names=feature_names(estimator))

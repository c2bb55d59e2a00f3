"""Linear regressors, generalized ones among them."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn import linear_model
from sklearn.linear_model import GammaRegressor, PoissonRegressor, RANSACRegressor, TweedieRegressor
from sklearn.svm import LinearSVR

from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.estimators.dense import Answers, dense_network, linear_weights
from sklearn2rknn.estimators.fitted import feature_names, finite_number, require_fitted
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
    power = finite_number(name, "power", power)
    own = Attributes(estimator)
    link = own.choice("link", ("auto", "identity", "log")) if hasattr(estimator, "link") else "log"
    is_log = link == "log" or (link == "auto" and power > 0)
    head, score = "exp" if is_log else "identity", f"d2_tweedie({power:.15g})"
    return dense_network(
        estimator, weights, bias, Answers(task="regressor", head=head, single_output=True, score=score)
    )


@reads(RANSACRegressor)
def read_ransac(estimator: Any, name: str) -> Network:
    """Return the network of the regressor that was fitted to the inliers."""
    require_fitted(estimator, "estimator_")
    network = network_from_estimator(estimator.estimator_)
    return attrs.evolve(network, estimator=name, feature_names=feature_names(estimator))

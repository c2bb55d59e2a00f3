"""Partial least squares and canonical correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cross_decomposition import CCA, PLSSVD, PLSCanonical, PLSRegression

from scirknn.steps.linear import Columns
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.estimators.dense import Answers, dense_network, linear_weights
from sklearn2rknn.estimators.fitted import fitted_numbers, require_fitted
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network


@reads(PLSRegression, PLSCanonical, CCA)
def read_pls(estimator: Any, name: str) -> Network:
    """Return the network of predictions, then what ``transform`` gives."""
    weights, bias = linear_weights(estimator)
    middle = fitted_numbers(f"{name}._x_mean", estimator._x_mean, 1)
    rotations = fitted_numbers(f"{name}.x_rotations_", estimator.x_rotations_, 2) / estimator._x_std[:, None]
    expected = rotations @ estimator.y_loadings_.T * estimator._y_std
    if not np.allclose(weights, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max()):
        # Before 1.5 they were of scaled columns; predict takes them as they are since.
        raise Attributes(estimator).refuse("coef_", "rotations times loadings, in the units of X and y")
    count, width = weights.shape[1], rotations.shape[1]
    both = np.hstack([weights, rotations])
    own = {"predict": (Columns(0, count),), "transform": (Columns(count, count + width),)}
    return dense_network(
        estimator,
        both,
        np.concatenate([bias, np.zeros(width)]) - middle @ both,
        Answers.of(estimator, "regressor", own, single_output=bool(getattr(estimator, "_predict_1d", False))),
    )


@reads(PLSSVD)
def read_pls_svd(estimator: Any, name: str) -> Network:
    """Return the network of ``transform``."""
    require_fitted(estimator, "x_weights_")
    weights = fitted_numbers(f"{name}.x_weights_", estimator.x_weights_, 2) / estimator._x_std[:, None]
    return dense_network(estimator, weights, -estimator._x_mean @ weights, Answers(task="transformer"))

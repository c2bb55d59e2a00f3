"""Transformers as models: what they give is what is wanted."""

from __future__ import annotations

from math import log, pi
from typing import Any

import attrs
import numpy as np
from sklearn.cluster import FeatureAgglomeration
from sklearn.decomposition import (
    PCA,
    FactorAnalysis,
    FastICA,
    IncrementalPCA,
    MiniBatchSparsePCA,
    SparsePCA,
    TruncatedSVD,
)
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.neural_network import BernoulliRBM
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from scirknn.steps.squares import LogNormal
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import fitted_numbers, require_fitted
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.network.network import Network
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.registry import apply_step


@reads(
    PCA, FactorAnalysis, FastICA, FeatureAgglomeration, GaussianRandomProjection, IncrementalPCA,
    MiniBatchSparsePCA, NeighborhoodComponentsAnalysis, SparsePCA, SparseRandomProjection, TruncatedSVD,
)  # fmt: skip
def read_projection(estimator: Any, name: str) -> Network:
    """Return the network of a step that multiplies by a matrix."""
    require_fitted(estimator, "n_features_in_")
    table = apply_step(estimator, FeatureTable.of_columns(int(estimator.n_features_in_)), "The model")
    assert table.weights is not None
    assert table.bias is not None
    likelihood = _likelihood(estimator, name) if hasattr(estimator, "score_samples") else None
    answers = Answers(task="transformer")
    if likelihood is not None:
        own = {"score_samples": (likelihood,)}
        answers = Answers.of(estimator, "transformer", own, score="mean_log_likelihood")
    network = dense_network(estimator, table.weights, table.bias, answers)
    components = getattr(estimator, "components_", None)
    return attrs.evolve(
        network,
        input=table.affine(),
        input_ranges=table.ranges if table.ranges.known.any() else None,
        dtype="float32" if getattr(components, "dtype", None) == np.float32 else "float64",
    )


@reads(BernoulliRBM, form=Form(without=("score_samples",)))  # it changes columns drawn at random
def read_rbm(estimator: Any, name: str) -> Network:
    """Return the network of the hidden units' probabilities."""
    require_fitted(estimator, "components_")
    weights = fitted_numbers(f"{name}.components_", estimator.components_, 2).T
    bias = fitted_numbers(f"{name}.intercept_hidden_", estimator.intercept_hidden_, 1)
    return dense_network(estimator, weights, bias, Answers(task="transformer", head="logistic"))


def _likelihood(estimator: Any, name: str) -> LogNormal | None:
    """Return the log-likelihood of a row less the mean, of a PCA or a FactorAnalysis.

    Its covariance is ``diag(noise) + C' C``, which Woodbury's identity inverts. None where it is singular, as
    that of a PCA that has fewer rows than features: scikit-learn inverts it none the less.
    """
    components = fitted_numbers(f"{name}.components_", estimator.components_, 2).astype(np.float64)
    width = components.shape[1]
    noise = np.broadcast_to(np.asarray(estimator.noise_variance_, np.float64), width)
    if isinstance(estimator, PCA):
        variances = np.asarray(estimator.explained_variance_, np.float64)
        gains = np.maximum(variances - noise[0], 0.0) * (variances if estimator.whiten else 1.0)
        components = components[gains > 0] * np.sqrt(gains[gains > 0])[:, None]
    if not noise.any() and len(components) == width:
        sizes = np.square(components).sum(axis=1)  # of components that are orthogonal
        matrix, logarithm = components / sizes[:, None], float(np.log(sizes).sum())
        return LogNormal(np.zeros(width), matrix, 1, _log_norm(width, logarithm))
    if not (noise > 0).all():
        return None
    inner = np.eye(len(components)) + (components / noise) @ components.T
    factor = np.linalg.cholesky(inner)
    matrix = np.linalg.solve(factor, components / noise).astype(np.float64)
    logarithm = float(np.log(noise).sum() + 2 * np.log(np.diag(factor)).sum())
    return LogNormal(1.0 / noise, matrix, -1, _log_norm(width, logarithm))


def _log_norm(width: int, logarithm: float) -> float:
    """Return the logarithm of a normal density at its mean, for that of the covariance's determinant."""
    return -0.5 * (width * log(2 * pi) + logarithm)

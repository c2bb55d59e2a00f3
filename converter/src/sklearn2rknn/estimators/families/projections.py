"""Transformers as models: what they give is what is wanted."""

from __future__ import annotations

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

from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import fitted_numbers, require_fitted
from sklearn2rknn.estimators.registry import reads
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
    network = dense_network(estimator, table.weights, table.bias, Answers(task="transformer"))
    return attrs.evolve(
        network,
        input=table.affine(),
        input_ranges=table.ranges if table.ranges.known.any() else None,
        dtype="float32" if _dtype(estimator) == np.float32 else "float64",
    )


@reads(BernoulliRBM)
def read_rbm(estimator: Any, name: str) -> Network:
    """Return the network of the hidden units' probabilities."""
    require_fitted(estimator, "components_")
    weights = fitted_numbers(f"{name}.components_", estimator.components_, 2).T
    bias = fitted_numbers(f"{name}.intercept_hidden_", estimator.intercept_hidden_, 1)
    return dense_network(estimator, weights, bias, Answers(task="transformer", head="logistic"))


def _dtype(estimator: Any) -> Any:
    return getattr(getattr(estimator, "components_", None), "dtype", None)

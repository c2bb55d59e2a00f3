"""Steps that multiply by a matrix, and what PCA and TruncatedSVD leave out: centred, whitened, pooled."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import FeatureAgglomeration
from sklearn.decomposition import FactorAnalysis, FastICA, IncrementalPCA, MiniBatchSparsePCA, SparsePCA
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.transformers.decompositions import project
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import refuse_text
from sklearn2rknn.transformers.registry import reads


@reads(IncrementalPCA)
def apply_incremental_pca(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Subtract the mean, multiply by the components, and whiten."""
    refuse_text(table, named)
    return project(step, table)


@reads(FactorAnalysis)
def apply_factor_analysis(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Multiply by the posterior mean's matrix (Barber, Bayesian Reasoning and Machine Learning, 21.2.2)."""
    refuse_text(table, named)
    weighted = step.components_ / step.noise_variance_
    posterior = np.linalg.inv(np.eye(len(step.components_)) + weighted @ step.components_.T)
    name = type(step).__name__
    return table.calculate("subtract", step.mean_).mix(weighted.T, name).mix(posterior, name)


@reads(FastICA)
def apply_ica(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Subtract the mean where it whitens, and multiply by the components."""
    refuse_text(table, named)
    centred = table.calculate("subtract", step.mean_) if step.whiten else table
    return centred.mix(step.components_.T, type(step).__name__)


@reads(SparsePCA, MiniBatchSparsePCA)
def apply_sparse_pca(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Solve the ridge regression on the components once for all rows: its result is linear in X."""
    refuse_text(table, named)
    components = step.components_
    gram = components @ components.T + step.ridge_alpha * np.eye(len(components))
    centred = table.calculate("subtract", step.mean_)
    return centred.mix(np.linalg.solve(gram, components).T, type(step).__name__)


@reads(GaussianRandomProjection, SparseRandomProjection, NeighborhoodComponentsAnalysis)
def apply_projection(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Multiply by the components."""
    refuse_text(table, named)
    components = step.components_
    matrix = (components.toarray() if hasattr(components, "toarray") else components).T
    return table.mix(matrix, type(step).__name__)


@reads(FeatureAgglomeration)
def apply_agglomeration(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Take the mean of each cluster of features."""
    refuse_text(table, named)
    pooling = step.pooling_func
    if pooling is not np.mean and getattr(pooling, "full_name", "") != "numpy.mean":
        name = getattr(pooling, "__name__", repr(pooling))
        raise UnsupportedModelError(
            f"{named} has pooling_func={name:.60}; the mean can be converted. Fit with "
            "pooling_func=numpy.mean."
        )
    labels = np.asarray(step.labels_)
    members = np.eye(labels.max() + 1)[labels]
    return table.mix(members, type(step).__name__).calculate("divide", members.sum(axis=0))

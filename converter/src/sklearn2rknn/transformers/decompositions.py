"""PCA and TruncatedSVD: matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA, TruncatedSVD

from sklearn2rknn.network.ranges import sample_bounds
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import refuse_text
from sklearn2rknn.transformers.registry import reads


@reads(PCA)
def apply_pca(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Subtract the mean and multiply by the components."""
    refuse_text(table, named)
    table = table.with_range(*sample_bounds(step.mean_, _pca_variance(step), step.n_samples_), "PCA")
    return project(step, table)


def project(step: Any, table: FeatureTable) -> FeatureTable:
    """Return what a PCA of any kind makes of features: centred, multiplied by the components, whitened."""
    name, matrix = type(step).__name__, step.components_.T
    if table.is_exact:
        mixed = table.mix(matrix, name).calculate("subtract", step.mean_ @ matrix)
    else:
        # The mean is subtracted before the matrix, not after it: X may be large beside what varies in it.
        mixed = table.calculate("subtract", step.mean_).mix(matrix, name)
    if not step.whiten:
        return mixed
    deviation = np.sqrt(step.explained_variance_)
    return mixed.calculate("divide", np.maximum(deviation, np.finfo(deviation.dtype).eps))


def _pca_variance(step: Any) -> npt.NDArray[np.float64]:
    """Return an upper bound on each feature's variance.

    The components' share of it, and all that they leave, which no feature can exceed.
    """
    kept = np.asarray(step.explained_variance_, dtype=np.float64)
    ratio = np.asarray(step.explained_variance_ratio_, dtype=np.float64)
    if not (ratio > 0).any():  # without components too
        return np.full(step.n_features_in_, np.inf)
    left = max(0.0, float(kept[0] / ratio[0] - kept.sum()))
    # Some roundings of the total are left too.
    return np.asarray(kept @ step.components_**2 + left + 1e-12 * kept.sum())


@reads(TruncatedSVD)
def apply_svd(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Multiply by the components."""
    refuse_text(table, named)
    return table.mix(step.components_.T, type(step).__name__)

"""Models and transformers of a kernel, and random features that stand for one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from sklearn.decomposition import KernelPCA
from sklearn.kernel_approximation import Nystroem, RBFSampler, SkewedChi2Sampler
from sklearn.kernel_ridge import KernelRidge

from scirknn.arrays import Array, Floats
from scirknn.steps.kernels import Cosines
from scirknn.steps.norms import Skewed
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import finite_number, fitted_numbers, require_fitted, stored_rows
from sklearn2rknn.estimators.kernels import KERNELS, PairwiseKernel, kernel_network, pairwise_kernel
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.network.network import Network

COSINES = Form("one dense layer; cosines on the host", precisions=("float16",))


@reads(KernelRidge, form=KERNELS)
def read_kernel_ridge(estimator: Any, name: str) -> Network:
    """Return the network of the predictions."""
    require_fitted(estimator, "dual_coef_")
    weights = fitted_numbers(f"{name}.dual_coef_", estimator.dual_coef_, None)
    is_single = weights.ndim == 1
    weights = weights[:, None] if is_single else weights
    kernel = _kernel(estimator, estimator.gamma)
    points = _points(estimator, "X_fit_")
    answers = Answers(task="regressor", single_output=is_single)
    return kernel_network(estimator, kernel, points, (weights, np.zeros(weights.shape[1])), answers)


@reads(KernelPCA, form=KERNELS)
def read_kernel_pca(estimator: Any, name: str) -> Network:
    """Return the network of ``transform``; the centring of the kernel goes into weights and bias."""
    require_fitted(estimator, "eigenvectors_")
    kernel = _kernel(estimator, getattr(estimator, "gamma_", None))
    points = _points(estimator, "X_fit_")
    vectors = Attributes(estimator).array("eigenvectors_", (len(points), None), "f")
    values = Attributes(estimator).array("eigenvalues_", (vectors.shape[1],), "f")
    vectors = np.where(values != 0, vectors / np.sqrt(np.where(values != 0, values, 1.0)), 0.0)
    centerer = Attributes(estimator._centerer)
    rows = centerer.array("K_fit_rows_", (len(points),), "f")
    weights = fitted_numbers(f"{name}.eigenvectors_", vectors - vectors.mean(axis=0), 2)
    bias = fitted_numbers(f"{name}._centerer", (estimator._centerer.K_fit_all_ - rows) @ vectors, 1)
    return _of_dtype(
        kernel_network(estimator, kernel, points, (weights, bias), Answers(task="transformer")), vectors
    )


@reads(Nystroem, form=KERNELS)
def read_nystroem(estimator: Any, name: str) -> Network:
    """Return the network of ``transform``."""
    require_fitted(estimator, "components_")
    given = estimator.kernel_params or {}
    own = {key: getattr(estimator, key) for key in ("gamma", "coef0", "degree")}
    kernel = _kernel(estimator, {**given, **{key: v for key, v in own.items() if v is not None}})
    points = _points(estimator, "components_")
    weights = fitted_numbers(f"{name}.normalization_", estimator.normalization_, 2).T
    answers = Answers(task="transformer")
    network = kernel_network(estimator, kernel, points, (weights, np.zeros(weights.shape[1])), answers)
    return _of_dtype(network, estimator.components_)


@reads(RBFSampler, SkewedChi2Sampler, form=COSINES)
def read_sampler(estimator: Any, name: str) -> Network:
    """Return the network of random projections, whose cosines the host takes."""
    require_fitted(estimator, "random_weights_")
    weights = fitted_numbers(f"{name}.random_weights_", estimator.random_weights_, 2)
    offset = fitted_numbers(f"{name}.random_offset_", estimator.random_offset_, 1)
    if offset.shape != weights.shape[1:] or len(weights) != Attributes(estimator).width():
        raise Attributes(estimator).refuse("random_offset_", f"one number for each of {weights.shape[1]}")
    network = dense_network(estimator, weights, offset, Answers(task="transformer"))
    network = attrs.evolve(network, epilogue=(Cosines(float(np.sqrt(2.0 / weights.shape[1]))),))
    if isinstance(estimator, SkewedChi2Sampler):
        skewed = Skewed(finite_number(name, "skewedness", estimator.skewedness))
        return attrs.evolve(network, features=(skewed,), features_in=len(weights))
    return network


def _kernel(estimator: Any, given: Any) -> PairwiseKernel:
    """Return an estimator's kernel, with the defaults of `sklearn.metrics.pairwise`."""
    if not isinstance(given, Mapping):
        given = {"gamma": given, "coef0": estimator.coef0, "degree": estimator.degree}
    defaults = {"gamma": 1.0 / Attributes(estimator).width(), "coef0": 1, "degree": 3}
    parameters = {key: given.get(key) for key in defaults}
    chosen = {key: defaults[key] if value is None else value for key, value in parameters.items()}
    return pairwise_kernel(type(estimator).__name__, estimator.kernel, chosen)


def _points(estimator: Any, key: str) -> Floats:
    attributes = Attributes(estimator)
    points = stored_rows(f"{attributes.name}.{key}", getattr(estimator, key))
    if points.shape[1] != attributes.width():
        raise attributes.refuse(key, f"rows of {attributes.width()} features")
    return points


def _of_dtype(network: Network, values: Array) -> Network:
    return attrs.evolve(network, dtype="float32" if values.dtype == np.float32 else "float64")

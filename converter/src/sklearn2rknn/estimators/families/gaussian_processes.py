"""Gaussian processes: the mean of a regression."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as gp

from scirknn.arrays import Floats
from scirknn.steps.kernels import Kernel
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.fitted import fitted_numbers, require_fitted, stored_rows
from sklearn2rknn.estimators.kernels import KERNELS, Exponent, exponent_network
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network

_DEEPEST = 32
_CONSTANT = "constant"


@reads(GaussianProcessRegressor, form=KERNELS)
def read_regressor(estimator: Any, name: str) -> Network:
    """Return the network of the mean; a deviation would take a product with all pairs of fitted rows."""
    require_fitted(estimator, "alpha_")
    points = np.asarray(stored_rows(f"{name}.X_train_", estimator.X_train_), np.float64)
    alpha = fitted_numbers(f"{name}.alpha_", estimator.alpha_, None).reshape(len(points), -1)
    deviation = np.atleast_1d(fitted_numbers(f"{name}._y_train_std", _as_array(estimator._y_train_std), None))
    mean = np.atleast_1d(fitted_numbers(f"{name}._y_train_mean", _as_array(estimator._y_train_mean), None))
    weights = alpha * deviation
    width = points.shape[1]
    if getattr(estimator, "n_features_in_", width) != width or mean.shape != deviation.shape:
        raise Attributes(estimator).refuse("X_train_", f"rows of {estimator.n_features_in_} features")
    terms = _terms(estimator.kernel_, width, 0)
    constant = sum(each.factor for each in terms if each.function == _CONSTANT)
    bias = np.broadcast_to(mean + constant * weights.sum(axis=0), weights.shape[1:])
    varying = [each for each in terms if each.function != _CONSTANT] or [_nothing(width, 0.0)]
    epilogue = Kernel(
        tuple(each.function for each in varying),
        tuple(each.parameter for each in varying),
        np.vstack([each.factor * weights for each in varying]),
        np.array(bias),
    )
    answers = Answers(task="regressor", single_output=weights.shape[1] == 1)
    return exponent_network(estimator, varying, points, (epilogue,), answers)


def _terms(kernel: Any, width: int, depth: int) -> list[Exponent]:
    """Return the terms whose sum a kernel is between different rows, where white noise is 0."""
    kind = type(kernel)
    if depth > _DEEPEST:
        raise UnsupportedModelError(f"A {kind.__name__} lies deeper than {_DEEPEST} kernels. Fit it again.")
    if kind is gp.WhiteKernel:
        return []
    if kind is gp.ConstantKernel:
        return [attrs.evolve(_nothing(width), function=_CONSTANT, factor=_positive(kernel, "constant_value"))]
    if kind is gp.DotProduct:
        constant = attrs.evolve(_nothing(width), function=_CONSTANT, factor=float(kernel.sigma_0) ** 2)
        return [constant, _nothing(width)]
    if kind is gp.Sum:
        return [*_terms(kernel.k1, width, depth + 1), *_terms(kernel.k2, width, depth + 1)]
    if kind is gp.Product:
        first, second = (_terms(each, width, depth + 1) for each in (kernel.k1, kernel.k2))
        return [_product(one, other) for one in first for other in second]
    if kind is gp.Exponentiation:
        terms = _terms(kernel.kernel, width, depth + 1)
        return [_power(each, float(kernel.exponent), len(terms)) for each in terms]
    return [_stationary(kernel, width)]


def _stationary(kernel: Any, width: int) -> Exponent:
    kind = type(kernel)
    if kind not in (gp.RBF, gp.Matern, gp.RationalQuadratic):
        raise _refusal(kind.__name__)
    rates = np.broadcast_to(0.5 / _lengths(kernel) ** 2, (width,))
    if kind is gp.RBF or (kind is gp.Matern and kernel.nu == math.inf):
        return Exponent("rbf", 0.0, rates)
    if kind is gp.RationalQuadratic:
        return Exponent("rational", _positive(kernel, "alpha"), rates)
    if kernel.nu not in (0.5, 1.5, 2.5):
        raise _refusal(f"Matern of nu={kernel.nu!r:.60}")
    return Exponent("matern", float(kernel.nu), rates)


def _product(one: Exponent, other: Exponent) -> Exponent:
    factor = one.factor * other.factor
    if one.function == _CONSTANT:
        return attrs.evolve(other, factor=factor)
    if other.function == _CONSTANT:
        return attrs.evolve(one, factor=factor)
    if one.function == other.function == "rbf":
        return Exponent("rbf", 0.0, one.rates + other.rates, factor)
    raise _refusal("product of kernels other than RBF and ConstantKernel")


def _power(term: Exponent, exponent: float, terms: int) -> Exponent:
    if terms > 1 or term.function not in (_CONSTANT, "rbf"):
        raise _refusal("power of kernels other than RBF and ConstantKernel")
    return attrs.evolve(term, rates=term.rates * exponent, factor=term.factor**exponent)


def _nothing(width: int, factor: float = 1.0) -> Exponent:
    """Return the product of rows, which no distance has a part in."""
    return Exponent("linear", 0.0, np.zeros(width), factor)


def _lengths(kernel: Any) -> Floats:
    lengths = np.asarray(kernel.length_scale, np.float64)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise Attributes(kernel).refuse("length_scale", "positive numbers")
    return lengths


def _positive(kernel: Any, key: str) -> float:
    Attributes(kernel).number(key)
    value = float(getattr(kernel, key))
    if not 0 < value < math.inf:
        raise Attributes(kernel).refuse(key, "a positive number")
    return value


def _refusal(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"GaussianProcessRegressor's kernel holds a {what}, which cannot be converted. Fit with sums of RBF, "
        "Matern (nu 0.5, 1.5, 2.5), RationalQuadratic, DotProduct, ConstantKernel and WhiteKernel, each "
        "times a ConstantKernel."
    )


def _as_array(values: Any) -> Any:
    return np.asarray(values, np.float64)

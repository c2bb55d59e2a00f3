"""Models of Gaussian densities: discriminants of classes, mixtures, and the distance from one of them."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from scipy.linalg import pinvh
from scipy.special import digamma
from sklearn.covariance import EllipticEnvelope
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from scirknn.arrays import Floats
from scirknn.steps.linear import Dense, Shift
from scirknn.steps.squares import LogSum
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.fitted import (
    checked_numbers,
    class_labels,
    fitted_numbers,
    positive_numbers,
    require_fitted,
)
from sklearn2rknn.estimators.quadratic_forms import QUADRATIC, QuadraticForms, quadratic_network
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network


@reads(QuadraticDiscriminantAnalysis, form=QUADRATIC)
def read_discriminant(estimator: Any, name: str) -> Network:
    """Return the network of the classes' log posteriors, up to what they have in common."""
    require_fitted(estimator, "rotations_")
    classes = class_labels(name, estimator.classes_)
    count, width = len(classes), Attributes(estimator).width()
    priors = positive_numbers(estimator, "priors_", (count,))
    centres = checked_numbers(estimator, "means_", (count, width))
    pairs = [_rotation(estimator, place, count, width) for place in range(count)]
    logarithms = np.array([np.log(scaling).sum() for _, scaling in pairs])
    forms = QuadraticForms(
        centres,
        [rotation / np.sqrt(scaling) for rotation, scaling in pairs],
        np.log(priors) - 0.5 * logarithms,
    )
    ratio = (Dense(np.array([[-1.0], [1.0]]), np.zeros(1)),) if count == 2 else ()
    answers = Answers.of(
        estimator, "classifier", {"decision_function": ratio}, head="softmax", classes=classes
    )
    return quadratic_network(estimator, forms, answers)


@reads(GaussianMixture, BayesianGaussianMixture, form=QUADRATIC)
def read_mixture(estimator: Any, name: str) -> Network:
    """Return the network of each component's log density, weighted."""
    require_fitted(estimator, "precisions_cholesky_")
    width = Attributes(estimator).width()
    centres = checked_numbers(estimator, "means_", (None, width))
    maps, logarithms = _cholesky(estimator, len(centres), width)
    constants = logarithms - 0.5 * width * np.log(2.0 * np.pi)
    if isinstance(estimator, BayesianGaussianMixture):
        constants = constants + _expected_logarithms(estimator, len(centres), width)
    else:
        constants = constants + np.log(positive_numbers(estimator, "weights_", (len(centres),)))
    answers = Answers.of(
        estimator,
        "clusterer",
        {"predict_proba": (), "score_samples": (LogSum(),)},
        head="softmax",
        classes=np.arange(len(centres)),
        score="mean_log_likelihood",
    )
    network = quadratic_network(estimator, QuadraticForms(centres, maps, constants), answers)
    is_single = estimator.precisions_cholesky_.dtype == estimator.means_.dtype == np.float32
    return attrs.evolve(network, dtype="float32" if is_single else "float64")


@reads(EllipticEnvelope, form=QUADRATIC)
def read_envelope(estimator: Any, name: str) -> Network:
    """Return the network of the decision function: how much nearer than the border a row is."""
    require_fitted(estimator, "location_")
    width = Attributes(estimator).width()
    centre = checked_numbers(estimator, "location_", (width,))
    offset = float(fitted_numbers(f"{name}.offset_", np.asarray(estimator.offset_, np.float64), 0))
    if estimator.store_precision:
        precision = checked_numbers(estimator, "precision_", (width, width))
    else:
        precision = pinvh(checked_numbers(estimator, "covariance_", (width, width)))
    forms = QuadraticForms(centre[None], [_root(estimator, precision)], np.array([-offset]), factor=-1.0)
    answers = Answers.of(estimator, "outlier", {"score_samples": (Shift((offset,)),)}, score="accuracy")
    return quadratic_network(estimator, forms, answers)


def _rotation(estimator: Any, place: int, count: int, width: int) -> tuple[Floats, Floats]:
    """Return a class's directions, shape (n_features, k), and its variances along them, shape (k,)."""
    attributes = Attributes(estimator)
    for key in ("rotations_", "scalings_"):
        if not isinstance(attributes.get(key), list) or len(attributes.get(key)) != count:
            raise attributes.refuse(key, f"a list of {count} arrays")
    rotation, scaling = estimator.rotations_[place], estimator.scalings_[place]
    rotation = fitted_numbers(f"{attributes.name}.rotations_", rotation, 2).astype(np.float64)
    scaling = fitted_numbers(f"{attributes.name}.scalings_", scaling, 1).astype(np.float64)
    if rotation.shape != (width, len(scaling)):
        raise attributes.refuse("rotations_", f"{width} rows each, and columns for scalings_")
    if not (scaling > 0).all():
        raise attributes.refuse("scalings_", "positive numbers")
    return rotation, scaling


def _cholesky(estimator: Any, count: int, width: int) -> tuple[list[Floats], Floats]:
    """Return each component's factor of its precision, and the logarithm of that factor's determinant."""
    kind = Attributes(estimator).choice("covariance_type", ("full", "tied", "diag", "spherical"))
    key = "precisions_cholesky_"
    if kind in ("diag", "spherical"):
        factors = positive_numbers(estimator, key, (count, width) if kind == "diag" else (count,))
        diagonals = np.broadcast_to(factors.reshape(count, -1), (count, width))
        maps = [np.diag(each) for each in diagonals]
    else:
        shape = (width, width) if kind == "tied" else (count, width, width)
        maps = list(np.broadcast_to(checked_numbers(estimator, key, shape), (count, width, width)))
        diagonals = np.array([each.diagonal() for each in maps])
    if not (diagonals > 0).all():
        raise Attributes(estimator).refuse(key, "positive diagonals")
    return maps, np.log(diagonals).sum(axis=1)


def _expected_logarithms(estimator: Any, count: int, width: int) -> Floats:
    """Return what the variational posterior adds to the components' log densities.

    Bishop, Pattern Recognition and Machine Learning, 2006, equations 10.64 to 10.66; of a Dirichlet process
    Blei and Jordan, Variational inference for Dirichlet process mixtures, 2006.
    """
    single = estimator.covariance_type == "tied"
    freedom = (
        np.asarray(estimator.degrees_of_freedom_, np.float64)
        if single
        else positive_numbers(estimator, "degrees_of_freedom_", (count,))
    )
    if single and not (freedom.ndim == 0 and np.isfinite(freedom) and freedom > 0):
        raise Attributes(estimator).refuse("degrees_of_freedom_", "a positive number")
    precision = positive_numbers(estimator, "mean_precision_", (count,))
    halves = 0.5 * (freedom - np.arange(width)[:, None])
    determinants = width * np.log(2.0) + digamma(halves).sum(axis=0)
    spread = 0.5 * (determinants - width / precision - width * np.log(freedom))
    return np.asarray(spread + _log_weights(estimator, count))


def _log_weights(estimator: Any, count: int) -> Floats:
    kind = Attributes(estimator).choice(
        "weight_concentration_prior_type", ("dirichlet_process", "dirichlet_distribution")
    )
    given = estimator.weight_concentration_
    is_process = kind == "dirichlet_process"
    shape = (2, count) if is_process else (count,)
    if isinstance(given, tuple) != is_process or np.shape(given) != shape:
        raise Attributes(estimator).refuse("weight_concentration_", f"numbers of shape {shape}")
    numbers = fitted_numbers(f"{type(estimator).__name__}.weight_concentration_", given, len(shape))
    if not (numbers > 0).all():
        raise Attributes(estimator).refuse("weight_concentration_", "positive numbers")
    if not is_process:
        return np.asarray(digamma(numbers) - digamma(numbers.sum()))
    both = digamma(numbers.sum(axis=0))
    taken, left = (digamma(each) - both for each in numbers)
    return np.asarray(taken + np.concatenate([[0.0], np.cumsum(left)[:-1]]))


def _root(estimator: Any, precision: Floats) -> Floats:
    """Return P with ``P P' = precision``, found in units in which columns of any size count alike."""
    symmetric = 0.5 * (precision + precision.T)
    diagonal = symmetric.diagonal()
    if (diagonal < 0).any() or not diagonal.any():
        raise Attributes(estimator).refuse("precision_", "a matrix with a diagonal above 0")
    unit = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, vectors = np.linalg.eigh(symmetric / np.outer(unit, unit))
    is_there = values > len(values) * np.finfo(float).eps
    return np.asarray(unit[:, None] * vectors[:, is_there] * np.sqrt(values[is_there]))

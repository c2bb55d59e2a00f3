"""Naive Bayes models: linear in counts or in indicators of what a row holds, or Gaussian."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from scirknn.arrays import Floats
from scirknn.steps.indicators import Above, OneHot
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import (
    checked_numbers,
    class_labels,
    finite_number,
    fitted_numbers,
    positive_numbers,
    require_fitted,
)
from sklearn2rknn.estimators.quadratic_forms import DIAGONAL, QuadraticForms, quadratic_network
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.network.network import Network

INDICATORS = Form("comparisons on the host; one dense layer of their results")


@reads(MultinomialNB, ComplementNB)
def read_counts(estimator: Any, name: str) -> Network:
    """Return the network of log-likelihoods of counts."""
    require_fitted(estimator, "feature_log_prob_")
    weights = fitted_numbers(f"{name}.feature_log_prob_", estimator.feature_log_prob_, 2).T
    prior = _log_priors(estimator)
    return _likelihoods(
        estimator, weights, np.zeros(weights.shape[1]) if isinstance(estimator, ComplementNB) else prior
    )


@reads(BernoulliNB, form=INDICATORS)
def read_bernoulli(estimator: Any, name: str) -> Network:
    """Return the network of log-likelihoods of what is above `binarize`; None takes X as it is."""
    require_fitted(estimator, "feature_log_prob_")
    width = Attributes(estimator).width()
    prior = _log_priors(estimator)
    present = checked_numbers(estimator, "feature_log_prob_", (len(prior), width))
    if not (present < 0).all():
        raise Attributes(estimator).refuse("feature_log_prob_", "logarithms of probabilities under 1")
    absent = np.log(1.0 - np.exp(present))
    network = _likelihoods(estimator, (present - absent).T, prior + absent.sum(axis=1))
    if estimator.binarize is None:
        return network
    threshold = finite_number(name, "binarize", estimator.binarize)
    above = Above(np.arange(width), np.full(width, threshold))
    return attrs.evolve(network, features=(above,), features_in=width)


@reads(CategoricalNB, form=INDICATORS)
def read_categories(estimator: Any, name: str) -> Network:
    """Return the network of log-likelihoods of the category that each column holds."""
    require_fitted(estimator, "feature_log_prob_")
    attributes = Attributes(estimator)
    width, given = attributes.width(), estimator.feature_log_prob_
    prior = _log_priors(estimator)
    if not isinstance(given, list) or len(given) != width:
        raise attributes.refuse("feature_log_prob_", f"a list of {width} arrays")
    tables = [fitted_numbers(f"{name}.feature_log_prob_", each, 2) for each in given]
    if any(len(each) != len(prior) for each in tables):
        raise attributes.refuse("feature_log_prob_", f"arrays of {len(prior)} classes")
    network = _likelihoods(estimator, np.hstack(tables).T, prior)
    categories = OneHot(tuple(each.shape[1] for each in tables))
    return attrs.evolve(network, features=(categories,), features_in=width)


@reads(GaussianNB, form=DIAGONAL)
def read_gaussian(estimator: Any, name: str) -> Network:
    """Return the network of log-likelihoods of columns that are independent in each class."""
    require_fitted(estimator, "theta_")
    prior = positive_numbers(estimator, "class_prior_", (None,))
    shape = (len(prior), Attributes(estimator).width())
    centres = checked_numbers(estimator, "theta_", shape)
    variances = positive_numbers(estimator, "var_", shape)
    own = variances.astype(estimator.var_.dtype)  # scikit-learn sums in the precision that it was fitted in
    constants = np.log(prior) - 0.5 * np.log(2.0 * np.pi * own).sum(axis=1)
    maps = [np.diag(1.0 / np.sqrt(each)) for each in variances]
    forms = QuadraticForms(centres, maps, constants)
    network = quadratic_network(estimator, forms, _answers(estimator, len(prior)))
    return attrs.evolve(network, dtype="float32" if estimator.var_.dtype == np.float32 else "float64")


def _log_priors(estimator: Any) -> Floats:
    if np.isneginf(np.asarray(estimator.class_log_prior_, np.float64)).any():
        name = type(estimator).__name__
        raise UnsupportedModelError(f"{name} gives a class the prior 0. Fit with priors above 0.")
    return checked_numbers(estimator, "class_log_prior_", (None,))


def _likelihoods(estimator: Any, weights: Floats, bias: Floats) -> Network:
    """Return the network of log-likelihoods, less their mean over the classes.

    They reach thousands where their differences decide; neither softmax nor the largest one sees what all
    have in common.
    """
    differing = weights - weights.mean(axis=1, keepdims=True)
    return dense_network(estimator, differing, bias - bias.mean(), _answers(estimator, len(bias)))


def _answers(estimator: Any, count: int) -> Answers:
    classes = class_labels(type(estimator).__name__, estimator.classes_)
    if len(classes) != count:
        raise Attributes(estimator).refuse("classes_", f"{count} labels")
    return Answers.of(estimator, "classifier", head="softmax", classes=classes)

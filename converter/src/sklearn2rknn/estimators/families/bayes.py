"""Naive Bayes models that are linear in the counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.naive_bayes import ComplementNB, MultinomialNB

from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import class_labels, fitted_numbers, methods, require_fitted
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network


@reads(MultinomialNB, ComplementNB)
def read_counts(estimator: Any, name: str) -> Network:
    """Return the network of log-likelihoods, less their mean over the classes.

    They reach thousands where their differences decide; neither softmax nor the largest one sees what all
    have in common.
    """
    require_fitted(estimator, "feature_log_prob_")
    weights = fitted_numbers(f"{name}.feature_log_prob_", estimator.feature_log_prob_, 2).T
    prior = fitted_numbers(f"{name}.class_log_prior_", estimator.class_log_prior_, 1)
    bias = np.zeros(weights.shape[1]) if isinstance(estimator, ComplementNB) else prior
    return dense_network(
        estimator,
        weights - weights.mean(axis=1, keepdims=True),
        bias - bias.mean(),
        Answers(
            task="classifier",
            head="softmax",
            classes=class_labels(name, estimator.classes_),
            responses=methods(estimator, "classifier"),
        ),
    )

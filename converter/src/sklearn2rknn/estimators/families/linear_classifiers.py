"""Linear classifiers, and the outlier detector that is one."""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn import linear_model
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier, SGDOneClassSVM
from sklearn.svm import LinearSVC

from scirknn.steps.activations import Activation
from scirknn.steps.chances import HuberChances, Normalized, WithComplement
from scirknn.steps.linear import Columns, Dense, Shift
from scirknn.steps.step import Step
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network, linear_weights
from sklearn2rknn.estimators.fitted import fitted_numbers, require_fitted
from sklearn2rknn.estimators.registry import reads
from sklearn2rknn.network.network import Network

_NAMES = ("PassiveAggressiveClassifier", "Perceptron", "RidgeClassifier", "RidgeClassifierCV")

PLAIN = (LinearSVC, *(getattr(linear_model, name) for name in _NAMES if hasattr(linear_model, name)))
"""Those without probabilities."""


@reads(*PLAIN)
def read_linear_classifier(estimator: Any, name: str) -> Network:
    """Return the network of a linear classifier without probabilities."""
    return _network(estimator, {})


@reads(LogisticRegression, LogisticRegressionCV)
def read_logistic_regression(estimator: Any, name: str) -> Network:
    """Return the network of a logistic regression.

    Until 1.7 `multi_class` could ask for one model for each class, or for a score of two classes that is half
    the difference of their two.
    """
    require_fitted(estimator, "coef_")
    chosen, is_binary = getattr(estimator, "multi_class", "auto"), np.shape(estimator.coef_)[0] == 1
    chances: tuple[Step, ...] = ()
    if is_binary and chosen == "multinomial":
        chances = (Dense(np.array([[2.0]]), np.zeros(1)), Activation("logistic"), WithComplement())
    elif not is_binary and (chosen in ("ovr", "warn") or estimator.solver == "liblinear"):
        chances = (Activation("logistic"), Normalized())
    if chances and "multi_class" not in type(estimator)._parameter_constraints:
        raise UnsupportedModelError(
            f"{name} with multi_class={chosen!r:.40} and solver={estimator.solver!r:.40} has probabilities "
            f"that scikit-learn {sklearn.__version__} no longer computes. Fit it again, or a "
            "OneVsRestClassifier(LogisticRegression())."
        )
    return _network(estimator, {"predict_proba": chances, "predict_log_proba": ()})


@reads(SGDClassifier)
def read_sgd(estimator: Any, name: str) -> Network:
    """Return the network of a linear classifier fitted by stochastic gradient descent."""
    is_binary = np.shape(estimator.coef_)[0] == 1 if hasattr(estimator, "coef_") else True
    chances: tuple[Step, ...] = ()
    if estimator.loss == "modified_huber":
        chances = (HuberChances(), WithComplement() if is_binary else Normalized())
    elif not is_binary:
        chances = (Activation("logistic"), Normalized())
    return _network(estimator, {"predict_proba": chances, "predict_log_proba": ()})


@reads(LinearDiscriminantAnalysis)
def read_lda(estimator: Any, name: str) -> Network:
    """Return the network of a linear discriminant analysis: its scores, then what ``transform`` gives."""
    weights, bias = linear_weights(estimator)
    count = weights.shape[1]
    head = "logistic" if count == 1 else "softmax"
    chances: dict[str, tuple[Step, ...]] = {"predict_proba": (), "predict_log_proba": ()}
    if estimator.solver == "lsqr":  # whose transform raises
        return _network(estimator, chances)
    scalings = fitted_numbers(f"{name}.scalings_", estimator.scalings_[:, : estimator._max_components], 2)
    middle = fitted_numbers(f"{name}.xbar_", estimator.xbar_, 1) if estimator.solver == "svd" else 0.0
    scores = Columns(0, count)
    end: tuple[Step, ...] = (Activation(head), WithComplement()) if count == 1 else (Activation(head),)
    own = {
        "predict": (scores,),
        "predict_proba": (scores, *end),
        "predict_log_proba": (),
        "decision_function": (scores,),
        "transform": (Columns(count, count + scalings.shape[1]),),
    }
    shift = -np.broadcast_to(middle, len(scalings)) @ scalings
    return dense_network(
        estimator,
        np.hstack([weights, scalings]),
        np.concatenate([bias, shift]),
        Answers.of(estimator, "classifier", own, head=head),
    )


@reads(SGDOneClassSVM)
def read_one_class(estimator: Any, name: str) -> Network:
    """Return the network of a linear one-class SVM."""
    weights = fitted_numbers(f"{name}.coef_", getattr(estimator, "coef_", None), 1)
    offset = fitted_numbers(f"{name}.offset_", getattr(estimator, "offset_", None), 1)
    own = {"decision_function": (), "score_samples": (Shift((float(offset[0]),)),)}
    return dense_network(
        estimator,
        weights[:, None],
        -offset,
        Answers.of(estimator, "outlier", own, classes=np.array([-1, 1], dtype=np.int32)),
    )


def _network(estimator: Any, own: dict[str, tuple[Step, ...]]) -> Network:
    """Return the network of scores, one for each class, or one for two classes."""
    weights, bias = linear_weights(estimator)
    binarizer = getattr(estimator, "_label_binarizer", None)
    is_multilabel = str(getattr(binarizer, "y_type_", "")).startswith("multilabel")
    task = "multilabel" if is_multilabel else "classifier"
    head = "logistic" if is_multilabel or weights.shape[1] == 1 else "softmax"
    return dense_network(
        estimator,
        weights,
        bias,
        Answers.of(estimator, task, {"decision_function": (), **own}, head=head),
    )

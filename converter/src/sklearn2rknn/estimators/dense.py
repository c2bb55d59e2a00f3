"""Networks of one dense layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from scirknn.answers import Responses
from scirknn.arrays import Array, Floats
from scirknn.steps.step import Step
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.fitted import (
    class_labels,
    feature_names,
    fitted_numbers,
    methods,
    require_fitted,
)
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network


@attrs.frozen(eq=False, kw_only=True)
class Answers:
    """What a network's outputs mean: the fields of that name of `Network`."""

    task: str
    head: str = "identity"
    classes: Array | None = None
    single_output: bool = False
    responses: Responses | None = None
    score: str | None = None

    @classmethod
    def of(
        cls, estimator: Any, task: str, own: Mapping[str, tuple[Step, ...]] | None = None, **fields: Any
    ) -> Answers:
        """Return what the methods that an estimator has answer, in the order of its `classes_`.

        Parameters
        ----------
        estimator : object
            A fitted estimator of scikit-learn.
        task : str
            Its task, see `scirknn.answers.TASKS`.
        own : mapping, optional
            Steps of methods of their own, see `sklearn2rknn.estimators.fitted.methods`.
        **fields
            Other fields; `classes` are the estimator's by default, and an outlier detector's -1 and 1.

        Raises
        ------
        UnsupportedModelError
            Its labels cannot be held.
        """
        if task == "outlier":
            fields = {"head": "logistic", "classes": np.array([-1, 1]), **fields}
        elif task in ("classifier", "multilabel") and "classes" not in fields:
            fields["classes"] = class_labels(type(estimator).__name__, estimator.classes_)
        return cls(task=task, responses=methods(estimator, task, own), **fields)


def linear_weights(estimator: Any) -> tuple[Floats, Floats]:
    """Return weights, shape (n_features, n_outputs), and bias of a linear model.

    Raises
    ------
    NotFittedError, UnsupportedModelError
        There are no such attributes of shapes that fit each other.
    """
    name = type(estimator).__name__
    require_fitted(estimator, "coef_")
    values = estimator.coef_
    weights = fitted_numbers(f"{name}.coef_", values, 1 if np.ndim(values) == 1 else 2)
    weights = np.atleast_2d(weights).T
    bias = np.atleast_1d(fitted_numbers(f"{name}.intercept_", np.asarray(estimator.intercept_, float), None))
    width = getattr(estimator, "n_features_in_", len(weights))
    if weights.shape[0] != width or bias.shape not in ((1,), weights.shape[1:]):
        raise UnsupportedModelError(
            f"{name}.coef_ has shape {np.shape(values)} and intercept_ {bias.shape} for {width} "
            "features. The weights were changed after fit; fit again."
        )
    return weights, np.broadcast_to(bias, weights.shape[1:])


def dense_network(estimator: Any, weights: Floats, bias: Floats, answers: Answers) -> Network:
    """Return the network ``X @ weights + bias`` of an estimator."""
    # SGD keeps a float64 intercept beside float32 weights.
    intercept = getattr(estimator, "intercept_", getattr(estimator, "offset_", 0.0))
    is_float32 = np.result_type(np.asarray(weights), intercept) == np.float32
    return Network(
        estimator=type(estimator).__name__,
        layers=(Layer(weights, bias, "identity"),),
        feature_names=feature_names(estimator),
        dtype="float32" if is_float32 else "float64",
        **attrs.asdict(answers, recurse=False),
    )

"""Which estimators can be read, and by what.

A model family is a module of `sklearn2rknn.estimators.families`, or one that another distribution names in an
entry point of the group ``sklearn2rknn.estimators``::

    @reads(LogisticRegression)
    def read_logistic_regression(estimator, name):
        return Network(...)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.attribute_checks.overrides import refuse_overrides
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.network.network import Network
from sklearn2rknn.registry import Registry
from sklearn2rknn.transformers.registry import TRANSFORMERS
from sklearn2rknn.transformers.unconvertible import refusal_of

EstimatorReader = Callable[[Any, str], Network]

ESTIMATORS: Registry[EstimatorReader] = Registry(
    "sklearn2rknn.estimators.families", "sklearn2rknn.estimators"
)

_WORTH = "8 million products (rows x weights) a call, and 120 more for each number in and out"


@attrs.frozen
class Form:
    """What the support table says of a family.

    Attributes
    ----------
    text : str
        What the NPU and the host compute.
    precisions : tuple of str
    worth : str
        From where on the NPU is likely faster than numpy on the board's CPU; by `scirknn.networks.costs`.
    without : tuple of str
        Methods of the classes that a loaded model lacks.
    """

    text: str = "one dense layer"
    precisions: tuple[str, ...] = ("float16", "int8", "int16")
    worth: str = _WORTH
    without: tuple[str, ...] = ()


DENSE = Form()
_FORMS: dict[type, Form] = {}


def reads(*classes: type, form: Form = DENSE) -> Callable[[EstimatorReader], EstimatorReader]:
    """Register the decorated function as the reader of classes; `form` is for the support table."""
    _FORMS.update(dict.fromkeys(classes, form))
    return ESTIMATORS.reads(*classes)


def form_of(kind: type) -> Form:
    """Return what the support table says of a class that has a reader."""
    return _FORMS.get(kind, DENSE)


def read_estimator(estimator: Any) -> Network:
    """Return the network that a fitted estimator computes.

    Raises
    ------
    UnsupportedModelError
        No reader is registered for its class, or it holds what cannot be converted.
    NotFittedError
        It was not fitted.
    """
    name = type(estimator).__name__
    for kind in type(estimator).__mro__:
        reader = ESTIMATORS.find(kind)
        if reader is not None:
            refuse_overrides(estimator, kind)
            network = reader(estimator, name)
            if vars(estimator).get("n_features_in_", network.n_features_in) != network.n_features_in:
                raise Attributes(estimator).refuse(
                    "n_features_in_", f"{network.n_features_in}, as its weights"
                )
            return network
    refusal = refusal_of(type(estimator))
    text = f"{name} cannot be converted; `sklearn2rknn supported` lists the estimators that can be."
    if TRANSFORMERS.find(type(estimator)) is not None:
        text = f"{name} is a step in front of a model. Convert a Pipeline of it and the model behind it."
    if refusal:
        text = f"{name} cannot be converted: it {refusal}. Run it with scikit-learn."
    if hasattr(estimator, "steps"):
        text += " Give a Pipeline of scikit-learn itself."
    raise UnsupportedModelError(text)

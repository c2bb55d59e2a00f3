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

from sklearn2rknn.attribute_checks.overrides import refuse_overrides
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.network.network import Network
from sklearn2rknn.registry import Registry

__all__ = ["ESTIMATORS", "read_estimator", "reads"]

EstimatorReader = Callable[[Any, str], Network]

ESTIMATORS: Registry[EstimatorReader] = Registry(
    "sklearn2rknn.estimators.families", "sklearn2rknn.estimators"
)

reads = ESTIMATORS.reads


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
            return reader(estimator, name)
    text = f"{name} cannot be converted; `sklearn2rknn supported` lists the estimators that can be."
    if hasattr(estimator, "steps"):
        text += " Give a Pipeline of scikit-learn itself."
    raise UnsupportedModelError(text)

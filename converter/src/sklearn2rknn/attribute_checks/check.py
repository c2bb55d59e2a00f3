"""Check a fitted estimator, and everything in it that is read, before any of it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.model_selection._search import BaseSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion

from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.attribute_checks.overrides import refuse_overrides
from sklearn2rknn.attribute_checks.perceptron import check_activations, check_perceptron
from sklearn2rknn.attribute_checks.steps import check_step
from sklearn2rknn.errors import Sklearn2RknnError, UnsupportedModelError
from sklearn2rknn.transformers.pipelines import is_pipeline, pipeline_steps

_Result = TypeVar("_Result")
_MOST_PARTS = 10_000  # estimators within one; a file may name one part any number of times


_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, NameError, RuntimeError, TypeError),
    ValueError,
)
"""What reading an attribute of another kind ends in, in scikit-learn's own code too."""

_MEMBERS = {
    **dict.fromkeys(
        (
            "AdaBoostClassifier",
            "AdaBoostRegressor",
            "BaggingClassifier",
            "BaggingRegressor",
            "ClassifierChain",
            "MultiOutputClassifier",
            "MultiOutputRegressor",
            "OneVsOneClassifier",
            "OneVsRestClassifier",
            "OutputCodeClassifier",
            "RegressorChain",
            "VotingClassifier",
            "VotingRegressor",
        ),
        ("estimators_",),
    ),
    **dict.fromkeys(("StackingClassifier", "StackingRegressor"), ("estimators_", "final_estimator_")),
    **dict.fromkeys(
        ("FixedThresholdClassifier", "SelfTrainingClassifier", "TunedThresholdClassifierCV"), ("estimator_",)
    ),
    **dict.fromkeys(("FrozenEstimator", "_CalibratedClassifier"), ("estimator",)),
    "CalibratedClassifierCV": ("calibrated_classifiers_",),
}
"""Where scikit-learn's models of other models hold these, fitted: one, or several in a list."""


def checked(read: Callable[[Any], _Result]) -> Callable[[Any], _Result]:
    """Let a function that reads a fitted estimator check it first.

    What the checks pass and the function still fails at is an attribute that fit does not leave, too.
    """

    @functools.wraps(read)
    def read_checked(estimator: Any) -> _Result:
        try:
            perceptrons = check_estimator(estimator)
            result = read(estimator)
            for each in perceptrons:
                check_perceptron(each)
            return result
        except Sklearn2RknnError:
            raise
        except _DAMAGE as error:
            raise UnsupportedModelError(
                f"{type(estimator).__name__} holds an attribute that fit does not leave "
                f"({type(error).__name__}: {str(error)[:200]}). It was changed after fit, or the file is "
                "damaged: fit again."
            ) from error

    return read_checked


def check_estimator(estimator: Any) -> list[Any]:
    """Refuse an estimator with steps whose attributes fit does not leave.

    Returns
    -------
    list
        The perceptrons in it.

    Raises
    ------
    UnsupportedModelError
        The text names the class and the attribute.
    """
    perceptrons: list[Any] = []
    if isinstance(estimator, type):
        return perceptrons
    stack: list[tuple[Any, tuple[int, ...]]] = [(estimator, ())]
    for _ in range(_MOST_PARTS):
        if not stack:
            return perceptrons
        part, around = stack.pop()
        if id(part) in around:
            raise UnsupportedModelError(f"A {type(part).__name__} lies inside itself. Fit it again.")
        if isinstance(part, (MLPClassifier, MLPRegressor)):
            refuse_overrides(part, MLPClassifier if isinstance(part, MLPClassifier) else MLPRegressor)
            check_activations(part)
            perceptrons.append(part)
        elif not isinstance(part, (str, type(None))):
            if isinstance(part, BaseEstimator) and "n_features_in_" in vars(part):
                Attributes(part).width()
            check_step(part)
        stack += [(inner, (*around, id(part))) for inner in _parts(part)]
    raise UnsupportedModelError(f"{type(estimator).__name__} has more than {_MOST_PARTS} parts.")


def _parts(estimator: Any) -> Iterator[Any]:
    """Yield the estimators that lie in one."""
    attributes = Attributes(estimator)
    kind = type(estimator)
    if isinstance(estimator, BaseSearchCV):
        refuse_overrides(estimator, BaseSearchCV)
        if attributes.has("best_estimator_"):
            yield estimator.best_estimator_
    elif is_pipeline(estimator):
        if not attributes.items("steps", 2):
            raise attributes.refuse("steps", "at least one step")
        yield from (step for _, step in pipeline_steps(estimator))
    elif kind is FeatureUnion:
        attributes.weights("transformer_weights")
        yield from (step for _, step in attributes.items("transformer_list", 2))
    elif kind is ColumnTransformer and attributes.has("transformers_"):
        yield from (step for _, step, _ in attributes.items("transformers_", 3))
    elif kind.__name__ in _MEMBERS and kind.__module__.startswith("sklearn."):
        yield from _members(estimator)
    elif kind is TransformedTargetRegressor and attributes.has("regressor_"):
        attributes.count("_training_dim", 1, 2)
        yield estimator.regressor_
        if attributes.has("transformer_"):
            yield estimator.transformer_


def _members(estimator: Any) -> Iterator[Any]:
    """Yield the fitted models in one that is made of others."""
    attributes = Attributes(estimator)
    for key in _MEMBERS[type(estimator).__name__]:
        inner = vars(estimator).get(key, [])
        if not key.endswith("s_"):
            yield inner
        elif isinstance(inner, (list, tuple, np.ndarray)):
            yield from inner
        else:
            raise attributes.refuse(key, "a list of fitted models")

"""Estimators around others that cannot be converted, each with what can be converted instead."""

from __future__ import annotations

from typing import Any

from sklearn2rknn.errors import UnsupportedModelError

__all__ = ["cure_of", "refuse_wrapper"]

_AVERAGE = "Convert each of its estimators_, and average their predictions as {name} does."
_COLUMNS = (
    "Convert each of its estimators_, or fit one {plain} to all targets at once, which needs no {name}."
)
_CURES = {
    "AdaBoostRegressor": _AVERAGE,
    "BaggingClassifier": _AVERAGE,
    "BaggingRegressor": _AVERAGE,
    "CalibratedClassifierCV": (
        "Convert calibrated_classifiers_[0].estimator, and apply its calibrators to the probabilities; with "
        "ensemble=True average over all of calibrated_classifiers_."
    ),
    "ClassifierChain": _COLUMNS,
    "FixedThresholdClassifier": (
        "Convert its estimator_, and compare predict_proba with the threshold yourself: proba[:, 1] >= "
        "model.threshold."
    ),
    "FrozenEstimator": "Convert what it holds: model.estimator.",
    "MultiOutputClassifier": _COLUMNS,
    "MultiOutputRegressor": _COLUMNS,
    "OneVsOneClassifier": _COLUMNS,
    "OneVsRestClassifier": _COLUMNS,
    "OutputCodeClassifier": _COLUMNS,
    "RegressorChain": _COLUMNS,
    "SelfTrainingClassifier": "Convert its estimator_, which predicts what it does.",
    "StackingClassifier": "Convert each of its estimators_, and apply final_estimator_ to their predictions.",
    "StackingRegressor": "Convert each of its estimators_, and apply final_estimator_ to their predictions.",
    "TunedThresholdClassifierCV": (
        "Convert its estimator_, and compare predict_proba with the threshold yourself: proba[:, 1] >= "
        "model.best_threshold_."
    ),
    "VotingClassifier": _AVERAGE,
    "VotingRegressor": _AVERAGE,
}


def cure_of(full_name: str) -> str | None:
    """Return what to convert instead of a wrapper of scikit-learn, None for any other class."""
    package, _, rest = full_name.partition(".")
    name = rest.rpartition(".")[2]
    if package != "sklearn" or name not in _CURES:
        return None
    return _CURES[name].format(name=name, plain="MLPRegressor" if "Regressor" in name else "MLPClassifier")


def refuse_wrapper(estimator: Any) -> None:
    """Refuse what lies around a convertible estimator and computes something itself.

    Raises
    ------
    UnsupportedModelError
        The text names what to convert instead.
    """
    kind = type(estimator)
    cure = cure_of(f"{kind.__module__}.{kind.__name__}")
    if cure is not None:
        raise UnsupportedModelError(f"{kind.__name__} cannot be converted, its members can. {cure}")

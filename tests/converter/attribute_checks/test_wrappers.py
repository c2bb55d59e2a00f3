"""Estimators around convertible ones are refused with what to convert instead."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn2rknn import ModelFileError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.estimators.model_file import load_model
from tests.converter.fitted_pipelines import quietly_fitted

X, y = load_iris(return_X_y=True)
C = MLPClassifier((4,), max_iter=5, random_state=0)
R = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0)


@pytest.mark.parametrize(
    ("model", "cure"),
    [
        (CalibratedClassifierCV(C, cv=2), r"calibrated_classifiers_\[0\]\.estimator"),
        (VotingClassifier([("a", C), ("b", C)], voting="soft"), "each of its estimators_, and average"),
        (VotingRegressor([("a", R), ("b", R)]), "each of its estimators_, and average"),
        (BaggingRegressor(R, n_estimators=2), "each of its estimators_, and average"),
        (StackingRegressor([("a", R), ("b", R)], cv=2), "final_estimator_"),
        (MultiOutputRegressor(R), "one MLPRegressor to all targets at once"),
        (OneVsRestClassifier(C), "one MLPClassifier to all targets at once"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
@pytest.mark.parametrize("place", ["alone", "in a pipeline"])
def test_wrapper_is_refused_with_its_cure(model: Any, cure: str, place: str) -> None:
    targets = np.c_[y, y] if isinstance(model, MultiOutputRegressor) else y
    estimator = make_pipeline(StandardScaler(), model) if place == "in a pipeline" else model
    with pytest.raises(UnsupportedModelError, match=rf"^{type(model).__name__} cannot be converted.*{cure}"):
        network_from_estimator(quietly_fitted(estimator, X, targets))


def test_wrapper_in_a_file_is_refused_with_its_cure(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(quietly_fitted(VotingRegressor([("a", R), ("b", R)]), X, y)))
    with pytest.raises(ModelFileError, match=r"model\.pkl holds a VotingRegressor.*each of its estimators_"):
        load_model(path)


def test_wrapper_in_a_search_is_refused_with_its_cure() -> None:
    search = GridSearchCV(VotingRegressor([("a", R)]), {"a__alpha": [1e-4]}, cv=2)
    with pytest.raises(UnsupportedModelError, match="each of its estimators_"):
        network_from_estimator(quietly_fitted(search, X, y))

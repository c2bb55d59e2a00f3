"""Columns that all members of an ensemble impute or encode alike stand in front of it; others are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

import scirknn
from sklearn2rknn import UnsupportedModelError, network_from_estimator
from tests.converter.estimators.families.emulation import (
    Emulated,
    assert_exact,
    assert_within_bound,
    fitted,
    scaled,
)

LINEAR = LogisticRegression(max_iter=8)
MODELS = {
    "linear": LINEAR,
    "layers": MLPClassifier((6,), max_iter=20, random_state=0),
    "near": KNeighborsClassifier(),
    "tree": DecisionTreeClassifier(max_depth=3),
}
ENCODERS = ColumnTransformer(
    [
        ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]),
        ("words", OneHotEncoder(handle_unknown="ignore"), [2]),
    ]
)


def behind(front: Any, *names: str) -> list[tuple[str, Any]]:
    """Return members, each behind steps of its own."""
    return [(name, make_pipeline(front, MODELS[name])) for name in names]


@pytest.mark.parametrize(
    "model",
    [
        VotingClassifier(behind(SimpleImputer(), *MODELS), voting="soft"),
        StackingClassifier(behind(ENCODERS, "near", "layers"), cv=2),
        VotingClassifier(behind(KNNImputer(), "linear", "near", "layers"), voting="soft"),
    ],
    ids=["imputers", "encoders", "nearest imputers"],
)
def test_columns_that_all_members_impute_or_encode_alike_stand_in_front(model: Any) -> None:
    random = np.random.default_rng(0)
    X: Any = random.normal(size=(90, 3))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    X[::7, 1] = np.nan
    if "columntransformer" in str(model):
        X = np.hstack([X[:, :2].astype(object), random.choice(["a", "b", "c"], (90, 1))])
    model = fitted(model, X, y)
    emulated = Emulated.convert(model, X)
    assert emulated.source.columns is not None
    assert_exact(emulated, X)
    assert_within_bound(emulated, X)
    with emulated.loaded() as loaded:
        np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), atol=2e-3)
        with pytest.raises(scirknn.InputError) as ours:
            loaded.predict(X[:, :2])
        with pytest.raises(ValueError, match="features") as theirs:
            model.predict(X[:, :2])
        assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            BaggingClassifier(make_pipeline(SimpleImputer(), LINEAR), 2, random_state=0),
            "The members of BaggingClassifier do not share the columns that SimpleImputer imputes or encodes",
        ),
        (
            StackingClassifier(behind(SimpleImputer(), "linear"), passthrough=True, cv=2),
            "The members of StackingClassifier do not share the columns that SimpleImputer",
        ),
        (
            make_pipeline(StandardScaler(), VotingClassifier(behind(SimpleImputer(), "linear", "tree"))),
            "VotingClassifier behind StandardScaler imputes or encodes columns itself. Put all these steps",
        ),
    ],
    ids=["rows of their own", "beside X", "behind other steps"],
)
def test_columns_that_cannot_stand_in_front_of_all_are_refused(model: Any, text: str) -> None:
    X, y = scaled("wine")
    with pytest.raises(UnsupportedModelError, match=text):
        network_from_estimator(fitted(model, X, y))


def test_columns_that_a_frozen_model_imputes_behind_other_steps_are_refused() -> None:
    X, y = scaled("wine")
    inner = fitted(make_pipeline(SimpleImputer(), LINEAR), X, y)
    model = make_pipeline(StandardScaler(), FrozenEstimator(inner)).fit(X, y)
    with pytest.raises(UnsupportedModelError, match="LogisticRegression behind StandardScaler imputes"):
        network_from_estimator(model)

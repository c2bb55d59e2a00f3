"""NaN is passed on to trees that take it, through columns and members; others refuse it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

import scirknn
from scirknn import InputError
from sklearn2rknn import ConversionOptions, convert

RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal(size=(200, 2))
LETTERS = RANDOM.choice(list("abc"), 200)
Y = (NUMBERS[:, 0] + (LETTERS == "a") > 0).astype(int)
X = np.column_stack([LETTERS, NUMBERS]).astype(object)
X[:, 1:] = NUMBERS
HOLED = X.copy()
HOLED[::7, 2] = np.nan
UNKNOWN = HOLED.copy()
UNKNOWN[::5, 0] = "z"

HISTOGRAMS = HistGradientBoostingClassifier(max_iter=3, random_state=0)
TREE = DecisionTreeClassifier(random_state=0)
MODELS = {
    "histograms": HISTOGRAMS,
    "tree": TREE,
    "extra tree": ExtraTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(3, random_state=0),
    "bagging": BaggingClassifier(HISTOGRAMS, n_estimators=2, max_features=2, random_state=0),
    "voting": VotingClassifier([("a", HISTOGRAMS), ("b", make_pipeline(StandardScaler(), TREE))]),
}


def encoded(*behind: Any) -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return make_pipeline(make_column_transformer((encoder, [0]), remainder="passthrough"), *behind)


@pytest.mark.parametrize("name", MODELS)
def test_unknown_categories_and_missing_numbers_go_where_scikit_learn_sends_them(
    name: str, tmp_path: Path
) -> None:
    model = encoded(MODELS[name]).fit(HOLED, Y)
    convert(model, tmp_path / "model.rknn", example_input=HOLED)
    with scirknn.load(tmp_path / "model.rknn") as loaded:
        assert (loaded.predict(UNKNOWN) == model.predict(UNKNOWN)).all()


@pytest.mark.parametrize(
    ("model", "refuses"),
    [
        (encoded(PCA(2), TREE), "A step in front of DecisionTreeClassifier"),
        (encoded(KNeighborsClassifier()), "KNeighborsClassifier"),
        (encoded(VotingClassifier([("a", HISTOGRAMS), ("b", KNeighborsClassifier())])), "VotingClassifier"),
        (encoded(AdaBoostRegressor(n_estimators=2, random_state=0)), "AdaBoostRegressor"),
        (VotingClassifier([("a", encoded(TREE)), ("b", encoded(LogisticRegression()))]), "VotingClassifier"),
    ],
    ids=["a step", "neighbours", "members", "boosting", "members of the same columns"],
)
def test_steps_and_models_that_refuse_nan_still_do(model: Any, refuses: str, tmp_path: Path) -> None:
    model.fit(X, Y)
    convert(model, tmp_path / "model.rknn", options=ConversionOptions(check="off"))
    with scirknn.load(tmp_path / "model.rknn", device="cpu") as loaded:
        for rows in (HOLED, UNKNOWN):
            with pytest.raises(InputError, match=f"{refuses} does not accept missing values"):
                loaded.predict(rows)

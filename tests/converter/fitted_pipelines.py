"""Fitted pipelines of every kind of step, in front of perceptrons that were trained for a moment."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import reject
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectKBest, SelectPercentile, VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from tests.converter.fitted import ACTIVATIONS

Table = npt.NDArray[Any]

SCALERS: tuple[Any, ...] = (
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler(),
    MinMaxScaler((-3, 1)),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False, quantile_range=(10, 80), unit_variance=True),
    RobustScaler(with_scaling=False),
)
# Not PCA(): a component without variance is rounding noise, which a scaler behind it blows up to size 1.
MIXERS: tuple[Any, ...] = (PCA(1), PCA(1, whiten=True), PCA(0.9), TruncatedSVD(1, random_state=0))
SELECTORS: tuple[Any, ...] = (VarianceThreshold(), SelectKBest(k=1), SelectPercentile(percentile=60))
NOTHING: tuple[Any, ...] = ("passthrough", FunctionTransformer())


def quietly_fitted(estimator: Any, X: Any, y: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(X, y)


def perceptron(kind: str, activation: str, seed: int) -> Any:
    options: dict[str, Any] = {"activation": activation, "max_iter": 3, "random_state": seed}
    if kind in ("classifier", "two classes", "multilabel"):
        return MLPClassifier((5,), **options)
    if kind == "poisson":
        options["loss"] = "poisson"
    return MLPRegressor(hidden_layer_sizes=(5,), **options)


def target(kind: str, rng: np.random.Generator, rows: int) -> Table:
    if kind == "classifier":
        return np.array(["a", "b", "c"])[rng.permutation(rows) % 3]
    if kind == "two classes":
        return rng.permutation(rows) % 2
    if kind == "multilabel":
        return rng.integers(0, 2, (rows, 3))
    if kind == "poisson":
        return rng.poisson(2.0, rows)
    return rng.normal(3e3, 10.0, (rows, 2) if kind == "two outputs" else rows)


def _own(step: Any) -> Any:
    """Return a step that is fitted in one place only."""
    return step if isinstance(step, str) else clone(step)


def _transformers() -> st.SearchStrategy[Any]:
    steps = st.sampled_from(SCALERS + MIXERS + SELECTORS + NOTHING).map(_own)

    def wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        chains = st.lists(inner, min_size=1, max_size=3).map(
            lambda each: Pipeline([(f"s{i}", step) for i, step in enumerate(each)])
        )
        unions = st.builds(
            lambda each, weight: FeatureUnion(
                [(f"u{i}", step) for i, step in enumerate(each)], transformer_weights={"u0": weight}
            ),
            st.lists(inner, min_size=1, max_size=3),
            st.sampled_from([0.5, 1.0, 3.0]),
        )
        return chains | unions

    return st.recursive(steps, wider, max_leaves=4)


FEW_KINDS = ("classifier", "one output")
ALL_KINDS = ("classifier", "two classes", "multilabel", "one output", "two outputs", "poisson")


@st.composite
def numeric(draw: st.DrawFn, kinds: tuple[str, ...] = FEW_KINDS) -> tuple[Any, Table]:
    """Draw a pipeline of numbers, and its X: features of sizes from 1e-2 to 1e5, with gaps if imputed."""
    seed = draw(st.integers(0, 2**16))
    width = draw(st.integers(2, 6))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, width)) * 10.0 ** rng.integers(-2, 4, width) + 10.0 ** rng.integers(0, 5, width)
    steps: list[Any] = []
    if draw(st.booleans()):
        X[rng.random(X.shape) < 0.1] = np.nan
        steps.append(
            SimpleImputer(
                strategy=draw(st.sampled_from(["mean", "median", "most_frequent", "constant"])),
                add_indicator=draw(st.booleans()),
            )
        )
        if draw(st.booleans()):
            steps.insert(0, _own(draw(st.sampled_from(SCALERS))))
    if not steps and draw(st.booleans()):
        cut = draw(st.integers(1, width))
        order = rng.permutation(width)
        steps.append(
            ColumnTransformer(
                [
                    ("first", draw(_transformers()), order[:cut].tolist()),
                    ("again", draw(st.sampled_from(("drop", *SCALERS))), order[:1].tolist()),
                ],
                remainder=draw(st.sampled_from(["drop", "passthrough", StandardScaler()])),
                transformer_weights=draw(st.sampled_from([None, {"first": 0.25}])),
            )
        )
    steps += draw(st.lists(_transformers(), max_size=2))
    kind = draw(st.sampled_from(kinds))
    steps.append(perceptron(kind, draw(st.sampled_from(ACTIVATIONS)), seed))
    try:
        return quietly_fitted(make_pipeline(*steps), X, target(kind, rng, 40)), X
    except ValueError:  # the selectors left no feature
        reject()


@st.composite
def retargeted(draw: st.DrawFn) -> tuple[Any, Table]:
    """Draw a regressor behind a scaler, with one around its target, and its X."""
    seed = draw(st.integers(0, 2**16))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 3)) * 10.0 ** rng.integers(-6, 7, 3)
    kind = draw(st.sampled_from(["one output", "two outputs"]))
    regressor = TransformedTargetRegressor(
        perceptron(kind, draw(st.sampled_from(ACTIVATIONS)), seed),
        transformer=_own(draw(st.sampled_from(SCALERS))),
    )
    y = target(kind, rng, 40) * 10.0 ** draw(st.integers(-6, 6))
    return quietly_fitted(make_pipeline(StandardScaler(), regressor), X, y), X


def mixed_table(seed: int, rows: int = 60) -> Table:
    """Return a table of two numbers, two texts, a small integer and a truth value, with gaps in four."""
    rng = np.random.default_rng(seed)
    X = np.empty((rows, 6), dtype=object)
    X[:, 0] = rng.normal(1e4, 3.0, rows)
    X[:, 1] = rng.choice(["red", "green", "blue"], rows)
    X[:, 2] = rng.choice([1, 2, 7], rows)
    X[:, 3] = rng.normal(size=rows)
    X[:, 4] = rng.choice(["x", "y"], rows)
    X[:, 5] = rng.random(rows) < 0.5
    for column, gap in ((0, np.nan), (1, np.nan), (3, np.nan), (4, None)):
        X[rng.permutation(rows)[:5], column] = gap
    return X


@st.composite
def mixed(draw: st.DrawFn, kinds: tuple[str, ...] = FEW_KINDS) -> tuple[Any, Table]:
    """Draw a pipeline that takes a mixed table, and such a table."""
    seed = draw(st.integers(0, 2**16))
    X = mixed_table(seed)
    one_hot = st.builds(
        OneHotEncoder,
        handle_unknown=st.sampled_from(["error", "ignore", "infrequent_if_exist"]),
        drop=st.sampled_from([None, "first", "if_binary"]),
        sparse_output=st.booleans(),
    )
    ordinal = st.one_of(
        st.just(OrdinalEncoder(encoded_missing_value=-2)),
        st.just(
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=9)
        ),
    )
    encoder = st.one_of(one_hot, ordinal)
    imputer = st.sampled_from(
        [
            SimpleImputer(strategy="most_frequent"),
            SimpleImputer(strategy="constant", fill_value="none"),
            SimpleImputer(strategy="constant", fill_value="red"),
        ]
    )
    numbers = draw(
        st.sampled_from(
            [
                make_pipeline(SimpleImputer(), StandardScaler()),
                make_pipeline(StandardScaler(), SimpleImputer(strategy="median"), MinMaxScaler()),
                make_pipeline(SimpleImputer(add_indicator=True), PCA(2)),
                FeatureUnion(
                    [
                        ("value", SimpleImputer(strategy="constant", fill_value=1e4)),
                        ("gap", MissingIndicator(error_on_new=False)),
                    ]
                ),
            ]
        )
    )
    transformer = ColumnTransformer(
        [
            ("numbers", numbers, [0, 3]),
            ("colour", draw(encoder | st.builds(make_pipeline, imputer, encoder)), [1]),
            (
                "nothing",
                make_pipeline(
                    SimpleImputer(missing_values=None, strategy="constant", fill_value="?"), draw(encoder)
                ),
                [4],
            ),
            ("count", draw(encoder | st.sampled_from(["drop", "passthrough", StandardScaler()])), [2]),
        ],
        remainder=draw(st.sampled_from(["drop", "passthrough"])),
        sparse_threshold=0,
    )
    behind = draw(
        st.sampled_from([(), (StandardScaler(),), (MaxAbsScaler(), SelectPercentile(percentile=70))])
    )
    if len(behind) == 2:  # a selector takes one column of y
        kinds = FEW_KINDS
    kind = draw(st.sampled_from(kinds))
    activation = draw(st.sampled_from(ACTIVATIONS))
    pipeline = make_pipeline(transformer, *behind, perceptron(kind, activation, seed))
    try:
        return quietly_fitted(pipeline, X, target(kind, np.random.default_rng(seed), len(X))), X
    except ValueError:  # raw features of 1e4 have led the solver to weights that are not finite
        reject()


def fitted(*steps: Any, kind: str = "classifier", X: Any = None) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.normal(5.0, 2.0, (40, 4)) if X is None else X
    y = target(kind, rng, len(X))
    return quietly_fitted(make_pipeline(*steps, perceptron(kind, "relu", 0)), X, y), X

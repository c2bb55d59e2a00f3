"""Steps in front of a model that the host computes: scikit-learn's numbers, alone and among others."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from scirknn.arrays import Array, Floats
from scirknn.errors import InputError
from scirknn.steps.branches import Branch
from sklearn2rknn import UnsupportedModelError, network_from_estimator
from tests.converter.estimators.families.emulation import Emulated, assert_exact, assert_within_bound
from tests.converter.fitted_pipelines import quietly_fitted
from tests.counts import counted

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

STEPS: dict[str, Any] = {
    "products": PolynomialFeatures(2),
    "products of degree 3": PolynomialFeatures((2, 3), include_bias=False),
    "interactions": PolynomialFeatures(3, interaction_only=True),
    "powers": PowerTransformer(),
    "powers alone": PowerTransformer(standardize=False),
    "powers of Box and Cox": PowerTransformer("box-cox"),
    "quantiles": QuantileTransformer(n_quantiles=20),
    "normal quantiles": QuantileTransformer(n_quantiles=40, output_distribution="normal"),
    "bins": KBinsDiscretizer(4, encode="onehot-dense", strategy="quantile"),
    "bins in one": KBinsDiscretizer(4, encode="ordinal", strategy="uniform"),
    "bins dense": KBinsDiscretizer(3, encode="onehot-dense", strategy="kmeans"),
    **{
        f"splines {extrapolation}": SplineTransformer(4, degree=degree, extrapolation=extrapolation)
        for extrapolation, degree in (("constant", 3), ("linear", 1), ("continue", 2), ("periodic", 3))
    },
    "splines of quantiles": SplineTransformer(5, degree=2, knots="quantile", include_bias=False),
    "clipped": MinMaxScaler((-2, 3), clip=True),
    "clipped sizes": MaxAbsScaler(clip=True),
    "logarithms": FunctionTransformer(np.log1p, inverse_func=np.expm1),
    "roots": FunctionTransformer(np.sqrt),
    "binary": Binarizer(threshold=1.5),
    **{f"norm {norm}": Normalizer(norm) for norm in ("l1", "l2", "max")},
    "chi squared": AdditiveChi2Sampler(),
    "chi squared, 5 samples": AdditiveChi2Sampler(sample_steps=5, sample_interval=0.3),
}


def positive(seed: int, rows: int = 60, *, constant: bool = True) -> Floats:
    """Return positive columns of sizes from 0.1 to 30: one with ties, one constant, the others smooth."""
    random = np.random.default_rng(seed)
    X = random.gamma(3.0, 1.0, (rows, 4)) * 10.0 ** random.uniform(-1, 1, 4)
    X[:, 1] = random.integers(1, 4, rows)
    if constant:
        X[:, 2] = random.uniform(0.5, 2.0)
    return X


def places(step: Any) -> dict[str, Any]:
    """Return pipelines with a step in many places."""
    mixed = ColumnTransformer(
        [("a", clone(step), [3, 0]), ("b", StandardScaler(), [1]), ("c", make_pipeline(clone(step)), [0, 1])],
        remainder="passthrough",
    )
    union = FeatureUnion(
        [("a", clone(step)), ("b", PCA(2)), ("c", MinMaxScaler())], transformer_weights={"a": 0.5}
    )
    return {
        "alone": step,
        "behind an imputer and in front of a scaler": make_pipeline(SimpleImputer(), step, StandardScaler()),
        "some columns": mixed,
        "beside others": union,
        "behind itself": make_pipeline(step, MinMaxScaler((1, 2), clip=True), clone(step)),
        "in front of PCA and a selector": make_pipeline(step, PCA(2), SelectKBest(k=1)),
    }


PLACES = tuple(places(STEPS["products"]))


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("number", range(counted(10)))
def test_answers_are_scikit_learns_wherever_the_step_stands(name: str, number: int) -> None:
    seed = 100 * number + list(STEPS).index(name)
    place, has_constant = PLACES[seed % len(PLACES)], "Box" not in name
    X, random = positive(seed, constant=has_constant), np.random.default_rng(seed)
    model = make_pipeline(places(clone(STEPS[name]))[place], Ridge())
    quietly_fitted(model, X, random.normal(size=len(X)))
    rows = np.vstack([X, positive(seed + 1), X[:5] * 3])
    emulated = Emulated.convert(model, rows)
    # Sums in another order, of features up to 1e9 (products of products): 1e-16 times these.
    assert_exact(emulated, rows, tolerance=1e-6)
    assert_within_bound(emulated, rows)


def test_an_end_that_float32_does_not_tell_from_its_neighbours_is_none() -> None:
    X = np.random.default_rng(0).integers(-5, 6, (200, 3)).astype(np.float32)
    quantiles = QuantileTransformer(n_quantiles=50, output_distribution="normal", random_state=0)
    model = make_pipeline(quantiles, Ridge()).fit(X, X.sum(axis=1))
    source = network_from_estimator(model)
    for rows in (X, X.astype(np.float64)):
        np.testing.assert_allclose(source.expand(rows), model[0].transform(rows), rtol=1e-6, atol=1e-6)


def test_bins_that_scikit_learn_keeps_sparse_are_the_same_features() -> None:
    X = positive(0)
    model = make_pipeline(KBinsDiscretizer(4), MaxAbsScaler(), Ridge()).fit(X, X[:, 0])
    emulated = Emulated.convert(model, X)
    np.testing.assert_array_equal(emulated.source.expand(X), model[0].transform(X).toarray())
    assert_exact(emulated, X)


def test_a_step_between_scalers_needs_nothing_beside_it() -> None:
    X = positive(0)
    model = make_pipeline(StandardScaler(), PolynomialFeatures(2), StandardScaler(), Ridge()).fit(X, X[:, 0])
    network = network_from_estimator(model)
    assert [each.kind for each in network.features] == ["finite", "products", "scale"]
    assert network.columns is None
    assert network.n_features_in == 4
    assert network.input is not None


def test_what_two_transformers_share_is_computed_once() -> None:
    X = positive(0)
    union = FeatureUnion([("a", MinMaxScaler()), ("b", PolynomialFeatures(2)), ("c", StandardScaler())])
    model = make_pipeline(PowerTransformer(), union, Ridge()).fit(X, X[:, 0])
    features = network_from_estimator(model).features
    kinds = [each.kind for step in features for each in getattr(step, "steps", (step,))]
    assert kinds.count("power") == 1
    assert any(isinstance(each, Branch) for each in features)


def test_more_steps_than_a_bundle_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn2rknn.estimators.network_from_estimator.MOST_STEPS", 8)
    X = positive(0)
    steps = [(f"s{number}", FunctionTransformer(np.cbrt)) for number in range(9)]
    model = Pipeline([*steps, ("ridge", Ridge())]).fit(X, X[:, 0])
    with pytest.raises(UnsupportedModelError, match=r"steps in front of it.*it can have 8"):
        network_from_estimator(model)


def test_more_products_than_a_network_takes_are_refused_before_any_is_made() -> None:
    X = np.ones((4, 500))
    step = PolynomialFeatures(2).fit(X)
    step._max_degree = 6
    model = make_pipeline(step, Ridge())
    model[-1].fit(np.ones((4, 3)), np.arange(4.0))
    with pytest.raises(UnsupportedModelError, match="has more than 65536 results"):
        network_from_estimator(model)


@pytest.mark.parametrize("name", [each for each in STEPS if "logarithms" not in each and "roots" not in each])
def test_infinities_and_missing_values_are_refused_in_scikit_learns_words(name: str) -> None:
    X = positive(3, constant="Box" not in name)
    model = quietly_fitted(make_pipeline(clone(STEPS[name]), Ridge()), X, X[:, 0])
    emulated = Emulated.convert(model, X)
    for value in (np.inf, np.nan):
        rows = X[:3].copy()
        rows[1, 0] = value
        try:
            expected = model.predict(rows)
        except ValueError as error:
            text = str(error).split("\n")[0]
        else:
            pytest.fail(f"scikit-learn answers {expected}")
        allows_nan = emulated.source.features[0].allow_nan  # type: ignore[attr-defined]
        if np.isnan(value) and allows_nan:  # which the model behind it refuses
            assert np.isnan(emulated.source.expand(rows)[1]).any()
        else:
            with pytest.raises(InputError, match=re.escape(text)):
                emulated.source.expand(rows)


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (PowerTransformer("box-cox"), 0.0),
        (AdditiveChi2Sampler(), -1.0),
        (SplineTransformer(extrapolation="error"), 1e6),
    ],
)
def test_rows_that_a_step_does_not_take_are_refused_in_scikit_learns_words(step: Any, value: float) -> None:
    X = positive(3, constant=False)
    model = make_pipeline(step, Ridge()).fit(X, X[:, 0])
    assert_exact(Emulated.convert(model, X), X)
    rows = X[:3].copy()
    rows[1, 0] = value
    with pytest.raises(ValueError, match=r"value|positive") as theirs:
        model.predict(rows)
    with pytest.raises(InputError, match=re.escape(str(theirs.value))):
        network_from_estimator(model).expand(rows)


def categories(rows: int = 300) -> Array:
    """Return a table of letters, numbers with gaps and two texts; most are rare."""
    random = np.random.default_rng(0)
    X = np.empty((rows, 3), dtype=object)
    X[:, 0] = random.choice(list("abcdefgh"), rows, p=[0.4, 0.3, 0.1, 0.1, 0.04, 0.03, 0.02, 0.01])
    X[:, 1] = random.choice([1.0, 2.0, 3.0, np.nan], rows, p=[0.7, 0.2, 0.05, 0.05])
    X[:, 2] = random.choice(["x", "y"], rows)
    return X


FEW: tuple[dict[str, Any], ...] = (
    {"min_frequency": 0.08}, {"max_categories": 2}, {"max_categories": 3, "min_frequency": 5},
)  # fmt: skip


@pytest.mark.parametrize("few", FEW, ids=str)
@pytest.mark.parametrize("drop", [None, "first", "if_binary"])
@pytest.mark.parametrize("unknown", ["error", "ignore", "infrequent_if_exist", "warn"])
def test_infrequent_categories_share_a_column(few: Any, drop: str | None, unknown: str) -> None:
    X, rows = categories(), categories()
    if unknown != "error":
        rows[:5, 0], rows[3:9, 1], rows[10:12, 2] = "zz", 99.0, "q"
    encoder = OneHotEncoder(handle_unknown=unknown, drop=drop, **few)
    model = make_pipeline(encoder, Ridge()).fit(X, np.arange(300.0) % 7)
    network = network_from_estimator(model)
    np.testing.assert_array_equal(network.expand(rows), encoder.transform(rows).toarray())


@pytest.mark.filterwarnings("default::UserWarning")
def test_unknown_categories_that_become_infrequent_are_warned_of_in_scikit_learns_words() -> None:
    X, rows = categories()[:, :1], np.array([["zz"]], dtype=object)
    model = make_pipeline(OneHotEncoder(handle_unknown="warn", max_categories=3), Ridge())
    model.fit(X, np.arange(300.0))
    with pytest.warns(UserWarning, match="unknown categories") as theirs:
        model.predict(rows)
    with pytest.warns(UserWarning, match=re.escape(str(theirs[0].message))):
        network_from_estimator(model).expand(rows)


@pytest.mark.parametrize("few", FEW, ids=str)
def test_infrequent_categories_share_a_code(few: Any) -> None:
    X, rows = categories(), categories()
    rows[:5, 0], rows[3:9, 1], rows[10:12, 2] = "zz", 99.0, "q"
    for encoder, given_rows in (
        (OrdinalEncoder(encoded_missing_value=-3, **few), X),
        (
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-5, encoded_missing_value=-3, **few
            ),
            rows,
        ),
    ):
        model = make_pipeline(encoder, Ridge()).fit(X, np.arange(300.0) % 7)
        expanded = network_from_estimator(model).expand(given_rows)
        np.testing.assert_array_equal(expanded, encoder.transform(given_rows))


@pytest.mark.parametrize("target", ["numbers", "two classes", "three classes"])
def test_a_target_encoder_looks_up_what_the_target_was(target: str) -> None:
    X, rows = categories(), categories()
    rows[:5, 0], rows[3:9, 1], rows[10:12, 2] = "zz", 99.0, "q"
    number = np.arange(300) % {"numbers": 300, "two classes": 2, "three classes": 3}[target]
    y = number * 0.37 if target == "numbers" else np.array(["n", "p", "q"])[number % 3]
    final = Ridge() if target == "numbers" else LogisticRegression()
    encoder = TargetEncoder()
    model = quietly_fitted(make_pipeline(encoder, StandardScaler(), final), X, y)
    emulated = Emulated.convert(model, X)
    np.testing.assert_allclose(
        emulated.source.expand(rows), model[:2].transform(rows), rtol=1e-12, atol=1e-12
    )
    assert_exact(emulated, rows)

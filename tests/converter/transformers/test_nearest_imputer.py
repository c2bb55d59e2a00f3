"""Missing values filled from the nearest rows of fit: scikit-learn's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import KNNImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, PowerTransformer, StandardScaler

from scirknn.arrays import Floats
from scirknn.errors import InputError
from scirknn.steps.description import describe_steps, read_steps
from scirknn.steps.gaps import NearestFill
from sklearn2rknn import UnsupportedModelError, network_from_estimator
from tests.converter.estimators.families.emulation import Emulated, assert_exact, assert_within_bound
from tests.converter.fitted_pipelines import quietly_fitted
from tests.counts import counted


def with_gaps(seed: int, rows: int = 80, share: float = 0.2) -> Floats:
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 4)) * 10.0 ** random.uniform(-1, 2, 4) + 5.0
    X[random.random(X.shape) < share] = np.nan
    X[0] = [np.nan, 1.0, np.nan, np.nan]
    return X


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("indicator", [False, True])
@pytest.mark.parametrize("number", range(counted(20)))
def test_answers_are_scikit_learns(weights: str, indicator: bool, number: int) -> None:
    X, rows = with_gaps(number), with_gaps(number + 1, rows=300, share=0.4)
    rows[1] = X[1]  # at no distance from a row of fit
    rows[2] = np.nan
    imputer = KNNImputer(n_neighbors=3, weights=weights, add_indicator=indicator)
    front = (StandardScaler(), imputer, PolynomialFeatures(2)) if number % 2 else (imputer, StandardScaler())
    model = quietly_fitted(make_pipeline(*front, Ridge()), X, np.arange(80.0))
    emulated = Emulated.convert(model, X)
    assert_exact(emulated, rows)
    assert_within_bound(emulated, rows)


def test_a_number_may_stand_for_what_is_missing_and_an_empty_column_is_dropped() -> None:
    X = np.nan_to_num(with_gaps(0), nan=-1.0)
    X[:, 2] = -1.0
    table = ColumnTransformer([("a", KNNImputer(missing_values=-1), [0, 1, 2])], remainder="drop")
    model = quietly_fitted(make_pipeline(table, Ridge()), X, np.arange(80.0))
    emulated = Emulated.convert(model, X)
    assert_exact(emulated, X)
    assert emulated.source.layers[0].weights.shape == (2, 1)


def test_infinities_are_refused_beside_gaps() -> None:
    X = with_gaps(0)
    model = quietly_fitted(make_pipeline(KNNImputer(), Ridge()), X, np.arange(80.0))
    rows = X[:3].copy()
    rows[1, 0] = np.inf
    with pytest.raises(InputError, match="Input X contains infinity"):
        network_from_estimator(model).expand(rows)


def test_a_column_that_was_empty_and_is_to_stay_is_refused() -> None:
    X = with_gaps(0)
    X[:, 2] = np.nan
    model = make_pipeline(KNNImputer(keep_empty_features=True), Ridge())
    quietly_fitted(model, X, np.arange(80.0))
    with pytest.raises(UnsupportedModelError, match="keep_empty_features=True and columns that were empty"):
        network_from_estimator(model)


def test_what_a_step_leaves_missing_is_filled() -> None:
    X = with_gaps(0)
    model = quietly_fitted(make_pipeline(PowerTransformer(), KNNImputer(), Ridge()), X, np.arange(80.0))
    np.testing.assert_allclose(network_from_estimator(model).expand(X), model[:-1].transform(X), atol=1e-9)


def test_the_step_passes_through_its_description_and_refuses_what_does_not_fit() -> None:
    step = NearestFill(np.eye(3), np.ones((3, 3), np.int64), 2, True)
    description = describe_steps([step], "features")
    (again,) = read_steps(description.document, description.arrays)
    values = np.array([[0.0, 0.2, 0.1, 1.0, 0.0, 0.0]])
    np.testing.assert_array_equal(again.apply(values), step.apply(values))
    assert again.width(6) == 3
    assert np.isinf(step.carry(values, np.full((1, 6), 0.1))).all()
    assert not step.carry(values, np.zeros((1, 6))).any()
    with pytest.raises(ValueError, match="takes 6 columns, not 5"):
        step.width(5)
    with pytest.raises(ValueError, match=r"has shapes \(3, 3\) and \(2, 3\)"):
        NearestFill(np.eye(3), np.ones((2, 3), np.int64), 2, True)
    with pytest.raises(ValueError, match="has 0 neighbors"):
        NearestFill(np.eye(3), np.ones((3, 3), np.int64), 0, True)

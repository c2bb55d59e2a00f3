"""Targets that were transformed: the host computes the inverse, and the bound is carried through it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import PoissonRegressor, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    StandardScaler,
)

from scirknn.answers import final_values
from scirknn.steps.linear import Scale
from sklearn2rknn import network_from_estimator
from tests.converter.estimators.families.emulation import Emulated, assert_within_bound
from tests.converter.fitted_pipelines import quietly_fitted
from tests.counts import FULL

X = np.random.default_rng(0).normal(size=(80, 3)) * [1.0, 10.0, 100.0]
Y = np.exp(X @ [0.3, -0.05, 0.004]) * 100.0
TARGETS: dict[str, dict[str, Any]] = {
    "log1p": {"func": np.log1p, "inverse_func": np.expm1},
    "log": {"func": np.log, "inverse_func": np.exp},
    "sqrt": {"func": np.sqrt, "inverse_func": np.square},
    "identity": {"transformer": FunctionTransformer()},
    "power": {"transformer": PowerTransformer()},
    "power of Box and Cox": {"transformer": PowerTransformer("box-cox", standardize=False)},
    "quantiles": {"transformer": QuantileTransformer(n_quantiles=30)},
    "normal quantiles": {"transformer": QuantileTransformer(n_quantiles=30, output_distribution="normal")},
    "clipped": {"transformer": MinMaxScaler(clip=True)},
    "pipeline": {
        "transformer": Pipeline(
            [
                ("none", "passthrough"),
                ("clip", MinMaxScaler(clip=True)),
                ("inner", make_pipeline(PowerTransformer(), StandardScaler())),
            ]
        )
    },
}
REGRESSORS: dict[str, Any] = {
    "network": make_pipeline(
        StandardScaler(), MLPRegressor(hidden_layer_sizes=(6,), max_iter=200, random_state=0)
    ),
    "linear": make_pipeline(StandardScaler(), Ridge()),
    "trees": RandomForestRegressor(3, random_state=0),
}


CASES = list(itertools.product((1, 2), REGRESSORS, TARGETS))


@pytest.mark.parametrize(("outputs", "regressor", "target"), CASES if FULL else CASES[::3])
def test_predictions_are_those_of_the_inverse(outputs: int, regressor: str, target: str) -> None:
    y = Y if outputs == 1 else np.stack([Y, 5.0 + Y**0.5], axis=1)
    model = quietly_fitted(TransformedTargetRegressor(REGRESSORS[regressor], **TARGETS[target]), X, y)
    network, expected = network_from_estimator(model), model.predict(X)
    given = network.predict(final_values(network, network.forward(X)))
    assert network.single_output == (outputs == 1)
    tolerance = 1e-9 * np.nanmax(np.abs(expected))
    np.testing.assert_allclose(given.reshape(expected.shape), expected, rtol=1e-9, atol=tolerance)
    if network.layers and np.isfinite(expected).all():
        assert_within_bound(Emulated.convert(model, X), X)


def test_scales_that_meet_are_one_and_the_first_is_of_the_layers() -> None:
    model = TransformedTargetRegressor(
        Ridge(), transformer=make_pipeline(StandardScaler(), MinMaxScaler(), PowerTransformer())
    ).fit(X, Y)
    network = network_from_estimator(model)
    assert network.output is not None
    assert [each.kind for each in network.epilogue] == ["power", "scale"]
    assert isinstance(network.epilogue[1], Scale)


def test_what_has_no_root_is_missing_as_in_scikit_learn() -> None:
    with np.errstate(invalid="ignore"):
        model = quietly_fitted(
            TransformedTargetRegressor(Ridge(), func=np.square, inverse_func=np.sqrt), X, Y
        )
        expected, emulated = model.predict(10 * X), Emulated.convert(model, X)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(emulated.exact("predict", 10 * X), expected, rtol=1e-9)


def test_a_rate_whose_logarithm_was_fitted_passes_two_exponentials() -> None:
    inner = make_pipeline(StandardScaler(), PoissonRegressor())
    model = TransformedTargetRegressor(inner, func=np.log1p, inverse_func=np.expm1).fit(X, Y)
    network = network_from_estimator(model)
    assert [each.kind for each in network.epilogue] == ["activation", "elementwise"]
    assert_within_bound(Emulated.convert(model, X), X)

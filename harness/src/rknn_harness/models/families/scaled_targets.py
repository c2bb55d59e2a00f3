"""Regressors of a transformed target."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import MinMaxScaler, PowerTransformer, QuantileTransformer, StandardScaler

from rknn_harness.models.families.members import REGRESSORS
from rknn_harness.models.kind import Target, fixed, kind

__all__ = ["FIXED", "KINDS"]

_TRANSFORMERS = {
    "standard": StandardScaler(),
    "range": MinMaxScaler(),
    "power": PowerTransformer(),
    "quantiles": QuantileTransformer(n_quantiles=40, random_state=0),
    "normal quantiles": QuantileTransformer(n_quantiles=40, output_distribution="normal", random_state=0),
}
_REGRESSORS = tuple(REGRESSORS)


def _of_function(regressor: str, function: str, inverse: str) -> TransformedTargetRegressor:
    functions = {"func": getattr(np, function), "inverse_func": getattr(np, inverse)}
    return TransformedTargetRegressor(clone(REGRESSORS[regressor]), **functions)


def _log1p(regressor: str) -> TransformedTargetRegressor:
    return _of_function(regressor, "log1p", "expm1")


def _log(regressor: str) -> TransformedTargetRegressor:
    return _of_function(regressor, "log", "exp")


def _root(regressor: str) -> TransformedTargetRegressor:
    return _of_function(regressor, "sqrt", "square")


def _of_transformer(regressor: str, transformer: str) -> TransformedTargetRegressor:
    return TransformedTargetRegressor(
        clone(REGRESSORS[regressor]), transformer=clone(_TRANSFORMERS[transformer])
    )


KINDS: tuple[Any, ...] = (
    kind(_log1p, Target.POSITIVE, name="log1p", regressor=_REGRESSORS),
    kind(_log, Target.POSITIVE, name="log", regressor=_REGRESSORS),
    kind(_root, Target.POSITIVE, name="sqrt", regressor=_REGRESSORS),
    kind(
        _of_transformer,
        Target.NUMBER,
        name="transformer",
        regressor=_REGRESSORS,
        transformer=tuple(_TRANSFORMERS),
    ),
    kind(
        _of_transformer,
        Target.NUMBERS,
        name="transformer of several",
        regressor=("linear",),
        transformer=tuple(_TRANSFORMERS),
    ),
)

FIXED = (
    fixed("log1p", "diabetes", decades=5, regressor="linear"),
    fixed("transformer", "diabetes", regressor="layers", transformer="standard"),
    fixed("transformer", "diabetes", regressor="linear", transformer="normal quantiles"),
)

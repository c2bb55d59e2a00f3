"""Regressors of a transformed target."""

from __future__ import annotations

import functools

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.preprocessing import MinMaxScaler, PowerTransformer, QuantileTransformer, StandardScaler

from rknn_harness.models.families.members import REGRESSORS
from rknn_harness.models.kind import Target, fixed, kind

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


def _of_transformer(regressor: str, transformer: str) -> TransformedTargetRegressor:
    return TransformedTargetRegressor(
        clone(REGRESSORS[regressor]), transformer=clone(_TRANSFORMERS[transformer])
    )


KINDS = (
    *(
        kind(
            functools.partial(_of_function, function=function, inverse=inverse),
            Target.POSITIVE,
            name=function,
            regressor=_REGRESSORS,
        )
        for function, inverse in (("log1p", "expm1"), ("log", "exp"), ("sqrt", "square"))
    ),
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

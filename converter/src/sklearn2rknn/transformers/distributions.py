"""Steps that change how single features are distributed: functions, powers, quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, QuantileTransformer

from scirknn.arrays import Floats
from scirknn.steps.elementwise import FUNCTIONS, Elementwise, Power
from scirknn.steps.quantiles import Quantiles
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import compute, refusal, refuse_text
from sklearn2rknn.transformers.registry import APART, apply_step, reads

NORMAL_END = 5.2
"""What no value of a normal distribution exceeds that `Quantiles` gives: that of 1 - 1e-7, rounded up."""


@reads(FunctionTransformer)
def apply_function_transformer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Compute a function of each feature, or hand features on."""
    if step.func is None:
        return table
    refuse_text(table, named)
    if step.kw_args:
        raise _arguments_refusal("kw_args", step.kw_args, named)
    return table.compute(_elementwise("func", step.func, named, APART), passes_nan=True)


def inverse_function(step: Any, named: str, cure: str) -> Elementwise | None:
    """Return the inverse function of a FunctionTransformer, None where it has none."""
    if step.inverse_func is None:
        return None
    if step.inv_kw_args:
        raise _arguments_refusal("inv_kw_args", step.inv_kw_args, named)
    return _elementwise("inverse_func", step.inverse_func, named, cure)


def _elementwise(parameter: str, function: Any, named: str, cure: str) -> Elementwise:
    """Return a function, which is one of numpy's by name."""
    name = getattr(function, "__name__", repr(function))
    if name not in FUNCTIONS or getattr(np, name) is not function:
        raise refusal(
            named,
            f"{parameter}={name:.60}",
            f"of functions those of numpy can be converted, without arguments: {', '.join(FUNCTIONS)}",
            cure,
        )
    return Elementwise(name)


def _arguments_refusal(parameter: str, arguments: Any, named: str) -> UnsupportedModelError:
    why = "a function of numpy can be converted without arguments"
    return refusal(named, f"{parameter}={arguments!r:.60}", why, f"Fit without {parameter}.")


@reads(PowerTransformer)
def apply_power_transformer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Compute a power of each feature, and standardize it."""
    powers = compute(step, table, named, power_of(step, inverse=False), passes_nan=True)
    return apply_step(step._scaler, powers, named) if step.standardize else powers


def power_of(step: Any, *, inverse: bool) -> Power:
    """Return the powers of a PowerTransformer, without what standardizes them."""
    return Power(step.method, tuple(_statistics(step, "lambdas_").tolist()), inverse)


@reads(QuantileTransformer)
def apply_quantile_transformer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Look up where each feature lies among its quantiles."""
    quantiles = quantiles_of(step, inverse=False)
    low, high = (-NORMAL_END, NORMAL_END) if quantiles.normal else (0.0, 1.0)
    computed = compute(step, table, named, quantiles, passes_nan=True)
    return computed.with_range(low, high, "QuantileTransformer")


def quantiles_of(step: Any, *, inverse: bool) -> Quantiles:
    """Return the quantiles of a QuantileTransformer."""
    return Quantiles(_statistics(step, "quantiles_"), step.output_distribution == "normal", inverse)


def _statistics(step: Any, key: str) -> Floats:
    """Return what fit found of each column, which are numbers unless one had none."""
    values = np.asarray(getattr(step, key), dtype=np.float64)
    if not np.isfinite(values).all():
        raise UnsupportedModelError(
            f"{type(step).__name__}.{key} holds NaN or infinite values. Look for a column without a finite "
            "value, and fit again without it."
        )
    return values

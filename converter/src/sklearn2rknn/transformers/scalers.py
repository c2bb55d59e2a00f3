"""Scalers: affine and per feature, with clip=True cut off behind that."""

from __future__ import annotations

from typing import Any

from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from scirknn.steps.elementwise import Clip
from sklearn2rknn.network.ranges import sample_bounds
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import compute, refuse_text
from sklearn2rknn.transformers.registry import reads

ROBUST_REACH = 10.0
"""Scales (interquartile ranges by default) that a RobustScaler's features are taken to reach from their
centre: quartiles bound nothing."""


@reads(StandardScaler)
def apply_standard_scaler(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Subtract means and divide by deviations."""
    refuse_text(table, named)
    if step.mean_ is not None and step.var_ is not None:
        table = table.with_range(
            *sample_bounds(step.mean_, step.var_, step.n_samples_seen_), "StandardScaler"
        )
    # scikit-learn 1.8 and later round both to the dtype of X.
    if step.with_mean:
        table = table.calculate("subtract", step.mean_, are_rounded=True)
    return table.calculate("divide", step.scale_, are_rounded=True) if step.with_std else table


@reads(MinMaxScaler)
def apply_min_max_scaler(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Map ranges to a range."""
    refuse_text(table, named)
    table = table.with_range(step.data_min_, step.data_max_, "MinMaxScaler")
    table = table.calculate("multiply", step.scale_).calculate("add", step.min_)
    low, high = step.feature_range
    return _clipped(step, table, named, Clip(float(low), float(high)))


@reads(MaxAbsScaler)
def apply_max_abs_scaler(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Divide by the largest sizes."""
    refuse_text(table, named)
    table = table.with_range(-step.max_abs_, step.max_abs_, "MaxAbsScaler").calculate("divide", step.scale_)
    return _clipped(step, table, named, Clip(-1.0, 1.0))


def _clipped(step: Any, table: FeatureTable, named: str, clip: Clip) -> FeatureTable:
    if not getattr(step, "clip", False):
        return table
    clipped = compute(step, table, named, clip, passes_nan=True)
    return clipped.with_range(clip.low, clip.high, type(step).__name__)


@reads(RobustScaler)
def apply_robust_scaler(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Subtract medians and divide by quantile ranges."""
    refuse_text(table, named)
    if step.center_ is not None and step.scale_ is not None:
        reach = ROBUST_REACH * step.scale_
        table = table.with_range(step.center_ - reach, step.center_ + reach, "RobustScaler")
    table = table.calculate("subtract", step.center_) if step.with_centering else table
    return table.calculate("divide", step.scale_) if step.with_scaling else table

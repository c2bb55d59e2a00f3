"""Steps that take a row of features together, or make several of each by a kernel."""

from __future__ import annotations

from typing import Any

from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.preprocessing import Normalizer

from scirknn.steps.norms import ChiSquared, UnitRows
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import compute
from sklearn2rknn.transformers.registry import reads

_INTERVALS = {1: 0.8, 2: 0.5, 3: 0.4}
"""AdditiveChi2Sampler's own; Vedaldi and Zisserman 2011, figure 2c."""


@reads(Normalizer)
def apply_normalizer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Divide each row by its norm."""
    return compute(step, table, named, UnitRows(step.norm)).with_range(-1.0, 1.0, "Normalizer")


@reads(AdditiveChi2Sampler)
def apply_chi_squared(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Sample the additive chi-squared kernel's Fourier transform of each feature."""
    interval = _INTERVALS[step.sample_steps] if step.sample_interval is None else step.sample_interval
    sampled = ChiSquared(int(step.sample_steps), float(interval))
    return compute(step, table, named, sampled)

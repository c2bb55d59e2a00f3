"""Selectors: they pick features."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn.feature_selection import SelectorMixin

from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.registry import reads


@reads(SelectorMixin)
def apply_selector(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Pick features."""
    support = np.asarray(step.get_support(), dtype=bool)
    chosen = table.select(np.flatnonzero(support))
    tags = getattr(step, "__sklearn_tags__", None)
    if tags is not None and tags().input_tags.allow_nan:
        return chosen
    return attrs.evolve(chosen, checked=chosen.checked | table.plain_sources)

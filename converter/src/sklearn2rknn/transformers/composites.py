"""Transformers of transformers."""

from __future__ import annotations

from typing import Any

from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion

from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import join_parts, refusal, refuse_text
from sklearn2rknn.transformers.registry import apply_step, reads


@reads(ColumnTransformer)
def apply_column_transformer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Apply each transformer to its columns."""
    weights = step.transformer_weights or {}
    parts = []
    for name, transformer, _ in step.transformers_:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        indices = step._transformer_to_input_indices.get(name, ())
        if len(indices):
            part = apply_step(transformer, table.select(indices), f"{_inside(named)}, transformer {name!r}")
            parts.append(_weighted(part, weights.get(name), named))
    return join_parts(parts, named)


@reads(FeatureUnion)
def apply_feature_union(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Apply each transformer to every feature."""
    weights = step.transformer_weights or {}
    parts = []
    for name, transformer in step.transformer_list:
        if isinstance(transformer, str) and transformer == "drop":
            continue
        part = apply_step(transformer, table, f"{_inside(named)}, transformer {name!r}")
        parts.append(_weighted(part, weights.get(name), named))
    return join_parts(parts, named)


def _inside(named: str) -> str:
    """Take the class off ``"Pipeline step 'union' (FeatureUnion)"``."""
    return named[: named.rindex(" (")]


def _weighted(table: FeatureTable, weight: float | None, named: str) -> FeatureTable:
    if weight is None:
        return table
    if not weight:
        raise refusal(named, "a weight of 0 in transformer_weights", "the features vanish", "Use 'drop'.")
    refuse_text(table, named)
    return table.calculate("multiply", weight, are_rounded=True)

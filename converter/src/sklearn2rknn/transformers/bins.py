"""Steps that compare features with thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import Binarizer, KBinsDiscretizer

from scirknn.steps.indicators import Above, OneHot
from scirknn.steps.quantiles import Bins
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import compute
from sklearn2rknn.transformers.registry import reads


@reads(Binarizer)
def apply_binarizer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Say which features are above a threshold."""
    width = table.width
    above = Above(np.arange(width), np.full(width, float(step.threshold)))
    return compute(step, table, named, above).with_range(0.0, 1.0, "Binarizer")


@reads(KBinsDiscretizer)
def apply_bins(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Look up the bin of each feature, as its number or one feature for each bin."""
    inner = [np.asarray(edges, dtype=np.float64)[1:-1] for edges in step.bin_edges_]
    bins = Bins(np.concatenate(inner), tuple(len(edges) for edges in inner))
    if step.encode == "ordinal":
        return compute(step, table, named, bins).with_range(0.0, bins.counts, "KBinsDiscretizer")
    one_hot = OneHot(tuple(count + 1 for count in bins.counts))
    return compute(step, table, named, bins, one_hot).with_range(0.0, 1.0, "KBinsDiscretizer")

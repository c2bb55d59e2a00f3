"""Steps that compare features with thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import Binarizer, KBinsDiscretizer

from scirknn.steps.indicators import Above, OneHot
from scirknn.steps.quantiles import Bins
from sklearn2rknn.network.ranges import Ranges
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import HostSteps, compute
from sklearn2rknn.transformers.registry import reads


@reads(Binarizer)
def apply_binarizer(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Say which features are above a threshold."""
    width = table.width
    above = Above(np.arange(width), np.full(width, float(step.threshold)))
    ranges = Ranges(np.zeros(width), np.ones(width), ("Binarizer",) * width)
    return compute(step, table, named, HostSteps((above,), ranges))


@reads(KBinsDiscretizer)
def apply_bins(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Look up the bin of each feature, as its number or one feature for each bin."""
    inner = [np.asarray(edges, dtype=np.float64)[1:-1] for edges in step.bin_edges_]
    bins = Bins(np.concatenate(inner), tuple(len(edges) for edges in inner))
    if step.encode == "ordinal":
        most = np.array(bins.counts, dtype=np.float64)
        ranges = Ranges(np.zeros(len(most)), most, ("KBinsDiscretizer",) * len(most))
        return compute(step, table, named, HostSteps((bins,), ranges))
    one_hot = OneHot(tuple(count + 1 for count in bins.counts))
    width = sum(one_hot.sizes)
    ranges = Ranges(np.zeros(width), np.ones(width), ("KBinsDiscretizer",) * width)
    return compute(step, table, named, HostSteps((bins, one_hot), ranges))

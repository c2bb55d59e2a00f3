"""Nearest centres."""

from __future__ import annotations

from sklearn.cluster import AffinityPropagation, Birch, BisectingKMeans, KMeans, MeanShift, MiniBatchKMeans
from sklearn.neighbors import NearestCentroid

from rknn_harness.models.kind import Target, fixed, kind

_CLUSTERS = (2, 3, 8, 20)

KINDS = (
    kind(KMeans, Target.NONE, n_clusters=_CLUSTERS, n_init=(1,), random_state=(0,)),
    kind(MiniBatchKMeans, Target.NONE, n_clusters=_CLUSTERS, n_init=(1,), random_state=(0,)),
    kind(BisectingKMeans, Target.NONE, n_clusters=_CLUSTERS, random_state=(0,)),
    kind(Birch, Target.NONE, threshold=(0.5, 2.0), n_clusters=(None, 3)),
    kind(MeanShift, Target.NONE),
    kind(AffinityPropagation, Target.NONE, random_state=(0,)),
    kind(NearestCentroid, Target.CLASSES, shrink_threshold=(None, 0.1)),
)

FIXED = (
    fixed("KMeans", "wine", decades=5, n_clusters=5, n_init=1, random_state=0),
    fixed("NearestCentroid", "wine", decades=5),
    fixed("KMeans", "digits", n_clusters=10, n_init=1, random_state=0),
    fixed("Birch", "breast_cancer", n_clusters=3),
)

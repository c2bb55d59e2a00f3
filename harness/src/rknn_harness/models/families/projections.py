"""Projections, as last steps."""

from __future__ import annotations

from sklearn.cluster import FeatureAgglomeration
from sklearn.cross_decomposition import PLSSVD
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, SparsePCA, TruncatedSVD
from sklearn.neighbors import NeighborhoodComponentsAnalysis
from sklearn.neural_network import BernoulliRBM
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection

from rknn_harness.models.kind import Columns, Target, fixed, kind

_COUNTS = (1, 2)

KINDS = (
    # Whitened, scikit-learn's likelihood of badly scaled columns is rounded away: its covariance is a square.
    kind(PCA, Target.NONE, features=(3, 33), n_components=_COUNTS),
    kind(IncrementalPCA, Target.NONE, features=(3, 33), n_components=_COUNTS, whiten=(False, True)),
    kind(TruncatedSVD, Target.NONE, features=(3, 33), n_components=_COUNTS, random_state=(0,)),
    kind(FactorAnalysis, Target.NONE, features=(3, 33), n_components=_COUNTS),
    kind(FastICA, Target.NONE, features=(3, 33), n_components=_COUNTS, random_state=(0,)),
    kind(SparsePCA, Target.NONE, features=(3, 33), n_components=_COUNTS, max_iter=(20,), random_state=(0,)),
    kind(GaussianRandomProjection, Target.NONE, n_components=(1, 5, 40), random_state=(0,)),
    kind(SparseRandomProjection, Target.NONE, n_components=(1, 5, 40), random_state=(0,)),
    kind(
        NeighborhoodComponentsAnalysis,
        Target.CLASSES,
        features=(3, 33),
        n_components=_COUNTS,
        max_iter=(5,),
        random_state=(0,),
    ),
    kind(FeatureAgglomeration, Target.NONE, features=(3, 33), n_clusters=(2, 3)),
    kind(PLSSVD, Target.NUMBERS, features=(3, 33), n_components=_COUNTS),
    kind(
        BernoulliRBM,
        Target.NONE,
        columns=Columns.SHARES,
        n_components=(2, 16),
        n_iter=(3,),
        random_state=(0,),
    ),
)

FIXED = (
    fixed("TruncatedSVD", "wine", decades=5, n_components=3, random_state=0),
    fixed("PCA", "digits", n_components=8, whiten=True),
    fixed("FastICA", "breast_cancer", n_components=4, random_state=0),
)

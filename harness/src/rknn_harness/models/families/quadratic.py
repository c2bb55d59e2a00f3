"""Gaussian densities: quadratic forms of the columns."""

from __future__ import annotations

from sklearn.covariance import EllipticEnvelope
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

from rknn_harness.models.kind import Target, fixed, kind

_SHAPES = ("full", "tied", "diag", "spherical")

KINDS = (
    # More rows of each class than columns, which its fit asks for.
    kind(QuadraticDiscriminantAnalysis, Target.CLASSES, features=(1, 9), reg_param=(0.01, 0.3)),
    kind(
        GaussianMixture,
        Target.NONE,
        n_components=(1, 2, 5),
        covariance_type=_SHAPES,
        reg_covar=(1e-3,),
        random_state=(0,),
    ),
    kind(
        BayesianGaussianMixture,
        Target.NONE,
        n_components=(2, 4),
        covariance_type=_SHAPES,
        reg_covar=(1e-3,),
        random_state=(0,),
    ),
    kind(EllipticEnvelope, Target.NONE, support_fraction=(0.9, 1.0), random_state=(0,)),
)

FIXED = (
    fixed("QuadraticDiscriminantAnalysis", "wine", decades=5),
    fixed("GaussianMixture", "digits", n_components=4, reg_covar=1e-3, random_state=0),
    fixed("EllipticEnvelope", "breast_cancer", random_state=0),
)

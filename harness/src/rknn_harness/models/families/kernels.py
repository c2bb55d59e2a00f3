"""Kernels with stored rows."""

from __future__ import annotations

import functools

from sklearn.decomposition import KernelPCA
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.kernel_approximation import Nystroem, RBFSampler, SkewedChi2Sampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.neighbors import KernelDensity
from sklearn.semi_supervised import LabelPropagation, LabelSpreading
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from rknn_harness.models.kind import Columns, Target, fixed, kind, scaled

_KERNELS = ("rbf", "rbf", "poly", "linear", "sigmoid")
_STRENGTHS = (0.1, 1.0, 10.0)


@functools.wraps(GaussianProcessRegressor, updated=())
def _process(noise: float = 0.1, length: float = 1.0) -> GaussianProcessRegressor:
    return GaussianProcessRegressor(RBF(length) + WhiteKernel(noise), optimizer=None, normalize_y=True)


KINDS = (
    kind(SVC, Target.CLASSES, kernel=_KERNELS, C=_STRENGTHS),
    kind(NuSVC, Target.CLASSES, kernel=("rbf", "poly"), nu=(0.1, 0.3)),
    kind(SVR, Target.NUMBER, kernel=_KERNELS[:-1], C=_STRENGTHS),
    kind(NuSVR, Target.NUMBER, nu=(0.3, 0.7), C=_STRENGTHS),
    kind(OneClassSVM, Target.NONE, kernel=("rbf", "poly"), nu=(0.1, 0.5)),
    # Of columns of any size its sums cancel in float64 too.
    kind(scaled(KernelRidge), Target.NUMBER, kernel=("rbf", "polynomial", "linear"), alpha=(0.1, 1.0)),
    kind(_process, Target.NUMBER, noise=(0.01, 0.5), length=(1.0, 4.0)),
    # Of rows far from all others scikit-learn answers NaN (propagation) or roundings (density).
    kind(scaled(KernelDensity), Target.NONE, features=(1, 9), bandwidth=(1.0, 3.0)),
    kind(scaled(LabelPropagation, max_iter=2000), Target.CLASSES, gamma=(0.1, 1.0)),
    kind(scaled(LabelSpreading, max_iter=200), Target.CLASSES, gamma=(0.1, 1.0)),
    kind(
        scaled(KernelPCA), Target.NONE, kernel=("rbf", "poly"), n_components=(1, 2), eigen_solver=("dense",)
    ),
    kind(Nystroem, Target.NONE, kernel=("rbf", "poly"), n_components=(5, 30), random_state=(0,)),
    kind(RBFSampler, Target.NONE, gamma=(0.1, 1.0), n_components=(5, 64), random_state=(0,)),
    kind(
        SkewedChi2Sampler,
        Target.NONE,
        columns=Columns.SHARES,
        n_components=(5, 64),
        random_state=(0,),
    ),
)

FIXED = (
    fixed("SVC", "wine", decades=5),
    fixed("SVC", "digits", kernel="poly"),
    fixed("SVR", "diabetes", C=100.0),
    fixed("KernelDensity", "breast_cancer", bandwidth=3.0),
)

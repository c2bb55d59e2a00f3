"""Naive Bayes."""

from __future__ import annotations

from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB

from rknn_harness.models.kind import Columns, Target, fixed, kind

_STRENGTHS = (1e-2, 1.0)

KINDS = (
    kind(MultinomialNB, Target.CLASSES, columns=Columns.COUNTS, alpha=_STRENGTHS),
    kind(
        ComplementNB,
        Target.CLASSES,
        columns=Columns.COUNTS,
        features=(2, 33),
        alpha=_STRENGTHS,
        norm=(False, True),
    ),
    kind(BernoulliNB, Target.CLASSES, alpha=_STRENGTHS, binarize=(0.0, 0.5)),
    kind(CategoricalNB, Target.CLASSES, columns=Columns.CATEGORIES, alpha=_STRENGTHS, min_categories=(6,)),
    kind(GaussianNB, Target.CLASSES, var_smoothing=(1e-9, 1e-3)),
)

FIXED = (
    fixed("GaussianNB", "wine", decades=5),
    fixed("MultinomialNB", "digits"),
    fixed("BernoulliNB", "breast_cancer"),
)

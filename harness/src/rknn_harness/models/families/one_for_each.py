"""Models of several classes or targets made of one for each, for each pair, or for each bit of a code."""

from __future__ import annotations

from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain

from rknn_harness.models.families.members import CLASSIFIERS, REGRESSORS, of_one
from rknn_harness.models.kind import Target, fixed, kind

_MEMBERS = ("linear", "scores", "kernel", "layers", "squares", "tree")

KINDS = (
    kind(of_one(OneVsRestClassifier, CLASSIFIERS), Target.CLASSES, member=_MEMBERS),
    kind(
        of_one(OneVsRestClassifier, CLASSIFIERS),
        Target.LABELS,
        name="OneVsRestClassifier of several labels",
        member=("linear", "layers", "tree"),
    ),
    kind(of_one(OneVsOneClassifier, CLASSIFIERS), Target.CLASSES, member=("linear", "scores", "layers")),
    kind(
        of_one(OutputCodeClassifier, CLASSIFIERS, random_state=0),
        Target.CLASSES,
        member=_MEMBERS,
        code_size=(1.5, 3.0),
    ),
    kind(of_one(MultiOutputClassifier, CLASSIFIERS), Target.LABELS, member=_MEMBERS),
    kind(of_one(MultiOutputRegressor, REGRESSORS), Target.NUMBERS, member=tuple(REGRESSORS)),
    kind(
        of_one(ClassifierChain, CLASSIFIERS, order=[2, 0, 1]),
        Target.LABELS,
        member=("linear",),
        chain_method=("predict", "predict_proba", "decision_function"),
    ),
    kind(of_one(RegressorChain, REGRESSORS, order=[2, 0, 1]), Target.NUMBERS, member=("linear",)),
)

FIXED = (
    fixed("OneVsRestClassifier", "wine", decades=5, member="linear"),
    fixed("OneVsOneClassifier", "digits", member="scores"),
    fixed("OutputCodeClassifier", "breast_cancer", member="layers", code_size=3.0),
)

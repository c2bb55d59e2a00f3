"""Models made of other models: what scikit-learn answers, by the methods that scikit-learn has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    NearestCentroid,
    RadiusNeighborsClassifier,
)
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import scirknn
from scirknn.answers import responses_of
from sklearn2rknn import UnsupportedModelError, convert, network_from_estimator
from sklearn2rknn.checking.comparisons import are_clear, worst_r2
from tests.converter.estimators.families.emulation import (
    Emulated,
    assert_exact,
    assert_same_on_host,
    assert_within_bound,
    fitted,
    load,
    offered_methods,
    scaled,
)
from tests.counts import FULL


def perceptron(*layers: int, activation: str = "relu") -> MLPClassifier:
    return MLPClassifier(layers, activation=activation, max_iter=20, random_state=0)


MIXED = [
    ("linear", LogisticRegression(max_iter=8)),
    ("trees", RandomForestClassifier(4, random_state=0)),
    ("squares", GaussianNB()),
    ("kernel", SVC(probability=True, random_state=0)),
    ("layers", perceptron(8)),
]
OF_DEPTHS = [
    ("linear", make_pipeline(StandardScaler(), LogisticRegression(max_iter=8))),
    ("shallow", perceptron(8)),
    ("deep", make_pipeline(StandardScaler(), perceptron(8, 6, 5))),
]
OF_TANH = [("linear", LogisticRegression(max_iter=8)), ("layers", perceptron(8, activation="tanh"))]
NEAR = ("near", KNeighborsClassifier(5))
NEAR_BEHIND_STEPS = (
    "near, behind steps",
    make_pipeline(StandardScaler(), PCA(4), KNeighborsClassifier(3, weights="distance", metric="cosine")),
)
FOREST = RandomForestClassifier(4, random_state=1)
OF_TREES = [("tree", DecisionTreeClassifier(max_depth=3)), ("forest", FOREST)]

CLASSIFIERS: dict[str, tuple[Any, str]] = {
    "calibrated, sigmoid": (CalibratedClassifierCV(LinearSVC(), cv=3), "wine"),
    "calibrated, sigmoid, two classes": (CalibratedClassifierCV(SVC(), cv=2), "breast_cancer"),
    "calibrated, one member": (CalibratedClassifierCV(SVC(), cv=2, ensemble=False), "breast_cancer"),
    "calibrated, isotonic": (CalibratedClassifierCV(LinearSVC(), method="isotonic", cv=3), "wine"),
    "calibrated, temperature": (
        CalibratedClassifierCV(LinearSVC(), method="temperature", cv=2),
        "breast_cancer",
    ),
    "calibrated, temperature of chances": (
        CalibratedClassifierCV(GaussianNB(), method="temperature", cv=2),
        "wine",
    ),
    "voting, soft": (VotingClassifier(MIXED, voting="soft", weights=[1, 2, 1, 1, 3]), "wine"),
    "voting, hard": (VotingClassifier(MIXED, weights=[1, 2, 1, 1, 3]), "wine"),
    "voting, two classes": (VotingClassifier(MIXED[:3]), "breast_cancer"),
    "voting, two depths": (VotingClassifier(OF_DEPTHS, voting="soft"), "wine"),
    "voting, tanh": (VotingClassifier(OF_TANH, voting="soft"), "wine"),
    "voting, nearest rows": (VotingClassifier([NEAR, MIXED[0]], voting="soft"), "wine"),
    "voting, nearest rows behind steps": (
        VotingClassifier([NEAR_BEHIND_STEPS, NEAR, MIXED[1], *MIXED[3:]], voting="soft"),
        "wine",
    ),
    "voting, an inner one of trees and layers": (
        VotingClassifier([("inner", VotingClassifier(MIXED[:2], voting="soft")), NEAR, MIXED[4]]),
        "wine",
    ),
    "bagging, linear": (BaggingClassifier(LogisticRegression(max_iter=8), 4, random_state=0), "wine"),
    "bagging, without chances": (BaggingClassifier(LinearSVC(), 5, random_state=0), "wine"),
    "bagging, layers": (BaggingClassifier(perceptron(6), 4, random_state=0), "wine"),
    "bagging, squares of some columns": (
        BaggingClassifier(GaussianNB(), 4, max_features=0.5, bootstrap_features=True, random_state=0),
        "breast_cancer",
    ),
}
SEVERAL_CLASSES: dict[str, tuple[Any, str]] = {
    "one for each class": (OneVsRestClassifier(LogisticRegression(max_iter=8)), "wine"),
    "one for each class, two classes": (
        OneVsRestClassifier(LogisticRegression(max_iter=8)),
        "breast_cancer",
    ),
    "one for each class, kernels": (OneVsRestClassifier(SVC()), "wine"),
    "one for each class, layers": (OneVsRestClassifier(perceptron(6)), "wine"),
    "one for each class, targets": (OneVsRestClassifier(Ridge()), "breast_cancer"),
    "one for each pair": (OneVsOneClassifier(LogisticRegression(max_iter=8)), "wine"),
    "one for each pair, chances": (OneVsOneClassifier(perceptron(5)), "wine"),
    "one for each pair, two classes": (OneVsOneClassifier(LinearSVC()), "breast_cancer"),
    "codes": (OutputCodeClassifier(LogisticRegression(max_iter=8), code_size=3, random_state=1), "wine"),
    "codes of chances": (OutputCodeClassifier(GaussianNB(), code_size=2, random_state=1), "wine"),
}
STACKED: dict[str, tuple[Any, str]] = {
    "stacked": (
        StackingClassifier([MIXED[0], MIXED[1], MIXED[4]], LogisticRegression(max_iter=8), cv=2),
        "wine",
    ),
    "stacked, with the inputs": (StackingClassifier(MIXED[:2], GaussianNB(), cv=2, passthrough=True), "wine"),
    "stacked, nearest rows": (StackingClassifier([NEAR, MIXED[4]], cv=2, passthrough=True), "wine"),
    "stacked, two classes": (StackingClassifier(MIXED[:3], LinearSVC(), cv=2), "breast_cancer"),
    "boosted": (AdaBoostClassifier(LogisticRegression(max_iter=8), n_estimators=4), "wine"),
    "boosted, two classes": (AdaBoostClassifier(LinearSVC(), n_estimators=4), "breast_cancer"),
}
OTHERS: dict[str, tuple[Any, str]] = {
    "a given threshold": (
        FixedThresholdClassifier(LogisticRegression(max_iter=8), threshold=0.3),
        "breast_cancer",
    ),
    "a threshold of scores": (
        FixedThresholdClassifier(LinearSVC(), threshold=-0.5, pos_label=0),
        "breast_cancer",
    ),
    "a tuned threshold": (TunedThresholdClassifierCV(perceptron(5), cv=2), "breast_cancer"),
    "a threshold tuned for the first class": (
        TunedThresholdClassifierCV(GaussianNB(), scoring=make_scorer(f1_score, pos_label=0), cv=2),
        "breast_cancer",
    ),
    "self-trained": (SelfTrainingClassifier(LogisticRegression(max_iter=8)), "wine"),
    "frozen": (FrozenEstimator(LogisticRegression(max_iter=8)), "wine"),
}
ALL = {**CLASSIFIERS, **SEVERAL_CLASSES, **STACKED, **OTHERS}
IN_FULL_COUNTS = {
    "calibrated, one member",
    "calibrated, sigmoid",
    "calibrated, temperature of chances",
    "voting, two classes",
    "bagging, layers",
    "one for each class, layers",
    "one for each class, targets",
    "one for each pair, two classes",
    "codes of chances",
    "stacked, two classes",
    "boosted, two classes",
    "a tuned threshold",
    "a threshold tuned for the first class",
}
"""Those that repeat what others try, with other members."""

ON_HOST: dict[str, Any] = {
    "calibrated": CalibratedClassifierCV(RandomForestClassifier(4, random_state=0), method="isotonic", cv=2),
    "voting, soft": VotingClassifier(OF_TREES, voting="soft", weights=[2, 1]),
    "voting, hard": VotingClassifier(OF_TREES),
    "bagging": BaggingClassifier(n_estimators=10, random_state=0),
    "bagging, some columns": BaggingClassifier(n_estimators=10, max_features=0.4, random_state=0),
    "bagging, few rows": BaggingClassifier(n_estimators=10, max_samples=4, random_state=0),
    "one for each class": OneVsRestClassifier(DecisionTreeClassifier(max_depth=3)),
    "stacked": StackingClassifier(OF_TREES, LogisticRegression(max_iter=8), cv=2, passthrough=True),
    "boosted, forests": AdaBoostClassifier(FOREST, n_estimators=3),
    "one for each pair": OneVsOneClassifier(DecisionTreeClassifier(max_depth=2)),
    "codes": OutputCodeClassifier(DecisionTreeClassifier(max_depth=3), random_state=0),
    "bagging, forests": BaggingClassifier(RandomForestClassifier(3, random_state=0), 3, random_state=0),
    "bagging, nearest rows": BaggingClassifier(NEAR[1], 3, max_features=0.6, random_state=0),
    "voting, nearest rows": VotingClassifier([NEAR, *OF_TREES]),
}
REGRESSORS: dict[str, Any] = {
    "voting": VotingRegressor(
        [
            ("linear", Ridge()),
            ("trees", RandomForestRegressor(4, random_state=0)),
            ("kernel", SVR(C=100)),
            ("exponential", PoissonRegressor()),
        ],
        weights=[1, 2, 1, 0.5],
    ),
    "stacked": StackingRegressor([("a", Ridge()), ("b", RandomForestRegressor(4, random_state=0))], cv=2),
    "stacked, nearest rows": StackingRegressor([("a", Ridge()), ("b", KNeighborsRegressor(3))], cv=2),
    "stacked, trees": StackingRegressor([("a", DecisionTreeRegressor(max_depth=3))], Ridge(), cv=2),
    "bagging": BaggingRegressor(Ridge(), 5, max_features=0.7, random_state=0),
    "bagging, trees": BaggingRegressor(n_estimators=5, max_features=0.7, random_state=0),
    "boosting": AdaBoostRegressor(Ridge(), n_estimators=5, random_state=0),
    "boosting, trees": AdaBoostRegressor(n_estimators=5, random_state=0),
}


@pytest.mark.parametrize("name", [name for name in ALL if FULL or name not in IN_FULL_COUNTS])
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_classifier_of_members_answers_as_scikit_learn_does(name: str) -> None:
    model, data = ALL[name]
    X, y = scaled(data)
    X, y = X[::2], y[::2]
    model = fitted(model, X, y)
    emulated = Emulated.convert(model, X)
    assert_exact(emulated, X)
    assert_within_bound(emulated, X)
    clear = np.full(len(X), True)
    if hasattr(model, "predict_proba"):
        chances = model.predict_proba(X)
        clear = are_clear(chances, one_of_them=True)
        if name not in ("bagging, without chances", "boosted", "boosted, two classes"):  # shares of votes
            assert np.abs(emulated("predict_proba", X) - chances).max() < (
                5e-3 if "isotonic" in name else 2e-3
            )
    assert (emulated("predict", X) == model.predict(X))[clear].mean() >= 0.999


@pytest.mark.parametrize("name", ON_HOST)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_members_that_are_trees_or_nearest_rows_leave_nothing_for_the_npu(name: str) -> None:
    X, y = load("wine")
    assert_same_on_host(fitted(ON_HOST[name], X, np.array(["a", "b", "c"])[y]), X)


def test_neighbours_at_equal_distances_do_not_fail_the_check_of_members(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    X = random.integers(0, 3, (60, 3)).astype(float)
    model = fitted(BaggingClassifier(KNeighborsClassifier(3), 3, random_state=0), X, X.sum(axis=1) > 3)
    X = np.vstack([X, random.normal(size=(40, 3))])
    report = convert(model, tmp_path / "model.rknn", example_input=X)
    assert 40 <= report.check.rows < 100
    assert report.why_on_host.endswith("it computes those of trees and of nearest rows")
    with scirknn.load(tmp_path / "model.rknn") as loaded:
        np.testing.assert_array_equal(loaded.predict_proba(X[60:]), model.predict_proba(X[60:]))
    between = np.full((40, 3), 1.5)  # as far from points of both classes
    assert convert(model, tmp_path / "tied.rknn", example_input=between).check.is_off


def test_bagged_trees_are_walked_together() -> None:
    X, y = load("wine")
    model = fitted(ON_HOST["bagging, some columns"], X, y)
    assert [step.kind for step in network_from_estimator(model).epilogue] == ["tree_sum"]


def test_members_of_one_kernel_share_the_squared_distances() -> None:
    X, y = scaled("wine")
    model = fitted(BaggingClassifier(SVC(), 3, random_state=0), X, y)
    network = network_from_estimator(model)
    assert network.layers[0].weights.shape[0] == X.shape[1] + 1
    assert_exact(Emulated.convert(model, X), X)


def test_a_self_trained_model_has_no_method_of_its_classifier_alone() -> None:
    X, y = scaled("wine")
    model = fitted(SelfTrainingClassifier(LinearDiscriminantAnalysis()), X, y)
    assert set(responses_of(network_from_estimator(model))) == offered_methods(model)
    assert "transform" not in offered_methods(model)


@pytest.mark.parametrize("positive", [0, 1])
def test_a_score_on_the_threshold_is_the_positive_class(positive: int) -> None:
    X, y = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0, 1, 0, 1])
    tree = DecisionTreeClassifier(max_depth=1)
    model = fitted(FixedThresholdClassifier(tree, threshold=0.5, pos_label=positive), X, y)
    assert set(model.predict(X)) == {positive}
    assert_same_on_host(model, X)


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_of_members_answers_as_scikit_learn_does(name: str) -> None:
    X, y = (each[::4] for each in load("diabetes"))
    model = fitted(REGRESSORS[name], X, y)
    if "trees" in name:
        assert_same_on_host(model, X)
        return
    emulated = Emulated.convert(model, X)
    assert_exact(emulated, X)
    assert_within_bound(emulated, X)
    r2 = worst_r2(model.predict(X), emulated("predict", X))
    assert r2 is not None
    assert r2 > 0.99999


def test_several_targets_of_bagged_members_keep_their_columns() -> None:
    X, y = load("diabetes")
    model = fitted(REGRESSORS["bagging"], X, np.stack([y, X[:, 0] * 100 - y], axis=1))
    assert_exact(Emulated.convert(model, X), X)


def test_an_ensemble_behind_steps_and_inside_another_answers_as_scikit_learn_does() -> None:
    X, y = (each[::3] for each in load("wine"))
    inner = VotingClassifier(OF_TREES, voting="soft")
    bagged = BaggingClassifier(LogisticRegression(max_iter=8), 3, random_state=0)
    outer = VotingClassifier([("trees", inner), ("bagged", bagged), ("layers", perceptron(5))], voting="soft")
    model = fitted(make_pipeline(StandardScaler(), outer), X, y)
    emulated = Emulated.convert(model, X)
    assert_exact(emulated, X)
    assert_within_bound(emulated, X)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            VotingClassifier([("a", NearestCentroid()), ("b", LogisticRegression())]),
            r"A member of VotingClassifier \(NearestCentroid\) looks at its rows again",
        ),
        (
            VotingClassifier([("a", RadiusNeighborsClassifier(9.0)), ("b", LogisticRegression())]),
            r"A member of VotingClassifier \(RadiusNeighborsClassifier\) has no answer for a row without",
        ),
        (
            VotingClassifier([("a", perceptron(4, 4, activation="tanh")), ("b", perceptron(4))]),
            r"have the hidden layers \(relu\) and \(tanh, tanh\), which cannot stand side by side",
        ),
        (ClassifierChain(GaussianNB()), "ClassifierChain of GaussianNB cannot be converted; one of linear"),
        (
            MultiOutputClassifier(LinearSVC()),
            r"has a target of the classes \[0, 1, 2\]; targets of two classes can",
        ),
        (
            StackingClassifier(MIXED[:2], perceptron(4), cv=2),
            "StackingClassifier ends in MLPClassifier, which the host cannot compute",
        ),
        (
            StackingClassifier(MIXED[:2], KNeighborsClassifier(), cv=2),
            "StackingClassifier ends in KNeighborsClassifier, which the host cannot compute",
        ),
        (
            StackingClassifier(MIXED[:2], make_pipeline(SimpleImputer(), LogisticRegression()), cv=2),
            "ends in LogisticRegression behind steps that impute or encode, which the host cannot compute",
        ),
        (
            StackingClassifier(MIXED[:2], GaussianNB(), stack_method="predict", cv=2),
            "StackingClassifier takes predict of LogisticRegression, which cannot be converted",
        ),
        (
            OneVsOneClassifier(NearestCentroid()),
            "NearestCentroid, whose predict does not follow its score",
        ),
        (
            VotingClassifier([("a", LinearSVC()), ("b", GaussianNB())], voting="soft"),
            "takes predict_proba, which LinearSVC does not have",
        ),
        (OneVsOneClassifier(Ridge()), "OneVsOneClassifier of Ridge, a regressor, cannot be converted"),
    ],
)
def test_members_that_cannot_stand_side_by_side_are_refused_with_what_to_do(model: Any, text: str) -> None:
    X, y = (each[::3] for each in scaled("wine"))
    if isinstance(model, ClassifierChain):
        y = np.stack([y > 0, y > 1], axis=1).astype(int)
    if isinstance(model, MultiOutputClassifier):
        y = np.stack([y, y], axis=1)
    with pytest.raises(UnsupportedModelError, match=text):
        network_from_estimator(fitted(model, X, y))


def test_an_ensemble_that_lies_inside_itself_is_refused() -> None:
    X, y = scaled("wine")
    model = fitted(VotingClassifier(OF_TREES), X, y)
    model.estimators_ = [model, *model.estimators_]
    with pytest.raises(UnsupportedModelError, match="A VotingClassifier lies inside itself"):
        network_from_estimator(model)


def test_columns_that_the_members_do_not_have_are_refused() -> None:
    X, y = scaled("wine")
    model = fitted(ON_HOST["bagging, some columns"], X, y)
    model.estimators_features_[0] = np.array([99])
    with pytest.raises(UnsupportedModelError, match="estimators_features_ are no columns of 13"):
        network_from_estimator(model)

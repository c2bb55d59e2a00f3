"""Trees and their ensembles: walked on the host, the board's CPU.

An NPU could compare thresholds too, but comparing all of them for a row costs what walking the trees does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.ensemble._iforest import _average_path_length
from sklearn.tree import (
    BaseDecisionTree,
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)
from sklearn.utils import get_tags

from scirknn.arrays import Floats
from scirknn.steps.activations import Activation
from scirknn.steps.linear import Dense, Shift
from scirknn.steps.step import Step
from scirknn.steps.trees import IsolationScore, Sign, TreeSum
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers
from sklearn2rknn.estimators.families.voting import read_boosted_members
from sklearn2rknn.estimators.fitted import feature_names, require_fitted
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.network.network import Network

TREES = Form(
    "trees, walked on the host", ("float64",), "never: comparing every threshold costs more than walking"
)

Values = npt.NDArray[Any]


@reads(DecisionTreeClassifier, ExtraTreeClassifier, RandomForestClassifier, ExtraTreesClassifier, form=TREES)
def read_classifier(estimator: Any, name: str) -> Network:
    """Return the mean of a tree's, or a forest's trees', shares of each class."""
    return _of_shares(estimator, _trees_of(estimator))


@reads(DecisionTreeRegressor, ExtraTreeRegressor, RandomForestRegressor, ExtraTreesRegressor, form=TREES)
def read_regressor(estimator: Any, name: str) -> Network:
    """Return the mean of a tree's, or a forest's trees', targets."""
    targets = [_Tree(each.tree_, each.tree_.value[:, :, 0]) for each in _trees_of(estimator)]
    mean = _join(estimator, targets, divisor=float(len(targets)))
    return _on_host(estimator, (mean,), task="regressor", head="identity")


@reads(GradientBoostingClassifier, form=TREES)
def read_boosted_classifier(estimator: Any, name: str) -> Network:
    """Return the sum of a boosted classifier's stages."""
    require_fitted(estimator, "estimators_")
    trees = _stages(estimator)
    is_binary = len(trees.start) == 1
    own: dict[str, tuple[Step, ...]] = {"decision_function": ()}
    if is_binary:
        own["predict"] = (Sign(),)
    if estimator.loss == "exponential":
        own["predict_proba"] = (Dense(np.array([[2.0]]), np.zeros(1)), Activation("logistic"))
    return _on_host(
        estimator,
        (trees,),
        task="classifier",
        head="logistic" if is_binary else "softmax",
        own=own,
    )


@reads(GradientBoostingRegressor, form=TREES)
def read_boosted_regressor(estimator: Any, name: str) -> Network:
    """Return the sum of a boosted regressor's stages."""
    require_fitted(estimator, "estimators_")
    return _on_host(estimator, (_stages(estimator),), task="regressor", head="identity")


@reads(HistGradientBoostingClassifier, form=TREES)
def read_histogram_classifier(estimator: Any, name: str) -> Network:
    """Return the sum of a histogram boosting classifier's trees."""
    require_fitted(estimator, "_predictors")
    trees = _histogram_trees(estimator, name)
    return _on_host(
        estimator,
        (trees,),
        task="classifier",
        head="logistic" if len(trees.start) == 1 else "softmax",
        own={"decision_function": ()},
    )


@reads(HistGradientBoostingRegressor, form=TREES)
def read_histogram_regressor(estimator: Any, name: str) -> Network:
    """Return the sum of a histogram boosting regressor's trees."""
    require_fitted(estimator, "_predictors")
    head = "exp" if type(estimator._loss.link).__name__ == "LogLink" else "identity"
    return _on_host(estimator, (_histogram_trees(estimator, name),), task="regressor", head=head)


@reads(IsolationForest, form=TREES)
def read_isolation_forest(estimator: Any, name: str) -> Network:
    """Return the score of a row's mean depth."""
    require_fitted(estimator, "estimators_")
    trees = [
        _Tree(each.tree_, (path_lengths[:, None] + average[:, None]) - 1.0, columns)
        for each, path_lengths, average, columns in zip(
            estimator.estimators_,
            estimator._decision_path_lengths,
            estimator._average_path_length_per_tree,
            estimator.estimators_features_,
            strict=True,
        )
    ]
    expected = len(trees) * float(_average_path_length([estimator._max_samples])[0])
    if expected:
        depth = _join(estimator, trees, divisor=expected)
    else:  # trees of one row: scikit-learn scores as at depth 1
        depth = _join(estimator, trees, start=np.ones(1))
    decision = (Shift((-float(estimator.offset_),)),)
    return _on_host(
        estimator,
        (depth, IsolationScore()),
        task="outlier",
        head="logistic",
        own={"predict": decision, "decision_function": decision, "score_samples": ()},
    )


@reads(
    AdaBoostClassifier,
    form=attrs.evolve(TREES, text="trees, walked on the host; other members side by side in one network"),
)
def read_adaboost_classifier(estimator: Any, name: str) -> Network:
    """Return the weighted votes of trees, or of other members."""
    require_fitted(estimator, "estimators_")
    n_classes, weights = len(estimator.classes_), estimator.estimator_weights_
    if n_classes == 1:
        raise UnsupportedModelError(f"{name} was fitted on one class. Fit it on rows of two classes or more.")
    if getattr(estimator, "algorithm", "SAMME") == "SAMME.R":  # until 1.5; the present predict counts votes
        raise UnsupportedModelError(
            f"{name} was fitted with algorithm='SAMME.R', by which scikit-learn {sklearn.__version__} does "
            "not predict. Fit it again."
        )
    if any(type(each) is not DecisionTreeClassifier for each in estimator.estimators_):
        return read_boosted_members(estimator, name)
    trees = []
    for each, weight in zip(estimator.estimators_, weights, strict=False):
        labels = each.classes_[each.tree_.value[:, 0, : each.n_classes_].argmax(axis=1)]
        is_own = labels[:, None] == estimator.classes_
        trees.append(_Tree(each.tree_, np.where(is_own, weight, -1 / (n_classes - 1) * weight)))
    votes = _join(estimator, trees, divisor=float(weights.sum()))
    epilogue: tuple[Step, ...] = (votes,)
    to_exponents: Floats = np.eye(n_classes) / (n_classes - 1)
    if n_classes == 2:
        epilogue += (Dense(np.array([[-1.0], [1.0]]), np.zeros(1)),)
        to_exponents = np.array([[-0.5, 0.5]])
    proba = (Dense(to_exponents, np.zeros(n_classes)), Activation("softmax"))
    return _on_host(
        estimator,
        epilogue,
        task="classifier",
        head="logistic" if n_classes == 2 else "softmax",
        own={"decision_function": (), "predict_proba": proba},
    )


def _trees_of(estimator: Any) -> Sequence[Any]:
    """Return a forest's trees, or a tree alone."""
    is_tree = isinstance(estimator, BaseDecisionTree)
    require_fitted(estimator, "tree_" if is_tree else "estimators_")
    return [estimator] if is_tree else list(estimator.estimators_)


def _of_shares(estimator: Any, trees: Sequence[Any]) -> Network:
    """Return a classifier of trees whose leaves hold the share of each class."""
    name = type(estimator).__name__
    if estimator.n_outputs_ != 1:
        raise UnsupportedModelError(
            f"{name} with {estimator.n_outputs_} outputs cannot be converted; fit one for each output."
        )
    shares = [_Tree(each.tree_, each.tree_.value[:, 0, : estimator.n_classes_]) for each in trees]
    mean = _join(estimator, shares, divisor=float(len(trees)))
    return _on_host(estimator, (mean,), task="classifier", head="identity")


def _stages(estimator: Any) -> TreeSum:
    """Return a boosted model's stages; its first predictions are the same for every row."""
    kind = type(estimator.init_).__name__
    if kind.startswith("Dummy"):
        Attributes(estimator.init_).count("n_outputs_", most=1)
    elif estimator.init_ != "zero":
        raise UnsupportedModelError(
            f"{type(estimator).__name__} with init={kind} cannot be converted. Leave it out, or take 'zero'."
        )
    trees = []
    for stage in estimator.estimators_:
        for column, each in enumerate(stage):
            values = np.zeros((each.tree_.node_count, len(stage)))
            values[:, column] = estimator.learning_rate * each.tree_.value[:, 0, 0]
            trees.append(_Tree(each.tree_, values))
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), dtype=np.float32))[0]
    return _join(estimator, trees, start=start)


def _histogram_trees(estimator: Any, name: str) -> TreeSum:
    if getattr(estimator, "is_categorical_", None) is not None and np.any(estimator.is_categorical_):
        raise UnsupportedModelError(
            f"{name} with categorical_features cannot be converted. Encode them with an OrdinalEncoder in a "
            "Pipeline and fit without categorical_features."
        )
    trees = []
    for stage in estimator._predictors:
        for column, each in enumerate(stage):
            values = np.zeros((len(each.nodes), len(stage)))
            values[:, column] = each.nodes["value"]
            trees.append(_Tree(_HistogramNodes(each.nodes), values))
    return _join(estimator, trees, start=np.ravel(estimator._baseline_prediction), single=False)


class _HistogramNodes:
    """A histogram boosting tree's nodes by the names of scikit-learn's other trees."""

    def __init__(self, nodes: Values) -> None:
        is_leaf = nodes["is_leaf"].astype(bool)
        self.node_count = len(nodes)
        self.children_left = np.where(is_leaf, -1, nodes["left"].astype(np.int64))
        self.children_right = np.where(is_leaf, -1, nodes["right"].astype(np.int64))
        self.feature = nodes["feature_idx"]
        self.threshold = nodes["num_threshold"]
        self.missing_go_to_left = nodes["missing_go_to_left"]


@dataclass(frozen=True, eq=False)
class _Tree:
    """One tree.

    Attributes
    ----------
    nodes : object
        With the attributes of `sklearn.tree._tree.Tree`.
    values : numpy.ndarray, shape (nodes, k)
        What its leaves add.
    columns : numpy.ndarray of int, or None
        The columns of X that it was fitted on; None: all.
    """

    nodes: Any
    values: Values
    columns: Values | None = None

    def arrays(self, first: int) -> dict[str, Values]:
        """Return the arrays of `TreeSum`, for nodes that begin at `first`."""
        nodes, own = self.nodes, np.arange(self.nodes.node_count)
        is_leaf = nodes.children_left < 0
        below = np.where(is_leaf, own, nodes.children_left) + first
        above = np.where(is_leaf, own, nodes.children_right) + first
        column = np.where(is_leaf, 0, nodes.feature)
        return {
            "columns": column if self.columns is None else np.asarray(self.columns)[column],
            # Infinite where NaN alone goes above; a bundle holds finite numbers.
            "thresholds": np.where(is_leaf, 0.0, np.minimum(nodes.threshold, np.finfo(np.float64).max)),
            "below": below,
            "above": above,
            "missing": np.where(nodes.missing_go_to_left, below, above),
            "values": np.where(is_leaf[:, None], self.values, 0.0),
        }


def _join(
    estimator: Any,
    trees: Sequence[_Tree],
    *,
    start: Values | None = None,
    divisor: float = 1.0,
    single: bool = True,
) -> TreeSum:
    """Return an estimator's trees as one step."""
    firsts = np.cumsum([0, *(tree.nodes.node_count for tree in trees)])[:-1]
    parts = [tree.arrays(first) for tree, first in zip(trees, firsts, strict=True)]
    joined = {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
    if not get_tags(estimator).input_tags.allow_nan:
        joined["missing"] = np.zeros(0)
    if start is None:
        start = np.zeros(joined["values"].shape[1])
    arrays: dict[str, Any] = {
        name: array.astype(np.float64 if name in ("thresholds", "values") else np.int64)
        for name, array in joined.items()
    }
    return TreeSum(
        roots=firsts.astype(np.int64),
        start=tuple(float(value) for value in start),
        divisor=divisor,
        single=single,
        **arrays,
    )


def _on_host(
    estimator: Any,
    epilogue: tuple[Step, ...],
    *,
    task: str,
    head: str,
    own: dict[str, tuple[Step, ...]] | None = None,
) -> Network:
    columns = int(estimator.n_features_in_)
    is_single = task == "regressor" and epilogue[-1].width(columns) == 1
    answers = Answers.of(estimator, task, own, head=head, single_output=is_single)
    return Network(
        estimator=type(estimator).__name__,
        layers=(),
        feature_names=feature_names(estimator),
        dtype="float64",
        features_in=columns,
        epilogue=epilogue,
        **attrs.asdict(answers, recurse=False),
    )

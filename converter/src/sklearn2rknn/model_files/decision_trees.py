"""Decision trees from a file: records become `Tree` objects once every index in them is in range.

scikit-learn's compiled code follows child and feature indices without looking at them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
from sklearn.tree._tree import NODE_DTYPE, Tree

from sklearn2rknn.model_files.inert import Record
from sklearn2rknn.model_files.record_checks import check_array, check_count, damaged

_MOST_FEATURES = 1 << 31
_BITSET_WORDS = 8  # of 32 bits: the 256 categories that a HistGradientBoosting tree can name
_LEAF = -1  # TREE_LEAF of sklearn.tree._tree


def make_tree(record: Record) -> Tree:
    """Return the tree of a record.

    Raises
    ------
    ModelFileError
        An array has another dtype or shape, or the nodes form no tree over the features.
    """
    what, arguments, state = "decision tree", record.arguments, record.state
    if len(arguments) != 3 or type(state) is not dict:
        raise damaged(what, "it lacks its sizes or its nodes")
    n_features = check_count(what, "n_features", arguments[0], _MOST_FEATURES)
    n_outputs = check_count(what, "n_outputs", arguments[2], _MOST_FEATURES)
    n_classes = check_array(what, "n_classes", arguments[1], np.dtype(np.intp), (n_outputs,))
    if (n_classes < 1).any():
        raise damaged(what, "an output has no classes")
    nodes = check_array(what, "nodes", state.get("nodes"), NODE_DTYPE, (None,))
    check_array(
        what,
        "values",
        state.get("values"),
        np.dtype(np.float64),
        (len(nodes), n_outputs, int(n_classes.max())),
    )
    if check_count(what, "node_count", state.get("node_count"), len(nodes)) != len(nodes):
        raise damaged(what, f"it has {len(nodes)} nodes and counts {state['node_count']}")
    inner = nodes["left_child"] != _LEAF
    if (inner != (nodes["right_child"] != _LEAF)).any():
        raise damaged(what, "a node has one child")
    depth = _depth(what, inner, nodes["left_child"], nodes["right_child"])
    # decision_path reserves so many places for each row.
    if type(state.get("max_depth")) is not int or state["max_depth"] != depth:
        raise damaged(what, f"it is {depth} levels deep, not {state.get('max_depth')!r:.40}")
    _check_features(what, nodes["feature"][inner], n_features)
    tree = Tree(n_features, n_classes, n_outputs)
    tree.__setstate__({**state, "nodes": nodes})
    return tree


def check_predictor(attributes: dict[str, Any], n_features: int, is_categorical: npt.NDArray[Any]) -> None:
    """Refuse a tree of HistGradientBoosting whose nodes form none, or lead out of its arrays.

    Parameters
    ----------
    attributes : dict of str to Any
        Of a ``TreePredictor``.
    n_features : int
    is_categorical : numpy.ndarray of bool, shape (n_features,)

    Raises
    ------
    ModelFileError
    """
    what = "tree of HistGradientBoosting"
    nodes = check_array(what, "nodes", attributes.get("nodes"), PREDICTOR_RECORD_DTYPE, (None,))
    bitsets = [
        check_array(what, name, attributes.get(name), np.dtype(np.uint32), (None, _BITSET_WORDS))
        for name in ("raw_left_cat_bitsets", "binned_left_cat_bitsets")
    ]
    inner = nodes["is_leaf"] == 0
    _depth(what, inner, nodes["left"].astype(np.int64), nodes["right"].astype(np.int64))
    features = nodes["feature_idx"]
    _check_features(what, features[inner], n_features)
    by_category = inner & (nodes["is_categorical"] != 0)
    if not is_categorical[features[by_category]].all():
        raise damaged(what, "it splits a feature of numbers by categories")
    if (nodes["bitset_idx"][by_category] >= min(map(len, bitsets))).any():
        raise damaged(what, "a node names categories that are not there")


def _depth(what: str, inner: npt.NDArray[Any], left: npt.NDArray[Any], right: npt.NDArray[Any]) -> int:
    """Return how many levels are below the root; every other node is the child of one before it."""
    parents = np.flatnonzero(inner)
    children = np.stack([left[parents], right[parents]])
    if children.size != len(inner) - 1 or (np.sort(children, axis=None) != np.arange(1, len(inner))).any():
        raise damaged(what, "its nodes are not each the child of one other")
    if (children <= parents).any():
        raise damaged(what, "a node comes before its parent, as in a cycle")
    depth, level = 0, np.zeros(1, dtype=np.intp)
    while inner[level].any():
        level = level[inner[level]]
        level = np.concatenate([left[level], right[level]])
        depth += 1
    return depth


def _check_features(what: str, features: npt.NDArray[Any], n_features: int) -> None:
    if features.size and not 0 <= features.min() <= features.max() < n_features:
        raise damaged(what, f"it asks for another feature than the {n_features}")

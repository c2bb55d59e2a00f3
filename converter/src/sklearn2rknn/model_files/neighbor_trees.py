"""Trees of neighbors from a file: built again from the training rows of their records.

What a `KDTree` or `BallTree` knows beside its rows follows from them; the record's own nodes are checked,
never used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import DistanceMetric
from sklearn.neighbors import BallTree, KDTree

from sklearn2rknn.model_files.inert import NamedStandIn, Record
from sklearn2rknn.model_files.model_names import METRICS
from sklearn2rknn.model_files.record_checks import check_array, check_count, damaged

_METRIC_MODULE = "sklearn.metrics._dist_metrics"
_TREES: dict[str, Any] = {
    "sklearn.neighbors._kd_tree.KDTree": KDTree,
    "sklearn.neighbors._ball_tree.BallTree": BallTree,
}
TREE_RECORDS = (*_TREES, "sklearn.neighbors._kd_tree.newObj", "sklearn.neighbors._ball_tree.newObj")
"""Names of the records that `make_neighbor_tree` takes."""

_BOUNDS = {KDTree: 2, BallTree: 1}  # least and greatest of each column, or a centre
_FLOAT = np.dtype(np.float64)
_MOST_ROWS = 1 << 40
_NODE_DTYPE = np.dtype(
    {
        "names": ["idx_start", "idx_end", "is_leaf", "radius"],
        "formats": [np.intp, np.intp, np.intp, np.float64],
    },
    align=True,
)  # NodeData_t of sklearn/neighbors/_binary_tree.pxi


def make_neighbor_tree(record: Record) -> KDTree | BallTree:
    """Return the tree of a record.

    Raises
    ------
    ModelFileError
        An array has another dtype or shape, an index is out of range, or the metric is not one of the tree's.
    """
    full_name = _class_of(record)
    kind, what = _TREES.get(full_name), full_name.rpartition(".")[2]
    state = record.state
    if kind is None or type(state) is not tuple or len(state) != 13:
        raise damaged(what, "its state is not that of this scikit-learn")
    rows = check_array(what, "data", state[0], _FLOAT, (None, None))
    if not rows.size or not np.isfinite(rows).all():
        raise damaged(what, "its training rows are none, or no finite numbers")
    weights = state[12]
    if weights is not None:
        weights = check_array(what, "sample_weight", weights, _FLOAT, (len(rows),))
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise damaged(what, "a sample weight is no number from 0 on")
    _check_nodes(what, kind, state)
    leaf_size = check_count(what, "leaf_size", state[4], _MOST_ROWS)
    metric = _metric(what, kind, state[11], rows.shape[1])
    tree = kind(rows, leaf_size=leaf_size, metric=metric, sample_weight=weights)
    if tree.__getstate__()[5:7] != state[5:7]:
        raise damaged(what, f"{state[6]} nodes are not what a leaf size of {leaf_size} gives")
    return tree


def _class_of(record: Record) -> str:
    """Return the name of the class that a record is of: its own, or what ``newObj`` takes."""
    if record.full_name.endswith(".newObj"):
        arguments = record.arguments
        named = arguments[0] if len(arguments) == 1 else None
        return named.full_name if type(named) is NamedStandIn else ""
    return record.full_name


def _check_nodes(what: str, kind: Any, state: tuple[Any, ...]) -> None:
    """Refuse nodes that lead out of the training rows."""
    rows, width = state[0].shape
    index = check_array(what, "idx_array", state[1], np.dtype(np.intp), (rows,))
    if (np.sort(index) != np.arange(rows)).any():
        raise damaged(what, "its index does not name each training row once")
    count = check_count(what, "n_nodes", state[6], _MOST_ROWS)
    nodes = check_array(what, "node_data", state[2], _NODE_DTYPE, (count,))
    check_array(what, "node_bounds", state[3], _FLOAT, (_BOUNDS[kind], count, width))
    start, end = nodes["idx_start"], nodes["idx_end"]
    if (start < 0).any() or (start > end).any() or (end > rows).any():
        raise damaged(what, f"a node holds other rows than the {rows}")


def _metric(what: str, kind: Any, record: Any, width: int) -> DistanceMetric:
    full_name = _class_of(record) if type(record) is Record else ""
    module, _, name = full_name.rpartition(".")
    state = record.state if type(record) is Record else None
    if module != _METRIC_MODULE or type(state) is not tuple or len(state) != 3:
        raise damaged(what, f"its metric is {full_name or type(record).__name__:.60}")
    bare_name = name.removesuffix("64").removesuffix("Distance")
    metric = bare_name.lower()
    if bare_name not in METRICS or metric not in kind.valid_metrics:
        raise damaged(what, f"it takes no metric {name:.60}")
    power, vector, matrix = state
    if type(power) is not float or not power >= 0:
        raise damaged(what, f"its metric has the power {power!r:.60}")
    vector = check_array(what, "a vector of its metric", vector, _FLOAT, (None,))
    matrix = check_array(what, "a matrix of its metric", matrix, _FLOAT, (None, None))
    try:
        return DistanceMetric.get_metric(metric, **_metric_arguments(metric, power, vector, matrix, width))
    except ValueError as error:
        raise damaged(what, f"its metric cannot be made ({error!s:.200})") from None


def _metric_arguments(
    metric: str, power: float, vector: npt.NDArray[Any], matrix: npt.NDArray[Any], width: int
) -> dict[str, Any]:
    if metric == "minkowski":
        return {"p": power, **({"w": _sized(vector, (width,))} if vector.size else {})}
    if metric == "seuclidean":
        return {"V": _sized(vector, (width,))}
    if metric == "mahalanobis":
        return {"VI": _sized(matrix, (width, width))}
    if metric == "haversine" and width != 2:
        raise ValueError(f"haversine takes 2 columns, not {width}")
    return {}


def _sized(array: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"its numbers are not {shape} finite ones")
    return array

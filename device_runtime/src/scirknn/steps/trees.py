"""Decision trees, walked on the host: all trees of a model at once, a level at a time."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from scirknn.arrays import Array, Floats, Ints
from scirknn.steps.step import Monotonic, Step, step

_BLOCK = 1 << 16
"""Pairs of a tree and a row that are walked at a time."""


@step("tree_sum")
class TreeSum(Step):
    """The sum of each tree's leaf: ``(start + leaf_1 + leaf_2 + ...) / divisor``, added in that order.

    The order, and float64, are scikit-learn's, so that the sum is its sum to the bit. A node's children lie
    behind it; a leaf is its own child.

    Attributes
    ----------
    roots : numpy.ndarray of int64, shape (trees,)
        The node at which each tree begins.
    columns : numpy.ndarray of int64, shape (nodes,)
        The column that a node compares.
    thresholds : numpy.ndarray of float64, shape (nodes,)
        A row whose value is at most the threshold goes to `below`, another to `above`.
    below, above, missing : numpy.ndarray of int64, shape (nodes,)
        The nodes behind; `missing` is for NaN, and empty where the estimator refuses NaN.
    values : numpy.ndarray of float64, shape (nodes, k)
        What a leaf adds.
    start : tuple of float
        One for each of the k columns.
    divisor : float
    single : bool
        Whether rows are rounded to float32 before they are compared, as scikit-learn's trees do; those of
        HistGradientBoosting compare float64.
    """

    jumps = True

    roots: Ints
    columns: Ints
    thresholds: Floats
    below: Ints
    above: Ints
    missing: Ints
    values: Floats
    start: tuple[float, ...]
    divisor: float
    single: bool

    def __post_init__(self) -> None:
        nodes = len(self.thresholds)
        missing = self.missing if self.accepts_missing else self.below
        per_node = (self.columns, self.thresholds, self.below, self.above, missing)
        shapes = {array.shape for array in per_node}
        if shapes != {(nodes,)} or self.roots.ndim != 1 or self.values.shape != (nodes, len(self.start)):
            raise self.fault(f"has shapes {sorted(shapes)}, {self.roots.shape} and {self.values.shape}")
        own = np.arange(nodes)
        is_leaf = (self.below == own) & (self.above == own) & (missing == own)
        behind = np.minimum(np.minimum(self.below, self.above), missing)
        last = np.maximum(np.maximum(self.below, self.above), missing)
        if not (is_leaf | (behind > own)).all() or (last >= nodes).any() or (self.columns < 0).any():
            raise self.fault("has nodes that do not lead to a leaf")
        if not self.roots.size or self.roots.min() < 0 or self.roots.max() >= nodes or not self.divisor:
            raise self.fault(f"has {len(self.roots)} roots and divides by {self.divisor}")

    @property
    def accepts_missing(self) -> bool:
        """Whether a row may hold NaN: it goes where `missing` says."""
        return self.missing.size > 0

    def width(self, columns: int) -> int:
        self.require_column(int(self.columns.max()), columns)
        return len(self.start)

    def apply(self, values: Floats) -> Floats:
        result = np.empty((len(values), len(self.start)))
        block = max(1, _BLOCK // len(self.roots))
        for first in range(0, len(values), block):
            leaves = self.leaves(values[first : first + block])
            total = np.tile(np.array(self.start), (leaves.shape[1], 1))
            for tree in leaves:
                total += self.values[tree]
            result[first : first + block] = total / self.divisor
        return result

    def leaves(self, values: Floats) -> Ints:
        """Return the leaf of each tree and row, int64 of shape (trees, n)."""
        if self.single:
            with np.errstate(over="ignore"):
                values = values.astype(np.float32)
        flat, width = values.ravel(), values.shape[1]
        row = np.arange(len(values)) * width
        at = np.broadcast_to(self.roots[:, None], (len(self.roots), len(values)))
        has_missing = self.accepts_missing and bool(np.isnan(flat).any())
        while True:
            value = flat[row + self.columns[at]]
            behind = np.where(value <= self.thresholds[at], self.below[at], self.above[at])
            if has_missing:
                behind = np.where(np.isnan(value), self.missing[at], behind)
            if np.array_equal(behind, at):
                return behind
            at = behind

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Return 0 where no column that is compared can be off, else the trees' largest reach."""
        used = np.unique(self.columns[self.below != np.arange(len(self.below))])
        is_exact = (error[:, used] == 0).all(axis=1, keepdims=True)
        reach = len(self.roots) * np.ptp(self.values, axis=0) / abs(self.divisor)
        return np.where(is_exact, 0.0, reach)


def mean_of_trees(trees: Sequence[TreeSum]) -> TreeSum:
    """Return the mean of several sums of one tree each, as one step that walks all of them at once."""
    firsts = np.cumsum([0, *(len(each.thresholds) for each in trees)])[:-1]

    def joined(name: str, shift: bool = False) -> Array:
        parts = [getattr(each, name) for each in trees]
        shifted = [part + first for part, first in zip(parts, firsts)] if shift else parts
        return np.concatenate(shifted)

    return TreeSum(
        roots=joined("roots", shift=True),
        columns=joined("columns"),
        thresholds=joined("thresholds"),
        below=joined("below", shift=True),
        above=joined("above", shift=True),
        missing=joined("missing", shift=True),
        values=joined("values"),
        start=(0.0,) * len(trees[0].start),
        divisor=float(len(trees)),
        single=trees[0].single,
    )


@step("isolation_score")
class IsolationScore(Monotonic):
    """``-(2 ** -v)`` of a mean depth over the expected one: what `IsolationForest.score_samples` returns."""

    def apply(self, values: Floats) -> Floats:
        return np.asarray(-(2.0**-values))


@step("sign")
class Sign(Monotonic):
    """1 where a value is 0 or more, else -1, for estimators whose decision at 0 is the second class."""

    def apply(self, values: Floats) -> Floats:
        return np.where(values >= 0, 1.0, -1.0)

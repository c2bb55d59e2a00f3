"""Steps that answer from the training rows nearest to a row.

The network ranks all training rows s by ``(x - c).(s - c) - (s - c).(s - c) / 2``, or for the cosine by
``x.s``, less what all have in common. Its error for a row x is at most ``slope * |x - c| + constant``. So the
k nearest are among those whose score is within twice that of the k-th best, and of these candidates the host
computes the distances in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scirknn.steps.step import RowStep, step

if TYPE_CHECKING:
    from scirknn.arrays import Array, Floats

__all__ = ["METRICS", "LocalOutlierFactor", "NearestAnswers"]

METRICS = ("euclidean", "cosine")
WEIGHTS = ("uniform", "distance")

_BLOCK = 32
"""Scores of which the largest stands for all while the k-th best is looked for."""

_DIFFERENCES = 1 << 22
"""Numbers in work at a time: 32 MiB."""

_TIE = 1e-12
"""Squared distances whose relative difference is not larger are equal."""

_EXPANSION = 2.0**-48
"""What scikit-learn's ``|x|^2 - 2 x.s + |s|^2`` may err by, as a share of ``|x|^2 + |s|^2``: 32 roundings."""


@dataclass(frozen=True, eq=False)
class NearestRows(RowStep):
    """The search, which the steps of this module share.

    Attributes
    ----------
    points : numpy.ndarray of float64, shape (n_points, inputs)
        The training rows; of unit length for the cosine.
    centre : numpy.ndarray of float64, shape (inputs,)
        Where the network's scores are centred: c.
    slope, constant : float
        Of the error of a score.
    count : int
        Neighbours: k.
    metric : {"euclidean", "cosine"}
    """

    points: Floats
    centre: Floats
    slope: float
    constant: float
    count: int
    metric: str

    def __post_init__(self) -> None:
        shape = self.points.shape
        if len(shape) != 2 or self.centre.shape != shape[1:] or not 1 <= self.count <= shape[0]:
            raise ValueError(
                f"the step {self.kind!r} has points of shape {shape}, a centre of {self.centre.shape} and "
                f"{self.count} neighbours"
            )
        if self.metric not in METRICS or not (self.slope >= 0 and self.constant >= 0):
            raise ValueError(
                f"the step {self.kind!r} has the metric {self.metric!r:.60} and an error of {self.slope:g} "
                f"and {self.constant:g}"
            )

    def width(self, columns: int) -> int:
        if columns != len(self.points):
            raise ValueError(f"the step {self.kind!r} has {len(self.points)} points for {columns} columns")
        return self.answer_columns

    @property
    def inputs(self) -> int:
        return len(self.centre)

    @property
    def answer_columns(self) -> int:
        """How many values the step gives."""
        return 1

    def answers_of(self, distances: Floats, indices: Array) -> Floats:
        """Return the values for neighbours, both arrays of shape (n, k), the nearest first."""
        raise NotImplementedError

    def error_of_scores(self, rows: Floats) -> Floats:
        """Bound the error of the network's scores for each row, shape (n,)."""
        return np.asarray(self.slope * np.linalg.norm(rows - self.centre, axis=1) + self.constant)

    def nearest(self, values: Floats, rows: Floats) -> tuple[Floats, Array]:
        """Return distances and indices of the nearest points, shape (n, k), the nearest first.

        At equal distances the one of the lower index.
        """
        found = self._candidates(values, rows)
        at = found.first[:, None] + np.arange(self.count)
        return found.distances[at], found.points[at]

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        return self.answers_of(*self.nearest(values, rows))

    def carry_to(self, values: Floats, error: Floats, rows: Floats) -> Floats:
        """Bound the error by 0, for the candidates hold the nearest, and they are computed anew.

        It is not known where the scores err by more than their bound, and where the k-th neighbour is a tie.
        """
        unsure = (error > self.error_of_scores(rows)[:, None]).any(axis=1) | self._are_ties(values, rows)
        bound = np.where(unsure, np.inf, 0.0)[:, None]
        return np.repeat(bound, self.width(values.shape[1]), axis=1)

    def _are_ties(self, values: Floats, rows: Floats) -> Array:
        """Whether the next row behind the k-th is as far from it as rounding can tell."""
        found = self._candidates(values, rows)
        last, after = found.first + self.count - 1, found.first + self.count
        has_next = after < found.end
        after = np.where(has_next, after, last)
        near, far = found.distances[last], found.distances[after]
        if self.metric == "euclidean":
            near, far = near**2, far**2
        size = np.square(rows).sum(axis=1) + np.square(self.points[found.points[last]]).sum(axis=1)
        return np.asarray(has_next & (far - near <= _TIE * far + _EXPANSION * size))

    def _candidates(self, values: Floats, rows: Floats) -> _Candidates:
        least = _kth_best(values, self.count) - 2 * self.error_of_scores(rows)
        row, point = np.nonzero(values >= least[:, None])
        distances = self._distances(rows, row, point)
        order = np.lexsort((point, distances, row))
        ends = np.searchsorted(row[order], np.arange(len(rows) + 1))
        return _Candidates(distances[order], point[order], ends[:-1], ends[1:])

    def _distances(self, rows: Floats, row: Array, point: Array) -> Floats:
        distances = np.empty(len(row))
        length = max(1, _DIFFERENCES // self.points.shape[1])
        for start in range(0, len(row), length):
            part = slice(start, start + length)
            own, others = rows[row[part]], self.points[point[part]]
            if self.metric == "cosine":
                distances[part] = np.clip(1.0 - np.einsum("ij,ij->i", own, others), 0.0, 2.0)
            else:
                own = own - others
                distances[part] = np.sqrt(np.einsum("ij,ij->i", own, own))
        return distances


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Pairs of a row and a point, sorted by row and distance; row i has those from first[i] to end[i]."""

    distances: Floats
    points: Array
    first: Array
    end: Array


def _kth_best(values: Floats, count: int) -> Floats:
    """Return a number that at least `count` values of each row reach, shape (n,).

    It is the count-th largest of the blocks' largest ones, close to the count-th largest of all.
    """
    n, columns = values.shape
    n_blocks = columns // _BLOCK
    if n_blocks >= 4 * count:
        blocks = values[:, : n_blocks * _BLOCK].reshape(n, n_blocks, _BLOCK).max(axis=2)
        values = np.hstack([blocks, values[:, n_blocks * _BLOCK :]])
        columns = values.shape[1]
    return np.asarray(np.partition(values, columns - count, axis=1)[:, columns - count])


@step("nearest_answers")
@dataclass(frozen=True, eq=False)
class NearestAnswers(NearestRows):
    """Give the mean of the neighbours' answers.

    Attributes
    ----------
    answers : numpy.ndarray of float64, shape (n_points, k)
        A regressor's targets; 1 in the column of a point's class, and 0 in the others.
    weights : {"uniform", "distance"}
        With ``"distance"`` by the inverse of the distances; those at distance 0 alone where there are some.
    """

    answers: Floats
    weights: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.answers.ndim != 2 or len(self.answers) != len(self.points) or not self.answers.size:
            raise ValueError(
                f"the step {self.kind!r} has answers of shape {self.answers.shape} for {len(self.points)} "
                "points"
            )
        if self.weights not in WEIGHTS:
            raise ValueError(f"the step {self.kind!r} has the weights {self.weights!r:.60}")

    @property
    def answer_columns(self) -> int:
        return int(self.answers.shape[1])

    def answers_of(self, distances: Floats, indices: Array) -> Floats:
        if self.weights == "uniform":
            return np.asarray(self.answers[indices].sum(axis=1) / self.count)
        same = distances == 0
        weights = np.where(same.any(axis=1, keepdims=True), same, 1.0 / np.where(same, 1.0, distances))
        total = weights.sum(axis=1, keepdims=True)
        return np.asarray((self.answers[indices] * weights[:, :, None]).sum(axis=1) / total)


@step("local_outlier_factor")
@dataclass(frozen=True, eq=False)
class LocalOutlierFactor(NearestRows):
    """Give the opposite of a row's local outlier factor (Breunig, Kriegel, Ng and Sander, LOF, 2000).

    Attributes
    ----------
    reaches : numpy.ndarray of float64, shape (n_points,)
        Each point's distance from its own k-th neighbour.
    densities : numpy.ndarray of float64, shape (n_points,)
        Each point's local reachability density.
    """

    reaches: Floats
    densities: Floats

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reaches.shape != self.densities.shape or self.reaches.shape != self.points.shape[:1]:
            raise ValueError(
                f"the step {self.kind!r} has {self.reaches.shape} reaches and {self.densities.shape} "
                f"densities for {len(self.points)} points"
            )

    def answers_of(self, distances: Floats, indices: Array) -> Floats:
        reach = np.maximum(distances, self.reaches[indices])
        # 1e-10 is scikit-learn's, for points of which there are more than k equal ones.
        density = 1.0 / (reach.mean(axis=1) + 1e-10)
        return np.asarray(-(self.densities[indices] / density[:, None]).mean(axis=1, keepdims=True))

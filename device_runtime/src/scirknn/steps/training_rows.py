"""The training rows near a row: what the steps of neighbours share.

The network ranks all training rows s by ``(x - c).(s - c) - (s - c).(s - c) / 2``, or for the cosine by
``x.s - x.c``. Its error for a row x is at most ``slope * |x - c| + constant``. So the k nearest are among
those whose score is within twice that of the k-th best, and those within a radius among those whose score is
within it of the score at that distance. Of these candidates the host computes the distances in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.steps.step import RowStep

METRICS = ("euclidean", "cosine")
WEIGHTS = ("uniform", "distance")

TIE = 1e-12
"""Squared distances whose relative difference is not larger are equal."""

_BLOCK = 32
"""Scores of which the largest stands for all while the k-th best is looked for."""

_DIFFERENCES = 1 << 22
"""Numbers in work at a time: 32 MiB."""

_EXPANSION = 2.0**-48
"""What scikit-learn's ``|x|^2 - 2 x.s + |s|^2`` may err by, as a share of ``|x|^2 + |s|^2``: 32 roundings."""


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pairs of a row and a training row, sorted by row, by distance and by training row.

    Attributes
    ----------
    rows, points : numpy.ndarray of int64, shape (n_pairs,)
    distances : numpy.ndarray of float64, shape (n_pairs,)
    n : int
        Rows, of which some may be in no pair.
    """

    rows: Array
    points: Array
    distances: Floats
    n: int

    @property
    def bounds(self) -> Array:
        """Where each row's pairs begin, and at last where they all end, shape (n + 1,)."""
        return np.asarray(np.searchsorted(self.rows, np.arange(self.n + 1)))

    def take(self, chosen: Array) -> Neighbours:
        """Return the pairs of a mask."""
        return Neighbours(self.rows[chosen], self.points[chosen], self.distances[chosen], self.n)


@dataclass(frozen=True, eq=False)
class TrainingRows(RowStep):
    """The searches, nearest and within a radius.

    Attributes
    ----------
    points : numpy.ndarray of float64, shape (n_points, inputs)
        The training rows; of unit length for the cosine.
    centre : numpy.ndarray of float64, shape (inputs,)
        Where the network's scores are centred: c.
    slope, constant : float
        Of the error of a score.
    metric : {"euclidean", "cosine"}
    searches : tuple of str
        Methods of a loaded model that find training rows by the step.
    """

    searches: ClassVar[tuple[str, ...]] = ()

    points: Floats
    centre: Floats
    slope: float
    constant: float
    metric: str

    def __post_init__(self) -> None:
        shape = self.points.shape
        if len(shape) != 2 or not shape[0] or self.centre.shape != shape[1:]:
            raise self.fault(f"has points of shape {shape} and a centre of {self.centre.shape}")
        self.require_choice("metric", METRICS)
        if not (self.slope >= 0 and self.constant >= 0):
            raise self.fault(f"has an error of {self.slope:g} and {self.constant:g}")

    @property
    def may_lack_neighbours(self) -> bool:
        """Whether a row without neighbours has no answer."""
        return False

    def width(self, columns: int) -> int:
        self.require_columns(len(self.points), columns)
        return self.answer_columns

    @property
    def inputs(self) -> int:
        return len(self.centre)

    @property
    def answer_columns(self) -> int:
        """How many values the step gives."""
        return 1

    def require_answers(self, answers: Floats) -> None:
        """Raise a ValueError for answers that are not those of the points."""
        if answers.ndim != 2 or len(answers) != len(self.points) or not answers.size:
            raise self.fault(f"has answers of shape {answers.shape} for {len(self.points)} points")

    def error_of_scores(self, rows: Floats) -> Floats:
        """Bound the error of the network's scores for each row, shape (n,)."""
        return np.asarray(self.slope * np.linalg.norm(rows - self.centre, axis=1) + self.constant)

    def nearest(self, values: Floats, rows: Floats, count: int) -> tuple[Floats, Array]:
        """Return distances and indices of the nearest points, shape (n, count), the nearest first.

        At equal distances the one of the lower index.
        """
        pairs = self.candidates(values, rows, count)
        at = pairs.bounds[:-1, None] + np.arange(count)
        return pairs.distances[at], pairs.points[at]

    def within(self, values: Floats, rows: Floats, radius: float) -> Neighbours:
        """Return the points that are not farther from a row than the radius."""
        pairs = self.candidates_within(values, rows, radius)
        return pairs.take(pairs.distances <= radius)

    def carry_to(self, values: Floats, error: Floats, rows: Floats) -> Floats:
        """Bound the error by 0, for the candidates hold the neighbours, and they are computed anew.

        It is not known where the scores err by more than their bound, and where a point is a neighbour by
        less than rounding.
        """
        unsure = (error > self.error_of_scores(rows)[:, None]).any(axis=1) | self.are_ties(values, rows)
        bound = np.where(unsure, np.inf, 0.0)[:, None]
        return np.repeat(bound, self.width(values.shape[1]), axis=1)

    def are_ties(self, values: Floats, rows: Floats) -> Array:
        """Whether rounding decides which points are a row's neighbours, shape (n,)."""
        raise NotImplementedError

    def candidates(self, values: Floats, rows: Floats, count: int) -> Neighbours:
        """Return the pairs among which the nearest are, by their distances in float64."""
        return self._pairs(values, rows, _kth_best(values, count) - 2 * self.error_of_scores(rows))

    def candidates_within(self, values: Floats, rows: Floats, radius: float) -> Neighbours:
        """Return the pairs among which those within a radius are."""
        radius = max(radius, 0.0)
        if self.metric == "cosine":
            score = 1.0 - radius - rows @ self.centre
            rounding = np.full(len(rows), 4 * _EXPANSION)
        else:
            length = np.square(rows - self.centre).sum(axis=1)
            score, rounding = (length - radius * radius) / 2, _EXPANSION * (length + radius * radius)
        return self._pairs(values, rows, score - self.error_of_scores(rows) - rounding)

    def squared(self, distances: Floats) -> Floats:
        """Return distances as they are compared: squared, but for cosines."""
        return distances**2 if self.metric == "euclidean" else distances

    def rounding_of(self, pairs: Neighbours, rows: Floats) -> Floats:
        """Return by how much the squared distance of a pair, or its cosine, may be rounded otherwise."""
        size = np.square(rows[pairs.rows]).sum(axis=1) + np.square(self.points[pairs.points]).sum(axis=1)
        return np.asarray(_EXPANSION * size)

    def _pairs(self, values: Floats, rows: Floats, least: Floats) -> Neighbours:
        row, point = np.nonzero(values >= least[:, None])
        distances = self.distances(rows, row, point)
        order = np.lexsort((point, distances, row))
        return Neighbours(row[order], point[order], distances[order], len(rows))

    def distances(self, rows: Floats, row: Array, point: Array) -> Floats:
        """Compute the distances of pairs of a row and a point, given by their indices."""
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

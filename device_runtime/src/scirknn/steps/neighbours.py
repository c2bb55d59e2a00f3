"""Steps that answer from the training rows nearest to a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.steps.step import step
from scirknn.steps.training_rows import TIE, WEIGHTS, TrainingRows


@dataclass(frozen=True, eq=False)
class NearestRows(TrainingRows):
    """What the steps of a number of neighbours share.

    Attributes
    ----------
    count : int
        Neighbours: k.
    """

    searches: ClassVar[tuple[str, ...]] = ("kneighbors",)

    count: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.count <= len(self.points):
            raise self.fault(f"has {self.count} neighbours of {len(self.points)} points")

    def answers_of(self, distances: Floats, indices: Array) -> Floats:
        """Return the values for neighbours, both arrays of shape (n, k), the nearest first."""
        raise NotImplementedError

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        return self.answers_of(*self.nearest(values, rows, self.count))

    def are_ties(self, values: Floats, rows: Floats) -> Array:
        """Whether the next row behind the k-th is as far from it as rounding can tell."""
        pairs = self.candidates(values, rows, self.count)
        last, after = pairs.bounds[:-1] + self.count - 1, pairs.bounds[:-1] + self.count
        has_next = after < pairs.bounds[1:]
        after = np.where(has_next, after, last)
        near, far = self.squared(pairs.distances[last]), self.squared(pairs.distances[after])
        return np.asarray(has_next & (far - near <= TIE * far + self.rounding_of(pairs, rows)[last]))


@step("nearest_distances")
class NearestDistances(NearestRows):
    """Give the distances of the nearest neighbours, the nearest first.

    Attributes
    ----------
    radius : float
        Of the search within a radius, where none is asked for.
    """

    searches = ("kneighbors", "radius_neighbors")

    radius: float

    @property
    def answer_columns(self) -> int:
        return self.count

    def answers_of(self, distances: Floats, indices: Array) -> Floats:
        return distances

    def are_ties(self, values: Floats, rows: Floats) -> Array:
        """Whether a tie changes a distance: never, for those at a tie are equal."""
        return np.zeros(len(rows), dtype=bool)


@step("nearest_answers")
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
        self.require_answers(self.answers)
        self.require_choice("weights", WEIGHTS)

    @property
    def answer_columns(self) -> int:
        return int(self.answers.shape[1])

    def are_ties(self, values: Floats, rows: Floats) -> Array:
        """Whether points of different answers are as far from a row as its k-th neighbour."""
        ties = super().are_ties(values, rows)
        pairs = self.candidates(values[ties], rows[ties], self.count)
        last = pairs.bounds[:-1] + self.count - 1
        far, answers = self.squared(pairs.distances), self.answers[pairs.points]
        limit, rounding = far[last][pairs.rows], self.rounding_of(pairs, rows[ties])
        others = (answers != answers[last][pairs.rows]).any(axis=1) & (
            np.abs(far - limit) <= TIE * limit + rounding
        )
        ties[ties] = np.bincount(pairs.rows, others, pairs.n) > 0
        return ties

    def answers_of(self, distances: Floats, indices: Array) -> Floats:
        if self.weights == "uniform":
            return np.asarray(self.answers[indices].sum(axis=1) / self.count)
        same = distances == 0
        weights = np.where(same.any(axis=1, keepdims=True), same, 1.0 / np.where(same, 1.0, distances))
        total = weights.sum(axis=1, keepdims=True)
        return np.asarray((self.answers[indices] * weights[:, :, None]).sum(axis=1) / total)


@step("local_outlier_factor")
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
            raise self.fault(
                f"has {self.reaches.shape} reaches and {self.densities.shape} "
                f"densities for {len(self.points)} points"
            )

    def answers_of(self, distances: Floats, indices: Array) -> Floats:
        reach = np.maximum(distances, self.reaches[indices])
        # 1e-10 is scikit-learn's, for points of which there are more than k equal ones.
        density = 1.0 / (reach.mean(axis=1) + 1e-10)
        return np.asarray(-(self.densities[indices] / density[:, None]).mean(axis=1, keepdims=True))

"""Steps that answer from the training rows within a radius of a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.steps.step import step
from scirknn.steps.training_rows import TIE, WEIGHTS, TrainingRows


@dataclass(frozen=True, eq=False)
class _RadiusAnswers(TrainingRows):
    """Give the mean of the neighbours' answers.

    Attributes
    ----------
    radius : float
    answers : numpy.ndarray of float64, shape (n_points, k)
        A regressor's targets; 1 in the column of a point's class, and 0 in the others.
    weights : {"uniform", "distance"}
        With ``"distance"`` by the inverse of the distances; those at distance 0 alone where there are some.
    """

    searches = ("radius_neighbors",)

    radius: float
    answers: Floats
    weights: str

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_answers(self.answers)
        self.require_choice("weights", WEIGHTS)

    @property
    def answer_columns(self) -> int:
        return int(self.answers.shape[1])

    @property
    def answer_of_none(self) -> Floats:
        """What a row without neighbours is given, shape (k,)."""
        raise NotImplementedError

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        pairs = self.within(values, rows, self.radius)
        weights = np.ones(len(pairs.rows))
        if self.weights == "distance":
            same = pairs.distances == 0
            has_same = np.bincount(pairs.rows, same, pairs.n) > 0
            weights = np.where(has_same[pairs.rows], same, 1.0 / np.where(same, 1.0, pairs.distances))
        total = np.bincount(pairs.rows, weights, pairs.n)[:, None]
        sums = [np.bincount(pairs.rows, weights * each[pairs.points], pairs.n) for each in self.answers.T]
        means = np.stack(sums, axis=1) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, means, self.answer_of_none)

    def are_ties(self, values: Floats, rows: Floats) -> Array:
        """Whether a point is so close to the radius that rounding decides."""
        pairs = self.candidates_within(values, rows, self.radius)
        distances, radius = pairs.distances, self.radius
        if self.metric == "euclidean":
            distances, radius = distances**2, radius**2
        close = np.abs(distances - radius) <= TIE * abs(radius) + self.rounding_of(pairs, rows)
        return np.asarray(np.bincount(pairs.rows, close, pairs.n) > 0)


@step("radius_votes")
class RadiusVotes(_RadiusAnswers):
    """Give the shares of the neighbours' votes for each class.

    Attributes
    ----------
    outlier : int
        The class of a row without neighbours; -1 where there is none, and all its shares are 0.
    """

    outlier: int

    def __post_init__(self) -> None:
        super().__post_init__()
        if not -1 <= self.outlier < self.answer_columns:
            raise self.fault(f"has the outliers' class {self.outlier} of {self.answer_columns}")

    @property
    def may_lack_neighbours(self) -> bool:
        return self.outlier < 0

    @property
    def answer_of_none(self) -> Floats:
        return np.asarray(np.arange(self.answer_columns) == self.outlier, dtype=np.float64)


@step("radius_means")
class RadiusMeans(_RadiusAnswers):
    """Give the mean of the neighbours' targets, NaN where a row has none.

    So scikit-learn does, but for targets of integers, where its NaN becomes the least integer.
    """

    @property
    def may_lack_neighbours(self) -> bool:
        return True

    @property
    def answer_of_none(self) -> Floats:
        return np.full(self.answer_columns, np.nan)

"""Steps that combine models which stand side by side: means, medians and votes.

Where models vote, the values are each model's scores of all classes, one model after the other; a model votes
for the class with the largest score, the first of equal ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.steps.step import Monotonic, Step, step


def _refuse_weights(kind: str, weights: tuple[float, ...]) -> None:
    if not weights or min(weights) < 0 or not sum(weights) > 0:
        raise ValueError(f"the step {kind!r} has {len(weights)} weights, or one below 0, or none above")


@step("weighted_mean")
class WeightedMean(Step):
    """Average over models, column by column: each has as many columns.

    The sum goes from the first model to the last, as in scikit-learn.

    Attributes
    ----------
    weights : tuple of float
        One for each model, not negative.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        _refuse_weights(self.kind, self.weights)

    def width(self, columns: int) -> int:
        if columns % len(self.weights) or not columns:
            raise self.fault(f"has {len(self.weights)} weights for {columns} columns")
        return columns // len(self.weights)

    def apply(self, values: Floats) -> Floats:
        stacked = values.reshape(len(values), len(self.weights), -1)
        total = np.zeros_like(stacked[:, 0])
        for place, weight in enumerate(self.weights):
            total += weight * stacked[:, place]
        return np.asarray(total / sum(self.weights))

    def carry(self, values: Floats, error: Floats) -> Floats:
        return self.apply(error)


@step("weighted_median")
class WeightedMedian(Monotonic):
    """Take the median over models, of one column each: the least value with half of the weight up to it.

    No value that rises makes it fall.

    Attributes
    ----------
    weights : tuple of float
        One for each model, not negative.
    """

    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        _refuse_weights(self.kind, self.weights)

    def width(self, columns: int) -> int:
        self.require_columns(len(self.weights), columns)
        return 1

    def apply(self, values: Floats) -> Floats:
        order = np.argsort(values, axis=1)
        reached = np.cumsum(np.array(self.weights)[order], axis=1)
        place = (reached >= 0.5 * reached[:, -1:]).argmax(axis=1)
        rows = np.arange(len(values))
        return np.asarray(values[rows, order[rows, place]][:, None])


@dataclass(frozen=True, eq=False)
class _Voting(Step):
    """A step of votes.

    Attributes
    ----------
    classes : int
        Columns of each model.
    weights : tuple of float
        One for each model, not negative.
    """

    classes: int
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        _refuse_weights(self.kind, self.weights)
        if self.classes < 1:
            raise self.fault(f"has {self.classes} classes")

    def width(self, columns: int) -> int:
        self.require_columns(self.classes * len(self.weights), columns)
        return self.classes

    def _scores(self, values: Floats) -> Floats:
        return values.reshape(len(values), len(self.weights), self.classes)

    def _votes(self, scores: Floats) -> Array:
        """Return who votes for what, bool of shape (n, models, classes)."""
        is_vote: Array = np.arange(self.classes) == scores.argmax(axis=2)[:, :, None]
        return is_vote

    def _may_change(self, values: Floats, error: Floats) -> Array:
        """Return which votes errors may change, bool of shape (n, models)."""
        scores, errors = self._scores(values), self._scores(error)
        is_vote = self._votes(scores)
        least = np.where(is_vote, scores - errors, -np.inf).max(axis=2)
        others = np.where(is_vote, -np.inf, scores + errors).max(axis=2)
        return np.asarray((others >= least) & (errors > 0).any(axis=2))


@step("votes")
class Votes(_Voting):
    """Elect a class by votes: the elected one's value is its distance from losing, all others are 0.

    All scores may move by the distance, and the same class is elected. So the largest value is the
    prediction, and errors of scores count by what they can change.
    """

    def apply(self, values: Floats) -> Floats:
        scores, weights = self._scores(values), np.array(self.weights)
        is_vote = self._votes(scores)
        votes = np.einsum("nmk,m->nk", is_vote, weights)
        elected = votes.argmax(axis=1)
        rows = np.arange(len(values))
        result = np.zeros(votes.shape)
        result[rows, elected] = np.maximum(self._distances(scores, is_vote, votes, elected), _LEAST)
        return result

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error: a distance changes by at most what the scores move by."""
        return np.repeat(error.max(axis=1, keepdims=True) + _LEAST, self.classes, axis=1)

    def _distances(self, scores: Floats, is_vote: Array, votes: Floats, elected: Array) -> Floats:
        """Return how far scores may move before another class can be elected, shape (n,).

        Moved by half of the lead of its first choice, a model may vote for any other class: from the least
        lead on, such models are taken to vote for the rival.
        """
        rows, places = np.arange(len(scores)), np.arange(self.classes)
        ranked = np.sort(scores, axis=2)
        second = ranked[:, :, -2] if self.classes > 1 else np.full(ranked.shape[:2], -np.inf)
        leads = (ranked[:, :, -1] - second) / 2.0
        order = np.argsort(leads, axis=1)
        # What a rival gains on the elected class by each model that changes its vote.
        gains = is_vote[rows, :, elected][:, :, None] + 1.0 - is_vote
        gains = np.take_along_axis(gains * np.array(self.weights)[:, None], order[:, :, None], axis=1)
        missing = (votes[rows, elected][:, None] - votes)[:, None, :] - np.cumsum(gains, axis=1)
        wins_ties = (places < elected[:, None])[:, None, :]
        is_lost = np.where(wins_ties, missing <= 0, missing < 0) & (places != elected[:, None])[:, None, :]
        is_lost = is_lost.any(axis=2)
        first = np.take_along_axis(leads, order, axis=1)[rows, is_lost.argmax(axis=1)]
        return np.where(is_lost.any(axis=1), first, 1.0)


@step("vote_shares")
class VoteShares(_Voting):
    """Return each class's share of the votes' weight."""

    def apply(self, values: Floats) -> Floats:
        is_vote = self._votes(self._scores(values))
        total = np.zeros((len(values), self.classes))
        for place, weight in enumerate(self.weights):
            total += weight * is_vote[:, place]
        return np.asarray(total / sum(self.weights))

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by the share of the votes that may change."""
        share = (self._may_change(values, error) @ np.array(self.weights)) / sum(self.weights)
        return np.repeat(share[:, None], self.classes, axis=1)


@step("vote_winners")
class VoteWinners(_Voting):
    """Return the number of the class that each model votes for, one column a model."""

    gives_integers = True

    def width(self, columns: int) -> int:
        super().width(columns)
        return len(self.weights)

    def apply(self, values: Floats) -> Floats:
        return np.asarray(self._scores(values).argmax(axis=2), dtype=np.float64)

    def carry(self, values: Floats, error: Floats) -> Floats:
        return self._may_change(values, error) * (self.classes - 1.0)


_LEAST = 2.0**-1000
"""The distance of a class that is elected at a tie: still more than the 0 of all others."""

"""One classifier for each pair of classes: votes, confidences and probabilities of libsvm.

The values are the pairs' decision values in the order (0, 1), (0, 2), ..., (1, 2), ...; a positive one is for
the pair's first class. For two classes there is one value, and a positive one is for the second class, as
scikit-learn has it.
"""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.steps.step import Step, step


class _Pairs(Step):
    """A step of as many classes as it has a field for."""

    classes: int

    def __post_init__(self) -> None:
        if not 2 <= self.classes <= 1 << 12:
            raise self.fault(f"has {self.classes} classes")

    def width(self, columns: int) -> int:
        self.require_columns(self.classes * (self.classes - 1) // 2, columns)
        return self.classes

    def _against(self, values: Floats) -> Floats:
        """Return the values as each class sees them, shape (n, classes, classes): positive is a win."""
        against = np.zeros((len(values), self.classes, self.classes))
        first, second = np.triu_indices(self.classes, 1)
        signed = -values if self.classes == 2 else values
        against[:, first, second], against[:, second, first] = signed, -signed
        return against

    def _sums(self, against: Floats, middle: float) -> Floats:
        """Return the sum of each class's values; a middle counts against the first class of each pair."""
        shifts = middle * (2.0 * np.arange(self.classes) - self.classes + 1.0)
        return np.asarray(against.sum(axis=2) + shifts)


@step("pair_votes")
class PairVotes(_Pairs):
    """Elect a class by votes: the elected one's value is its distance from losing, all others are 0.

    The distance is how far all decision values may move before another class is elected. So the largest value
    is libsvm's prediction, and errors of decision values count by what they can change.

    Attributes
    ----------
    classes : int
    by_confidence : bool
        Among classes of as many votes, elect the one with the largest sum of decision values instead of the
        first (scikit-learn's ``break_ties``).
    middle : float
        What was taken off each pair's score so that its sign decides; the sums are of the scores.
    """

    classes: int
    by_confidence: bool
    middle: float = 0.0

    def apply(self, values: Floats) -> Floats:
        against = self._against(values)
        # A value of 0 is the second class's, as in libsvm.
        wins = (against > 0) | ((against == 0) & np.tri(self.classes, k=-1, dtype=bool))
        votes, sums = wins.sum(axis=2), self._sums(against, self.middle)
        order = sums if self.by_confidence else np.broadcast_to(-np.arange(float(self.classes)), sums.shape)
        leads = votes == votes.max(axis=1, keepdims=True)
        elected = np.where(leads, order, -np.inf).argmax(axis=1)
        rows = np.arange(len(values))
        result = np.zeros(votes.shape)
        result[rows, elected] = self._distances(np.abs(against), wins, order, elected).min(axis=1)
        return result

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error: a distance changes by at most what the values move by."""
        return np.repeat(error.max(axis=1, keepdims=True), self.classes, axis=1)

    def _distances(self, sizes: Floats, wins: Array, order: Floats, elected: Array) -> Floats:
        """Return how far the values must move for each class to beat the elected one, shape (n, classes).

        A vote that it wins, and one that the elected class loses, costs the size of that value.
        """
        rows, places = np.arange(len(wins)), np.arange(self.classes)
        to_win = np.where(wins | (places == places[:, None]), np.inf, sizes)
        to_lose = np.where(wins[rows, elected], sizes[rows, elected], np.inf)[:, None]
        costs = np.concatenate([to_win, np.broadcast_to(to_lose, to_win.shape)], axis=2)
        costs = np.concatenate([np.zeros((*order.shape, 1)), np.sort(costs, axis=2)], axis=2)
        votes = wins.sum(axis=2)
        lead = (votes[rows, elected][:, None] - votes)[:, :, None]
        level, ahead = (np.take_along_axis(costs, lead + more, axis=2)[:, :, 0] for more in (0, 1))
        if self.by_confidence:
            gap = order[rows, elected][:, None] - order
            level = np.maximum(level, gap / (2 * (self.classes - 1)))
        else:
            level = np.where(places < elected[:, None], level, np.inf)
        return np.where(places == elected[:, None], np.inf, np.minimum(level, ahead))


@step("pair_confidences")
class PairConfidences(_Pairs):
    """Return votes, with sums of decision values between one vote and the next.

    It is ``sklearn.utils.multiclass._ovr_decision_function``.

    Attributes
    ----------
    classes : int
    middle : float
        As of `PairVotes`.
    """

    classes: int
    middle: float = 0.0

    def apply(self, values: Floats) -> Floats:
        against = self._against(values)
        # There a value of 0 is the first class's.
        upper = ~np.tri(self.classes, dtype=bool)
        votes = ((against > 0) | ((against == 0) & upper)).sum(axis=2)
        return np.asarray(votes + _between(self._sums(against, self.middle)))

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error: votes of values within their error may change, and sums by the sum of errors."""
        against, errors = self._against(values), np.abs(self._against(error))
        places = np.arange(self.classes)
        may_change = (np.abs(against) <= errors) & (places != places[:, None]) & (errors > 0)
        sums, moves = self._sums(against, self.middle), errors.sum(axis=2)
        here = _between(sums)
        between = np.maximum(_between(sums + moves) - here, here - _between(sums - moves))
        return np.asarray(may_change.sum(axis=2) + between)


@step("pair_chances")
class PairChances(_Pairs):
    """Make probabilities of decision values: Platt's logistic functions, coupled over the pairs.

    Wu, Lin and Weng, Probability estimates for multi-class classification by pairwise coupling, 2004, the
    second method, iterated as long as libsvm does.

    Attributes
    ----------
    classes : int
    slopes, offsets : tuple of float
        Of each pair: the first class's probability is ``1 / (1 + exp(slope * value + offset))``.
    """

    classes: int
    slopes: tuple[float, ...]
    offsets: tuple[float, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs = self.classes * (self.classes - 1) // 2
        if len(self.slopes) != pairs or len(self.offsets) != pairs:
            raise self.fault(f"has {len(self.slopes)} slopes for {pairs} pairs")

    def apply(self, values: Floats) -> Floats:
        signed = -values if self.classes == 2 else values
        exponents = signed * np.array(self.slopes) + np.array(self.offsets)
        first = np.exp(-np.logaddexp(0.0, exponents)).clip(_LEAST_CHANCE, 1.0 - _LEAST_CHANCE)
        return _couple(self.classes, first)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by 1: the iteration may stop a step earlier or later."""
        return np.repeat((error > 0).any(axis=1, keepdims=True) * 1.0, self.classes, axis=1)


_LEAST_CHANCE = 1e-7
_PRECISION = 0.005
_FEWEST_ROUNDS = 100
"""Constants of libsvm's ``svm_predict_probability`` and ``multiclass_probability``."""


def _between(sums: Floats) -> Floats:
    """Map sums onto -1/3 to 1/3, in their order."""
    sums = sums.clip(-1e300, 1e300)  # infinite ones reach the ends
    return np.asarray(sums / (3 * (np.abs(sums) + 1)))


def _couple(classes: int, first: Floats) -> Floats:
    """Return the classes' probabilities for pairs' probabilities of the first class, shape (n, pairs)."""
    chances = np.zeros((len(first), classes, classes))
    above, below = np.triu_indices(classes, 1)
    chances[:, above, below], chances[:, below, above] = first, 1.0 - first
    matrix = -np.transpose(chances, (0, 2, 1)) * chances
    places = np.arange(classes)
    matrix[:, places, places] = (chances**2).sum(axis=1)
    result = np.full((len(first), classes), 1.0 / classes)
    active = np.arange(len(first))
    for _ in range(max(_FEWEST_ROUNDS, classes)):
        q, p = matrix[active], result[active]
        products = np.einsum("nij,nj->ni", q, p)
        total = (p * products).sum(axis=1)
        is_open = np.abs(products - total[:, None]).max(axis=1) >= _PRECISION / classes
        if not is_open.any():
            break
        active = active[is_open]
        result[active] = _improve(q[is_open], p[is_open], products[is_open], total[is_open])
    return result


def _improve(q: Floats, p: Floats, products: Floats, total: Floats) -> Floats:
    """Return p after one round over the classes."""
    for place in range(p.shape[1]):
        change = (total - products[:, place]) / q[:, place, place]
        p[:, place] += change
        more = 1.0 + change
        total = (total + change * (change * q[:, place, place] + 2.0 * products[:, place])) / more**2
        products = (products + change[:, None] * q[:, place]) / more[:, None]
        p /= more[:, None]
    return p

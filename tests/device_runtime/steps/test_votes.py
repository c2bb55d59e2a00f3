"""Votes: who is elected, and how far scores may move before another is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scirknn.arrays import Array, Floats
from scirknn.steps.step import carry_steps
from scirknn.steps.votes import Votes, VoteShares, VoteWinners, WeightedMedian


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**16),
    classes=st.integers(2, 4),
    weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0]), min_size=1, max_size=5).filter(any),
    size=st.sampled_from([1e-3, 0.3, 2.0]),
)
def test_scores_that_move_by_less_than_the_distance_elect_the_same_class(
    seed: int, classes: int, weights: list[float], size: float
) -> None:
    random = np.random.default_rng(seed)
    step = Votes(classes, tuple(weights))
    scores = random.normal(size=(30, classes * len(weights)))
    scores[::3] = np.round(scores[::3])  # ties within a model
    result = step.apply(scores)
    votes = np.array([np.bincount(each, weights, classes) for each in _winners(scores, classes)])
    np.testing.assert_array_equal(result.argmax(axis=1), votes.argmax(axis=1))
    distance = result.max(axis=1, keepdims=True)
    distance = np.where(distance > 1e-300, distance, 0.0)  # elected at a tie
    near = scores + 0.999 * distance * random.choice([-1.0, 1.0], size=scores.shape)
    np.testing.assert_array_equal(step.apply(near).argmax(axis=1), result.argmax(axis=1))
    error = size * random.random(scores.shape)
    _, bound = carry_steps([step], scores, error)
    moved = step.apply(scores + error * random.uniform(-1, 1, size=error.shape))
    assert (np.abs(moved - result) <= bound * (1 + 1e-12)).all()
    for other in (VoteShares(classes, tuple(weights)), VoteWinners(classes, tuple(weights))):
        _, bound = carry_steps([other], scores, error)
        moved = other.apply(scores + error * random.uniform(-1, 1, size=error.shape))
        assert (np.abs(moved - other.apply(scores)) <= bound * (1 + 1e-12)).all()


def _winners(scores: Floats, classes: int) -> Array:
    winners: Array = scores.reshape(len(scores), -1, classes).argmax(axis=2)
    return winners


def test_a_tie_of_votes_elects_the_first_class() -> None:
    step = Votes(2, (1.0, 1.0))
    result = step.apply(np.array([[0.2, 0.8, 0.9, 0.1], [0.5, 0.5, 0.5, 0.5]]))
    assert result.argmax(axis=1).tolist() == [0, 0]
    assert result[0, 0] == pytest.approx(0.4)  # the second model may change its vote there
    assert result[1, 0] > 0


def test_one_class_is_always_elected() -> None:
    assert Votes(1, (1.0, 1.0)).apply(np.zeros((2, 2))).tolist() == [[1.0], [1.0]]


def test_a_median_of_weights_takes_the_value_at_half_of_them() -> None:
    step = WeightedMedian((1.0, 1.0, 5.0))
    assert step.apply(np.array([[1.0, 2.0, 9.0], [9.0, 2.0, 1.0]])).tolist() == [[9.0], [1.0]]

"""Pairs of classes: the elected class is libsvm's, and how far it is from losing is exact."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scirknn.arrays import Array, Floats
from scirknn.steps.pairs import PairChances, PairConfidences, PairVotes


def draw(classes: int, rows: int = 200) -> Floats:
    """Return decision values of which many are equal or 0."""
    pairs = classes * (classes - 1) // 2
    return np.random.default_rng(classes).integers(-3, 4, size=(rows, pairs)) / 2.0


def elect(values: Floats, classes: int, by_confidence: bool) -> Array:
    """Return the elected classes, a vote at a time."""
    elected = []
    for row in values:
        votes, sums = np.zeros(classes), np.zeros(classes)
        for value, (one, other) in zip(row, itertools.combinations(range(classes), 2), strict=True):
            votes[one if value > 0 else other] += 1
            sums[one] += value
            sums[other] -= value
        keys = [(votes[place], sums[place] if by_confidence else 0.0) for place in range(classes)]
        elected.append(keys.index(max(keys)))
    return np.array(elected)


@pytest.mark.parametrize("by_confidence", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 4, 6])
def test_the_largest_value_is_the_class_that_the_votes_elect(classes: int, by_confidence: bool) -> None:
    values = draw(classes)
    result = PairVotes(classes, by_confidence).apply(values)
    expected = elect(-values if classes == 2 else values, classes, by_confidence)
    at_a_tie = result.max(axis=1) == 0
    np.testing.assert_array_equal(result.argmax(axis=1)[~at_a_tie], expected[~at_a_tie])
    assert ((result > 0).sum(axis=1) <= 1).all()
    assert (~at_a_tie).sum() > 20


@pytest.mark.parametrize("by_confidence", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_a_distance_is_the_least_that_elects_another_class(classes: int, by_confidence: bool) -> None:
    values = draw(classes, 40) + np.random.default_rng(0).normal(size=(1, 1))
    elected, distances = elect(values, classes, by_confidence), PairVotes(classes, by_confidence)
    reach = distances.apply(-values if classes == 2 else values).max(axis=1, keepdims=True)
    corners = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=values.shape[1])))
    kept, lost = (
        [elect(values + factor * reach * corner, classes, by_confidence) == elected for corner in corners]
        for factor in (1 - 1e-9, 1 + 1e-9)
    )
    has_one = reach[:, 0] > 1e-6
    assert np.all(kept, axis=0)[has_one].all()
    assert not np.all(lost, axis=0)[has_one].any()


def test_confidences_order_classes_by_votes_and_then_by_their_values() -> None:
    result = PairConfidences(3).apply(np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [np.inf, 1.0, 1.0]]))
    assert result[0].argmax() == 0
    assert result[0, 0] == pytest.approx(1 + 1 / 6)
    np.testing.assert_array_equal(result[1], [2.0, 1.0, 0.0])
    assert result[2, 0] == pytest.approx(2 + 1 / 3)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_chances_are_those_of_the_pairs_where_the_pairs_agree(classes: int) -> None:
    chances = np.random.default_rng(classes).dirichlet(np.full(classes, 5.0), size=20)
    one, other = np.triu_indices(classes, 1)
    values = np.log(chances[:, one] / chances[:, other])
    step = PairChances(classes, (-1.0,) * len(one), (0.0,) * len(one))
    result = step.apply(-values if classes == 2 else values)
    np.testing.assert_allclose(result.sum(axis=1), 1.0, atol=1e-12)
    np.testing.assert_allclose(result, chances, atol=0.02)  # the iteration stops at errors of 0.005 / classes

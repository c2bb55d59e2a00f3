"""The data sets are fitted well, alike each time, and of every kind that the device suite counts on."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_harness.datasets import DATASETS, fitted
from rknn_harness.reference import reference


@pytest.mark.parametrize("name", DATASETS)
def test_the_network_fits_its_data(name: str) -> None:
    found = fitted(name)
    # Linnerud's 20 rows of body measures follow little from the exercises; no network does better by much.
    assert found.estimator.score(found.X, found.y) > (0.25 if name == "linnerud" else 0.8)
    np.testing.assert_allclose(found.X.mean(axis=0), 0, atol=1e-9)
    assert reference(found.estimator, found.X).answer.output.shape[0] == len(found.X)


@pytest.mark.parametrize("name", ["iris", "xor"])
def test_a_fit_is_repeated_to_the_bit(name: str) -> None:
    one, two = fitted.__wrapped__(name), fitted.__wrapped__(name)
    for first, second in zip(one.estimator.coefs_, two.estimator.coefs_, strict=True):
        np.testing.assert_array_equal(first, second)


def test_every_activation_and_task_is_there() -> None:
    truths = [reference(found.estimator, found.X[:2]) for found in map(fitted, DATASETS)]
    assert {truth.activation for truth in truths} == {"identity", "relu", "tanh", "logistic"}
    assert {truth.task for truth in truths} == {"classifier", "regressor"}
    assert {len(truth.answer.output[0]) for truth in truths} >= {1, 3, 10}

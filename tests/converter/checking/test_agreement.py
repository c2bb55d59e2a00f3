"""What the check runs, and how it judges, with faults planted in the outputs."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from sklearn2rknn import network_from_estimator
from sklearn2rknn.checking.agreement import agreement
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.rows.check_rows import ROW_LIMIT, choose_rows
from tests.converter.fitted import KINDS, fit


@pytest.mark.parametrize("kind", KINDS)
def test_reference_agrees_with_itself(kind: str) -> None:
    estimator, X = fit(kind)
    network = network_from_estimator(estimator)
    reference = network.forward(X)
    found = agreement(network, reference, reference)
    assert found.max_error == 0.0
    assert (found.labels, found.r2) == ((None, 1.0) if network.task == "regressor" else (1.0, None))


@pytest.mark.parametrize("kind", ["softmax", "binary", "multilabel"])
def test_one_wrong_row_is_counted(kind: str) -> None:
    estimator, X = fit(kind)
    network = network_from_estimator(estimator)
    reference = network.forward(X)
    outputs = reference.copy()
    # Another class, or the other side of the logistic function's 1/2.
    outputs[7] = -10.0 * np.sign(reference[7]) if network.head == "logistic" else np.roll(reference[7], 1)
    found = agreement(network, outputs, reference)
    assert found.labels == 1 - 1 / 40
    assert found.max_error == np.abs(outputs - reference).max()
    assert found.max_probability_error is not None
    assert 0 < found.max_probability_error <= 1


def test_worst_output_of_a_regressor_counts() -> None:
    estimator, X = fit("several outputs")
    network = network_from_estimator(estimator)
    reference = network.forward(X)
    outputs = reference.copy()
    outputs[:, 1] = reference[:, 1].mean()
    found = agreement(network, outputs, reference)
    assert found.r2 == pytest.approx(0.0, abs=1e-12)


def test_constant_regressor_has_no_r2() -> None:
    estimator, X = fit("one output")
    network = network_from_estimator(estimator)
    constant = np.full((len(X), 1), 3.0)
    assert agreement(network, constant, constant).r2 is None
    assert "r2" not in agreement(network, constant, constant).to_json()
    # Nor has one whose sums were rounded in two ways; one that varies by a millionth has.
    rounded = constant + np.arange(len(X))[:, None] % 2 * 4.4e-16
    assert agreement(network, constant, rounded).r2 is None
    varying = constant + np.arange(len(X))[:, None] * 1e-6
    assert agreement(network, varying, varying).r2 == 1.0


def _sized(n_hidden: int) -> Network:
    network = network_from_estimator(fit("one output")[0])
    layers = (
        Layer(np.zeros((3, n_hidden)), np.zeros(n_hidden), "relu"),
        Layer(np.zeros((n_hidden, 4000)), np.zeros(4000), "identity"),
    )
    return attrs.evolve(network, layers=layers)


def test_rows_are_spread_over_the_example_and_few_for_large_networks() -> None:
    network = network_from_estimator(fit("softmax")[0])
    rows = np.arange(3000.0).reshape(1000, 3)
    chosen = choose_rows(network, rows, 1)
    assert (len(chosen.rows), chosen.source) == (ROW_LIMIT, "example_input")
    assert (chosen.rows[0] == rows[0]).all()
    assert (chosen.rows[-1] == rows[-1]).all()
    assert len(choose_rows(network, rows[:5], 1).rows) == 5
    assert len(choose_rows(_sized(10_000), None, 1).rows) == 8
    assert len(choose_rows(_sized(10_000), None, 64).rows) == ROW_LIMIT


def test_random_rows_are_the_same_each_time() -> None:
    network = network_from_estimator(fit("softmax")[0])
    first, again = (choose_rows(network, None, 1) for _ in range(2))
    assert first.source == "random"
    assert np.array_equal(first.rows, again.rows)

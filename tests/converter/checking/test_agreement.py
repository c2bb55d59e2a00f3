"""What the check runs, and how it judges, with faults planted in the outputs."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from scirknn.steps.activations import Activation, activate
from scirknn.steps.linear import Scale
from sklearn2rknn import network_from_estimator
from sklearn2rknn.checking.agreement import agreement, expected_behind_steps
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.ranges import Ranges
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
    chances = (activate(network.head, each) for each in (outputs, reference))
    assert found.max_probability_error == np.abs(np.subtract(*chances)).max() > 0


def test_a_label_near_a_tie_is_left_out_of_the_share_that_counts() -> None:
    network = network_from_estimator(fit("softmax")[0])
    reference = np.tile([4.0, 0.0, 0.0], (40, 1))
    reference[3] = 1.0, 1.001, 0.0
    outputs = reference.copy()
    outputs[3] = 1.001, 1.0, 0.0
    found = agreement(network, outputs, reference)
    assert (found.labels, found.clear_labels) == (1 - 1 / 40, 1.0)
    outputs[4] = reference[4, ::-1]
    assert agreement(network, outputs, reference).clear_labels == 1 - 1 / 39


def test_errors_are_tried_on_more_rows_of_the_kind() -> None:
    network = network_from_estimator(fit("binary")[0])
    reference, alike = np.full((40, 1), 10.0), np.full((90, 1), 0.4)
    alone = agreement(network, reference + 0.5, reference)
    assert (alone.labels, alone.expected_labels, alone.probability_reach) == (1.0, 1.0, 0.5 / 4)
    # 0.4 less a half is another label, and 0.4 and a half is not.
    assert agreement(network, reference + 0.5, reference, alike=alike).expected_labels == 0.5


def test_each_error_counts_by_its_share_and_with_both_signs() -> None:
    network = network_from_estimator(fit("binary")[0])
    reference, alike = np.full((64, 1), 10.0), np.full((8, 1), 0.4)
    errors = np.repeat([0.5, 0.0], 32)[:, None]
    assert agreement(network, reference + errors, reference, alike=alike).expected_labels == 0.75
    assert expected_behind_steps(network, alike, errors, alike) == 0.75


def test_outputs_that_are_probabilities_are_labels_from_a_half_on() -> None:
    network = attrs.evolve(network_from_estimator(fit("multilabel")[0]), head="identity")
    reference = np.full((40, network.n_outputs), 0.5)
    reference[:, 1] = 0.55
    # 0.55 less 0.06 is another label, and 0.55 and 0.06 is not; the others are ties.
    assert agreement(network, reference + 0.06, reference).expected_labels == 0.5


def test_probabilities_that_come_from_other_values_than_labels_have_a_reach_of_their_own() -> None:
    network = network_from_estimator(fit("softmax")[0])
    responses = {"predict": (), "predict_proba": (Scale(np.zeros(3), np.full(3, 5.0)), Activation("softmax"))}
    reference = np.tile([4.0, 0.0, 0.0], (40, 1))
    alone, both = (
        agreement(each, reference + 0.01, reference).probability_reach
        for each in (network, attrs.evolve(network, responses=responses))
    )
    assert alone == pytest.approx(0.02 / 4)
    assert both == pytest.approx(0.1 / 4)


def test_rows_without_an_answer_are_left_out_where_both_have_none() -> None:
    estimator, X = fit("one output")
    network = network_from_estimator(estimator)
    reference = network.forward(X)
    none, other = reference.copy(), reference.copy()
    none[3], other[3] = np.nan, reference[3] + 1e3
    assert agreement(network, none, none).r2 == 1.0
    for one, two in ((none, reference), (reference, none), (other, reference)):
        r2 = agreement(network, one, two).r2
        assert r2 is not None
        assert r2 < 0.0


@pytest.mark.parametrize("kind", ["softmax", "binary", "multilabel"])
def test_probabilities_behind_the_head_are_decided_at_a_half(kind: str) -> None:
    estimator, X = fit(kind)
    network = network_from_estimator(estimator)
    reference = network.forward(X)
    chances = activate(network.head, reference)
    right = agreement(network, chances, reference, behind_head=True)
    assert (right.labels, right.max_error, right.expected_labels) == (1.0, 0.0, None)
    wrong = agreement(network, 1.0 - chances, reference, behind_head=True)
    assert wrong.max_error == np.abs((1.0 - chances) - chances).max()
    assert wrong.labels == 0.0


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


def test_rows_of_its_own_are_held_out_and_those_it_is_built_from_are_alike() -> None:
    network = network_from_estimator(fit("softmax")[0])
    own, rows = (np.random.default_rng(seed).normal(size=(600, 3)) for seed in range(2))
    chosen = choose_rows(network, rows, 1, own)
    assert (chosen.source, chosen.held_out, len(chosen.alike)) == ("held_out", ROW_LIMIT, 600 + ROW_LIMIT)
    assert {row.tobytes() for row in chosen.rows} <= {row.tobytes() for row in own}
    assert choose_rows(network, None, 1, own, "check_input").held_out == ROW_LIMIT
    assert choose_rows(network, rows, 1).held_out == choose_rows(network, None, 1).held_out == 0


def test_random_rows_end_where_a_wide_range_ends() -> None:
    network = network_from_estimator(fit("softmax")[0])
    ranges = Ranges(np.full(3, -0.5), np.full(3, 99.0), ("StandardScaler",) * 3)
    rows = choose_rows(attrs.evolve(network, input_ranges=ranges), None, 1).rows
    assert rows.min() == -0.5
    assert 2 < rows.max() < 6


def test_random_rows_are_the_same_each_time() -> None:
    network = network_from_estimator(fit("softmax")[0])
    first, again = (choose_rows(network, None, 1) for _ in range(2))
    assert first.source == "random"
    assert np.array_equal(first.rows, again.rows)

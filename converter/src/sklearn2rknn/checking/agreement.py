"""Compare what a built file computes with the network it was built from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from scirknn.answers import decision_values, final_values, gives_numbers, probabilities, responses_of
from scirknn.arrays import Floats
from scirknn.steps.activations import Activation, activate
from scirknn.steps.step import Step, apply_steps
from sklearn2rknn.checking.comparisons import are_clear, worst_r2
from sklearn2rknn.network.network import Network
from sklearn2rknn.rows.check_rows import take_evenly
from sklearn2rknn.tolerances import expected_labels, probability_reach

ERROR_LIMIT = 64
"""Errors that each row's label is tried with."""


@attrs.frozen
class Agreement:
    """How far outputs are from the reference.

    Attributes
    ----------
    max_error : float
        Largest absolute difference of an output before the head, in the estimator's own units; of a
        probability where the head is on the NPU.
    max_probability_error : float or None
        The same after the head of a classifier.
    probability_reach : float or None
        How far such errors move a probability at a decision (`tolerances.probability_reach`).
    clear_labels : float or None
        The same as `labels` among those away from ties; None where there is none.
    expected_labels : float or None
        The same where each row may meet each error (`tolerances.expected_labels`).
    labels : float or None
        Share of rows (of labels, for multilabel) that get the reference's label; None for a regressor.
    r2 : float or None
        R2 of a regressor's predictions against the reference's, the worst of its outputs; None where the
        reference does not vary.
    bound_share : float or None
        Largest error as a share of its own row's and output's derived bound.
    """

    max_error: float
    max_probability_error: float | None
    labels: float | None
    r2: float | None
    clear_labels: float | None = None
    expected_labels: float | None = None
    probability_reach: float | None = None
    bound_share: float | None = None

    def to_json(self) -> dict[str, float]:
        """Return what is known, as JSON takes it."""
        return {name: value for name, value in attrs.asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, document: Mapping[str, float]) -> Agreement:
        """Read what `to_json` returned."""
        values: dict[str, Any] = {field.name: document.get(field.name) for field in attrs.fields(cls)}
        return cls(**values)


def agreement(
    network: Network,
    outputs: npt.ArrayLike,
    reference: Floats,
    *,
    behind_head: bool = False,
    alike: Floats | None = None,
) -> Agreement:
    """Compare `outputs` with `reference`, both of shape (n, n_values) before the head.

    They are values: the outputs behind the epilogue, which are the same where a network has none. With
    `behind_head` the outputs are what the head gave, and errors are those of probabilities. `alike` is the
    reference of rows of the same kind, to which the errors are applied; by default these rows.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    if gives_numbers(network):
        outputs, reference = _where_answered(outputs, reference)
    expected = network.predict(reference)
    if behind_head:
        likely = _probabilities(network, reference)
        max_error = difference = float(np.abs(outputs - likely).max())
        # What is decided is the same, with a half in place of the 0 before a logistic function.
        got = network.predict(outputs - 0.5 * (network.head == "logistic"))
    else:
        max_error = float(np.abs(outputs - reference).max())
        got = network.predict(outputs)
        if gives_numbers(network):
            return Agreement(max_error, None, None, worst_r2(expected, got))
        difference = float(np.abs(chances(network, outputs) - chances(network, reference)).max())
    decisions = decision_values(network, reference)
    equal = got == expected
    clear = _are_clear(network, decisions).reshape(equal.shape)
    share = float(np.mean(equal[clear])) if clear.any() else None
    result = Agreement(max_error, difference, float(np.mean(equal)), None, share)
    if behind_head:
        return result
    alike = decisions if alike is None else decision_values(network, alike)
    decided = [
        (apply_steps(steps, reference), apply_steps(steps, outputs), head)
        for steps, head in steps_to_decisions(network)
    ]
    return attrs.evolve(
        result,
        expected_labels=_expected(network, alike, decision_values(network, outputs) - decisions),
        probability_reach=max(
            probability_reach(exact, each - exact, head=head) for exact, each, head in decided
        ),
    )


def steps_to_decisions(network: Network) -> tuple[tuple[tuple[Step, ...], str], ...]:
    """Return the steps to each of a classifier's decisions, with the output activation behind them.

    The first decides labels. The second is there where probabilities come from other values than labels do.
    """
    responses = responses_of(network)
    labels = (responses.get("predict", ()), network.head)
    match responses.get("predict_proba", ()):
        case (*steps, Activation(function=("softmax" | "logistic") as head)):
            return labels, (tuple(steps), head)
    return (labels,)


def chances(network: Network, values: Floats) -> Floats:
    """Return a classifier's probabilities, or what its decision is like."""
    if responses_of(network).get("predict_proba"):
        return probabilities(network, values)
    return _probabilities(network, decision_values(network, values))


def expected_behind_steps(network: Network, outputs: Floats, errors: Floats, rows: Floats) -> float | None:
    """Return `Agreement.expected_labels` where each row may meet each error of the outputs.

    These are raw outputs, shape (n, n_outputs), in front of an epilogue that stretches errors.
    """
    values = final_values(network, outputs, rows)
    labels, clear = network.predict(values), _are_clear(network, decision_values(network, values)).ravel()
    if not clear.any():
        return None
    taken = take_evenly(errors, ERROR_LIMIT)
    moved = (network.predict(final_values(network, outputs + error, rows)) for error in (*taken, *-taken))
    return float(np.mean([np.mean((each == labels)[clear]) for each in moved]))


def _where_answered(outputs: Floats, reference: Floats) -> tuple[Floats, Floats]:
    """Return the rows that have an answer: one without neighbours is NaN in both, as it should be."""
    has_none = (np.isnan(reference) & np.isnan(outputs)).all(axis=1)
    return (outputs, reference) if has_none.all() else (outputs[~has_none], reference[~has_none])


def _are_clear(network: Network, reference: Floats) -> npt.NDArray[np.bool_]:
    return are_clear(_probabilities(network, reference), one_of_them=_is_one_of_them(network))


def _is_one_of_them(network: Network) -> bool:
    """Whether a row is one of several classes, each with a value of its own."""
    return network.head == "softmax" or (network.head == "identity" and network.task != "multilabel")


def _expected(network: Network, alike: Floats, errors: Floats) -> float | None:
    clear = _are_clear(network, alike)
    rows = clear if clear.ndim == 1 else clear.any(axis=1)
    if not rows.any():
        return None
    return expected_labels(
        alike[rows],
        take_evenly(errors, ERROR_LIMIT),
        clear[rows],
        one_of_them=_is_one_of_them(network),
        threshold=0.5 if network.head == "identity" else 0.0,
    )


def _probabilities(network: Network, values: Floats) -> Floats:
    return np.asarray(activate(network.head, values))

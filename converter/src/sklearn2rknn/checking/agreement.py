"""Compare what a built file computes with the network it was built from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats
from sklearn2rknn.checking.comparisons import are_clear, worst_r2
from sklearn2rknn.network.network import Network
from sklearn2rknn.rows.check_rows import take_evenly
from sklearn2rknn.tolerances import expected_labels, probability_reach

__all__ = ["Agreement", "agreement"]

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
    """Compare `outputs` with `reference`, both before the head and of shape (n, n_outputs).

    With `behind_head` the outputs are what the head gave, and errors are those of probabilities. `alike` is
    the reference of rows of the same kind, to which the errors are applied; by default these rows.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    if behind_head:
        probabilities, expected_outputs = outputs, _probabilities(network, reference)
        # What is decided is the same, with a half in place of the 0 before a logistic function.
        got = network.predict(outputs - 0.5 * (network.head == "logistic"))
    else:
        probabilities, expected_outputs = _probabilities(network, outputs), reference
        got = network.predict(outputs)
    max_error = float(np.abs(outputs - expected_outputs).max())
    expected = network.predict(reference)
    if network.task != "regressor":
        difference = np.abs(probabilities - _probabilities(network, reference)).max()
        equal = got == expected
        clear = _are_clear(network, reference).reshape(equal.shape)
        share = float(np.mean(equal[clear])) if clear.any() else None
        found = Agreement(max_error, float(difference), float(np.mean(equal)), None, share)
        if behind_head:
            return found
        errors = outputs - reference
        return attrs.evolve(
            found,
            expected_labels=_expected(network, reference if alike is None else alike, errors),
            probability_reach=probability_reach(reference, errors, one_of_them=network.head == "softmax"),
        )
    return Agreement(max_error, None, None, worst_r2(expected, got))


def _are_clear(network: Network, reference: Floats) -> npt.NDArray[np.bool_]:
    return are_clear(_probabilities(network, reference), one_of_them=network.head == "softmax")


def _expected(network: Network, alike: Floats, errors: Floats) -> float | None:
    clear = _are_clear(network, alike)
    rows = clear if clear.ndim == 1 else clear.any(axis=1)
    if not rows.any():
        return None
    return expected_labels(
        alike[rows],
        take_evenly(errors, ERROR_LIMIT),
        clear[rows],
        one_of_them=network.head == "softmax",
    )


def _probabilities(network: Network, outputs: Floats) -> Floats:
    if network.head == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * outputs)))  # the logistic function, without overflow

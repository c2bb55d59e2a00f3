"""Bounds of each method's answer, carried from the network's output, and whether answers keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from rknn_harness.verdicts.comparisons import ErrorLimit, beyond_limit, difference_of_kind, label_text
from rknn_harness.verdicts.head_bounds import HeadBound
from rknn_harness.verdicts.reference import Reference
from scirknn.answers import answer, final_values, responses_of
from scirknn.arrays import Array, Floats
from scirknn.steps.activations import activate
from scirknn.steps.step import carry_steps
from sklearn2rknn.checking.arithmetic import error_through

_ROUNDING = 1e-6
"""Of float32 and of sums in another order, as a share of the largest number."""

_LEAST_LOGARITHM = float(np.log(2.0**-53))
"""Of a probability that is the difference of 1 and another."""


def answers_to(reference: Reference, output: Array) -> Callable[[str], Array]:
    """Return what answers by a method's name as the runtime does, from the network's output."""
    network, rows = reference.network, reference.rows_in_front()
    assert network is not None
    values = final_values(network, np.asarray(output, np.float64), rows)
    return lambda method: answer(network, method, values, rows)


def method_errors(
    reference: Reference, bound: Floats, head_bound: HeadBound, answered: Callable[[str], Array]
) -> Iterator[str]:
    """Yield a sentence for each method that answers in another form or beyond the carried bound.

    Parameters
    ----------
    reference : Reference
        With `methods`.
    bound : numpy.ndarray, shape (n, n_outputs)
        Of the network's output.
    head_bound : HeadBound
        The same, carried through the output activation.
    answered : callable
        Returns the model's answer by a method.
    """
    for method, theirs in reference.methods.items():
        ours = answered(method)
        error = difference_of_kind(method, theirs, ours)
        if error is None and theirs.dtype.kind == "f":
            error = _numbers(method, theirs, ours, method_bound(method, reference, bound, head_bound))
        elif error is None:
            error = _labels(method, theirs, ours, head_bound.settled)
        if error is not None:
            yield error


def method_bound(method: str, reference: Reference, bound: Floats, head_bound: HeadBound) -> Floats:
    """Carry a bound on the output to the answer of a method that returns numbers.

    Returns
    -------
    numpy.ndarray, shape (n, columns)
        inf where nothing is known.
    """
    network = reference.network
    assert network is not None
    if method == "predict_proba" or (method == "predict" and reference.task == "regressor"):
        return head_bound.error
    rows, own = reference.rows_in_front(), responses_of(network)[method]
    values, error = carry_steps(network.epilogue, reference.answer.output, bound, rows)
    if own:
        return carry_steps(own, values, error, rows)[1]
    if method == "transform" and network.head != "identity":
        return error_through(lambda z: activate(network.head, z), values, error)
    if method != "predict_log_proba":
        return error
    if responses_of(network)["predict_proba"] or network.head == "identity":
        return _of_logarithm(reference, head_bound.error)
    # A softmax's logarithm moves by its own value's error and at most the largest; a sigmoid's by its own.
    if network.head == "softmax":
        return np.asarray(error + error.max(axis=1, keepdims=True))
    return error


def _of_logarithm(reference: Reference, error: Floats) -> Floats:
    chances = reference.answer.probabilities
    assert chances is not None
    with np.errstate(all="ignore"):
        # The logarithm is steepest below.
        reach = -np.log1p(-error / chances)
    return np.where(error < chances, reach, np.inf)


def _numbers(method: str, theirs: Array, ours: Array, carried: Floats) -> str | None:
    carried = carried.reshape(len(carried), -1)
    if method == "predict_log_proba":
        # scikit-learn's is the logarithm of a probability that is rounded, or 0: ours need not be.
        theirs, ours = np.maximum(theirs, _LEAST_LOGARITHM), np.maximum(ours, _LEAST_LOGARITHM)
        carried = carried + 2.0**-52 / np.exp(theirs)
    is_same = (theirs == ours) | (np.isnan(theirs) & np.isnan(ours))
    finite = np.abs(theirs[np.isfinite(theirs)])
    rounding = _ROUNDING * max(1.0, float(finite.max(initial=0.0)))
    limit = np.broadcast_to(carried, (len(theirs), theirs[:1].size))
    limit = np.where(is_same, np.inf, limit.reshape(theirs.shape) + rounding)
    with np.errstate(invalid="ignore"):
        return beyond_limit(f"answer of {method}", theirs, ours, ErrorLimit(limit, "derived, carried"))


def _labels(method: str, theirs: Array, ours: Array, settled: Array) -> str | None:
    wrong = settled & ~np.equal(theirs, ours).reshape(len(theirs), -1).all(axis=1)
    if not wrong.any():
        return None
    row = int(np.flatnonzero(wrong)[0])
    return (
        f"{method} answers row {row} with {label_text(ours[row])}, scikit-learn with "
        f"{label_text(theirs[row])}, which no error within the bound changes; {int(wrong.sum())} rows are so."
    )

"""Error bounds of a network's output, carried through the estimator's output activation.

The bounds before it are the converter's (`sklearn2rknn.checking.float_bounds`), with their derivation.
"""

from __future__ import annotations

import attrs
import numpy as np
from scipy.special import expit

from rknn_harness.verdicts.reference import Reference
from scirknn.answers import main_method, responses_of
from scirknn.arrays import Array, Floats
from scirknn.steps.activations import activate
from scirknn.steps.step import carry_steps
from sklearn2rknn.checking.arithmetic import error_through
from sklearn2rknn.network.network import Network

_HEAD = 1e-6
"""Error of an output activation in float32, for a value of about 1."""

_PAIRS_AT_ONCE = 1 << 20


@attrs.frozen(eq=False)
class HeadBound:
    """What errors of the output come to behind the output activation.

    Attributes
    ----------
    error : numpy.ndarray of float64
        Bound on each probability, or on each of a regressor's predictions, in their shape. Output activations
        are monotone in every output, so the extremes lie at the corners; 1e-6 of the value is added for
        float32.
    settled : numpy.ndarray of bool, shape (n,)
        Rows whose labels no error within the bound can change, nor rounding to float32.
    """

    error: Floats
    settled: Array


def bound_through_head(reference: Reference, bound: Floats) -> HeadBound:
    """Carry a bound on the output, shape (n, n_outputs), through the output activation."""
    z, own = reference.answer.output, None
    if reference.network is not None:
        z, bound, own = _bound_through_epilogue(reference, reference.network, bound)
    if reference.task in ("regressor", "transformer"):
        if reference.head != "identity":
            with np.errstate(over="ignore", invalid="ignore"):
                # Without bound where exp overflows, in scikit-learn too.
                bound = error_through(lambda values: activate(reference.head, values), z, bound)
                bound = np.nan_to_num(bound, nan=np.inf, posinf=np.inf)
        predictions = reference.answer.predictions
        error = bound.reshape(predictions.shape) + _HEAD * np.abs(predictions)
        return HeadBound(error, np.ones(len(z), bool))
    if reference.head != "logistic" and reference.task != "multilabel":
        order = np.argsort(z, axis=1)
        first, others = order[:, -1], order[:, :-1]
        rows = np.arange(len(z))
        gap = z[rows, first][:, None] - np.take_along_axis(z, others, 1)
        reach = bound[rows, first][:, None] + np.take_along_axis(bound, others, 1)
        chance = activate(reference.head, z)
        apart = chance[rows, first][:, None] - np.take_along_axis(chance, others, 1) > 2 * _HEAD
        error = _softmax_bound(z, bound) if reference.head == "softmax" else bound
        return HeadBound(_or_own(own, error) + _HEAD, ((gap > reach) & apart).all(axis=1))
    if reference.head == "logistic":
        middle, error = 0.0, error_through(expit, z, bound)
    else:
        middle, error = 0.5, bound
    far = np.abs(activate(reference.head, z) - 0.5) > _HEAD
    settled = np.asarray(((np.abs(z - middle) > bound) & far).all(axis=1))
    theirs = reference.answer.probabilities
    if theirs is not None and theirs.shape[1] == 2 * error.shape[1]:
        error = error.repeat(2, axis=1)
    return HeadBound(_or_own(own, error) + _HEAD, settled)


def _or_own(own: Floats | None, error: Floats) -> Floats:
    return error if own is None else own


def _bound_through_epilogue(
    reference: Reference, network: Network, bound: Floats
) -> tuple[Floats, Floats, Floats | None]:
    """Return the values that decide, their bound, and that of probabilities with steps of their own."""
    rows = reference.rows_in_front()
    values, error = carry_steps(network.epilogue, reference.answer.output, bound, rows)
    responses = responses_of(network)
    main = responses.get(main_method(network), ())
    steps = responses.get("predict_proba", ())
    own = carry_steps(steps, values, error)[1] if steps else None
    return *carry_steps(main, values, error), own


def _softmax_bound(z: Floats, bound: Floats) -> Floats:
    # p_i is greatest when z_i is greatest and every other least: p_i = 1 / sum_j exp(z_j - z_i), where a term
    # of its own stays 1 whatever the error.
    error = np.empty_like(z)
    columns = np.arange(z.shape[1])
    for block in np.array_split(columns, 1 + z.size * len(columns) // _PAIRS_AT_ONCE):
        gap = z[:, None, :] - z[:, block, None]
        reach = np.nan_to_num(bound[:, None, :] + bound[:, block, None], posinf=1e3)
        reach[:, block[:, None] == columns] = 0.0
        with np.errstate(over="ignore"):
            here, low, high = (1 / np.exp(power).sum(axis=2) for power in (gap, gap + reach, gap - reach))
        error[:, block] = np.maximum(here - low, high - here)
    return error

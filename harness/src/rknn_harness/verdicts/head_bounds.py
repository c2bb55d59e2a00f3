"""Error bounds of a network's output, carried through the estimator's head.

The bounds before the head are the converter's (`sklearn2rknn.checking.float_bounds`), with their derivation.
Here the layers are those of the graph that the toolkit was given, read back from ONNX, since a converter may
rescale, join or collapse those of the estimator; how far that graph in float32 may lie from the estimator is
a bound of its own, and is added.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit, softmax

from rknn_harness.verdicts.reference import Floats, Reference
from sklearn2rknn.checking.arithmetic import DOUBLE, FLOAT16, FLOAT32, Arithmetic
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.checking.integer_bounds import Steps, quantized_output_bound, tensor_count, tensor_steps

__all__ = [
    "DOUBLE",
    "FLOAT16",
    "FLOAT32",
    "Arithmetic",
    "Steps",
    "head_bounds",
    "output_bound",
    "quantized_output_bound",
    "tensor_count",
    "tensor_steps",
]

_HEAD = 1e-6
"""What a head in float32 errs by, of a value of about 1."""

_AT_ONCE = 1 << 20  # pairs of outputs that are in work at a time


def head_bounds(
    reference: Reference, bound: Floats
) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Carry a bound on the output through the estimator's head.

    Parameters
    ----------
    reference : Reference
    bound : numpy.ndarray of float64, shape (n, n_outputs)

    Returns
    -------
    error : numpy.ndarray of float64
        Bound on each probability, or on each of a regressor's predictions, in their shape. Heads are monotone
        in every output, so the extremes lie at the corners; 1e-6 of the value is added for a head in float32.
    settled : numpy.ndarray of bool, shape (n,)
        Rows whose labels no error within the bound can change, nor the rounding of a head in float32.
    """
    z = reference.answer.output
    if reference.task == "regressor":
        if reference.head == "exp":
            with np.errstate(over="ignore", invalid="ignore"):
                # Without bound where exp overflows, in scikit-learn too.
                bound = np.nan_to_num(np.exp(z + bound) - np.exp(z), nan=np.inf, posinf=np.inf)
        predictions = reference.answer.predictions
        error = bound.reshape(predictions.shape) + _HEAD * np.abs(predictions)
        return error, np.ones(len(z), bool)
    if reference.head == "softmax":
        order = np.argsort(z, axis=1)
        first, others = order[:, -1], order[:, :-1]
        rows = np.arange(len(z))
        gap = z[rows, first][:, None] - np.take_along_axis(z, others, 1)
        reach = bound[rows, first][:, None] + np.take_along_axis(bound, others, 1)
        chance = softmax(z, axis=1)
        apart = chance[rows, first][:, None] - np.take_along_axis(chance, others, 1) > 2 * _HEAD
        return _softmax_bound(z, bound) + _HEAD, ((gap > reach) & apart).all(axis=1)
    error = _spread(expit, z, bound) + _HEAD
    settled = ((np.abs(z) > bound) & (np.abs(expit(z) - 0.5) > _HEAD)).all(axis=1)
    return (error.repeat(2, axis=1) if reference.task == "classifier" else error), settled


def _softmax_bound(z: Floats, bound: Floats) -> Floats:
    # p_i is greatest when z_i is greatest and every other least: p_i = 1 / sum_j exp(z_j - z_i), where a term
    # of its own stays 1 whatever the error.
    error = np.empty_like(z)
    columns = np.arange(z.shape[1])
    for part in np.array_split(columns, 1 + z.size * len(columns) // _AT_ONCE):
        gap = z[:, None, :] - z[:, part, None]
        reach = np.nan_to_num(bound[:, None, :] + bound[:, part, None], posinf=1e3)
        reach[:, part[:, None] == columns] = 0.0
        with np.errstate(over="ignore"):
            here, low, high = (1 / np.exp(each).sum(axis=2) for each in (gap, gap + reach, gap - reach))
        error[:, part] = np.maximum(here - low, high - here)
    return error


def _spread(function: object, z: Floats, error: Floats) -> Floats:
    assert callable(function)
    here = function(z)
    spread: Floats = np.maximum(function(z + error) - here, here - function(z - error))
    return spread

"""Bounds on the error of a float16 file's outputs, derived row by row.

converter/ACCURACY.md, "The derivation of the bound", has the formulas and their sources.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from scirknn.arrays import Floats
from scirknn.bundle import Affine
from sklearn2rknn.checking.arithmetic import (
    FLOAT16,
    SUM_UNIT,
    Arithmetic,
    activate_with_error,
    host_input,
    host_output,
    largest_event,
    stored_error,
)
from sklearn2rknn.network.layer import Layer


@attrs.frozen
class NormBound:
    """A bound on the error of every output: ``slope * |x| + constant`` of an input row's length."""

    slope: float
    constant: float


def output_bound(
    layers: Sequence[Layer],
    X: Floats,
    arithmetic: Arithmetic | Sequence[Arithmetic],
    before: Affine | None = None,
    after: Affine | None = None,
    *,
    host: float = SUM_UNIT,
    stored_sums: Sequence[Sequence[Floats]] | None = None,
) -> Floats:
    """Bound the error of a network's output before its output activation.

    Parameters
    ----------
    layers : sequence of layers
    X : numpy.ndarray of float64, shape (n, n_features)
        The estimator's rows.
    arithmetic : Arithmetic or sequence of Arithmetic
        Of everything; or of the input and of each layer's result, where weights are stored as their input is.
    before, after : Affine or None
        The host's maps, and `host`, their unit roundoff.
    stored_sums : sequence of sequence of numpy.ndarray, shape (n, n_units), or None
        For each layer the magnitudes of the sums of a part of its products that are stored as float16 before
        its own sum is, in exact arithmetic. None: there are none.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)
        In the output's own units; inf where a number may leave the format.

    Notes
    -----
    A stored sum of exact value *p* errs, before it is stored, by what the layer's own sum errs by at most,
    since all terms of that are sums over products of sizes: *D*, with what earlier stored sums added. Float16
    pairs are summed channel by channel, three for a value, which takes it up to four times. Storing it adds
    half a step of float16 to the error of the layer's sum: ``u |p + d| + t`` for ``|d| <= 4 D`` (Higham,
    Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.1), which what float32 adds behind it
    rounds as it does all that it sums. Each part may have an event of its own.
    """
    formats = [arithmetic] * (len(layers) + 1) if isinstance(arithmetic, Arithmetic) else list(arithmetic)
    value, error = host_input(X, before, host)
    error = stored_error(value, error, formats[0])
    inside = (np.abs(value) + error <= formats[0].largest).all(axis=1)
    sums = stored_sums or [()] * len(layers)
    for layer, parts, source, target in zip(layers, sums, formats, formats[1:], strict=False):
        weights, bias = np.abs(layer.weights), np.abs(layer.bias)
        delta = source.unit * weights + source.tiny
        size = np.abs(value) + error
        count = (source.products * len(weights) + 2) * source.sum
        rounding = count / (1 - count)
        total = error @ weights + size @ (delta + rounding * (weights + delta))
        total += (rounding + source.unit) * bias + source.tiny
        if source.has_events:
            total += source.products * (1 + len(parts)) * largest_event(size, weights + delta)
        for part in parts:
            reach = part + (source.products + 1) * total
            inside &= (reach <= FLOAT16.largest).all(axis=1)
            total += (FLOAT16.unit * reach + FLOAT16.tiny) * (1 + rounding)
        z = value @ layer.weights + layer.bias
        total += target.unit * (np.abs(z) + total) + target.tiny
        value, error = activate_with_error(layer.activation, z, total, target)
        if layer.activation != "identity":
            # Identity was stored just now: rounding twice to one format is rounding once.
            error = stored_error(value, error, target)
        inside &= (np.abs(value) + error <= target.largest).all(axis=1)
    error = host_output(value, error, after, host)
    error[~inside] = np.inf
    return error


def dense_bound(weights: Floats, bias: Floats, arithmetic: Arithmetic, *, stored_sums: int = 0) -> NormBound:
    """Bound the error of one dense layer for any input row.

    It is `output_bound`, which is linear in the sizes of the inputs once ``|z|`` is bounded by the sum of the
    products' sizes; and such a sum is at most the length of the row times that of its factors. An event on
    lane 0 takes at most ``(x 2^15 + 1) (w 2^15 + 1) 2^-44`` (`largest_event`): four times a number's coarse
    exponent is at most its biased one. Each of `stored_sums` is at most the sum of the sizes of all products
    and of the bias: more is not known of them.
    """
    unit, tiny = arithmetic.unit, arithmetic.tiny
    weights, bias = np.abs(weights), np.abs(bias)
    count = (arithmetic.products * len(weights) + 2) * arithmetic.sum
    rounding = count / (1 - count)
    delta = unit * weights + tiny
    each = delta + rounding * (weights + delta)  # of an input's size, which is itself stored
    factors = unit * weights + (1 + unit) * each
    constant = tiny * (weights + each).sum(axis=0) + rounding * bias + unit * bias + tiny
    for _ in range(stored_sums):
        factors = factors + unit * (weights + 2 * factors) * (1 + rounding)
        constant = constant + (unit * (bias + 2 * constant) + tiny) * (1 + rounding)
    factors, constant = factors * (1 + unit) + unit * weights, constant * (1 + unit) + unit * bias + tiny
    slope = np.linalg.norm(factors, axis=0)
    if arithmetic.has_events:
        event = arithmetic.products * (np.ldexp((weights + delta).max(axis=0), 15) + 1.0)
        event = event * (1 + stored_sums) * (1 + 3 * unit) ** stored_sums
        slope += np.ldexp(event, 15 - 44) * (1 + unit) ** 2
        constant += np.ldexp(event * (np.ldexp(tiny, 15) + 1.0), -44) * (1 + unit)
    return NormBound(float(slope.max()), float(constant.max()))

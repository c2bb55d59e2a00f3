r"""How far a right answer may lie from scikit-learn's: error bounds derived from the arithmetic, per row.

Float16
-------
A layer computes :math:`a' = f(W^T a + b)`. On the NPU inputs, weights and results are float16, sums are
float32 and a bias is at best float32. Let *u* be float16's unit roundoff, :math:`2^{-11}` (half the distance
from 1 to the next number), and *t* half its smallest subnormal, :math:`2^{-25}`: storing *v* errs by at most
:math:`u|v| + t`. Let :math:`e` bound the error of each entry of *a* in one row. Then, entry by entry,

* stored weights: :math:`|\hat W - W| \le \delta = u|W| + t`;
* products: :math:`\hat W\hat a - W a = W(\hat a - a) + (\hat W - W)\hat a`, at most
  :math:`|W|^T e + \delta^T(|a| + e)`;
* the sum of *k* products and a bias in float32, in any order: at most
  :math:`\gamma_{k+2} (\,(|W| + \delta)^T (|a| + e) + |b|\,)` with :math:`\gamma_k = kv/(1 - kv)`, :math:`v =
  2^{-24}` (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1);
* a bias stored as float16, and a sum stored as float16 before its activation, as the vendor's simulator may
  do: :math:`u|b| + t` and :math:`u|z| + t`.

Their sum is *D*, the error of :math:`z = W^T a + b`. Every activation rises or stays, so its error is at most
:math:`\max(f(z + D) - f(z), f(z) - f(z - D))`, exactly; a saturated unit or a relu that is surely off adds
none. The NPU takes tanh and logistic from a table of 2 x 513 entries which ends at :math:`|z|` = 3.02 and
6.31, and holds the end value beyond: 1e-3 inside (measured below 5e-4, and 7.2e-4 for the form
:math:`2t/(1+t^2)`), 5e-3 and 2e-3 outside (measured 4.9e-3 and 2.0e-3). Storing the result adds :math:`u|a'|
+ t`. That is the next layer's *e*.

The bound is a worst case: every rounding against us at once. Real errors are some ten times smaller.

The layers are those of the graph that the toolkit was given, since a converter may rescale, join or collapse
those of the estimator; how far that graph in float32 may lie from the estimator is a bound of its own, and is
added.

Float32 is the same with :math:`u = v = 2^{-24}`, and 1e-6 for tanh and logistic in place of the tables'
errors.

Int8
----
Each tensor has a step *s* and a range of 256 steps, read from the ``.rknn``. Storing *v* errs by *s*/2 and by
what lies outside the range. A weight errs by half of its channel's step, which is at most the channel's
largest magnitude over 127; a bias by half of :math:`s_{in} s_w`; the 16-bit multiplier that rescales the sum
by :math:`2^{-14}` of it, and a table by one more step. The rest is as above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from scipy.special import expit

from rknn_harness.reference import ACTIVATIONS, Floats, Layer, Reference
from scirknn.bundle import Affine

__all__ = [
    "FLOAT16",
    "FLOAT32",
    "Arithmetic",
    "Steps",
    "head_bounds",
    "output_bound",
    "quantized_output_bound",
]

_SUM = 2.0**-24  # unit roundoff of the float32 sums

Errors = Mapping[str, tuple[float, float, float]]
_TABLES: Errors = {"tanh": (3.02, 1e-3, 5e-3), "logistic": (6.31, 1e-3, 2e-3)}
# onnxruntime's tanh and logistic are rational functions, good to some units of float32.
_FUNCTIONS: Errors = {"tanh": (np.inf, 1e-6, 1e-6), "logistic": (np.inf, 1e-6, 1e-6)}


@attrs.frozen
class Arithmetic:
    """A floating-point format that a network is stored in.

    Attributes
    ----------
    unit : float
        Unit roundoff.
    tiny : float
        Half the smallest subnormal.
    largest : float
        Largest finite number; an entry that may pass it has no bound (inf).
    functions : mapping of str to (float, float, float)
        How tanh and logistic err: the end of the range that is computed well, the error in it and beyond.
    """

    unit: float
    tiny: float
    largest: float
    functions: Errors


# Numbers go from float64 through float32 into float16, so a second, smaller rounding is added to the unit.
FLOAT16 = Arithmetic(2.0**-11 * (1 + 2.0**-10), 2.0**-25, 65504.0, _TABLES)
FLOAT32 = Arithmetic(2.0**-24, 2.0**-150, float(np.finfo(np.float32).max), _FUNCTIONS)


@attrs.frozen
class Steps:
    """An int8 tensor's quantization: ``real = (stored - zero_point) * step``."""

    step: float
    zero_point: int

    @property
    def low(self) -> float:
        """The least number the tensor can hold."""
        return (-128 - self.zero_point) * self.step

    @property
    def high(self) -> float:
        """The greatest number the tensor can hold."""
        return (127 - self.zero_point) * self.step


def output_bound(
    layers: Sequence[Layer],
    X: Floats,
    arithmetic: Arithmetic,
    before: Affine | None = None,
    after: Affine | None = None,
) -> Floats:
    """Bound the error of a network's output before its head.

    Parameters
    ----------
    layers : sequence of Layer
        Those that the NPU is left with.
    X : numpy.ndarray of float64, shape (n, n_features)
        The estimator's rows.
    arithmetic : Arithmetic
    before, after : Affine or None
        What the bundle leaves to the host.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)
        In the output's own units; inf where a number may leave the format. The derivation is in the module's
        docstring.
    """
    unit, tiny = arithmetic.unit, arithmetic.tiny
    value, error = _host_input(X, before)
    error = error + unit * (np.abs(value) + error) + tiny
    inside = (np.abs(value) + error <= arithmetic.largest).all(axis=1)
    for layer in layers:
        weights, bias = np.abs(layer.weights), np.abs(layer.bias)
        delta = unit * weights + tiny
        size = np.abs(value) + error
        count = (len(weights) + 2) * _SUM
        total = error @ weights + size @ delta
        total += count / (1 - count) * (size @ (weights + delta) + bias) + unit * bias + tiny
        z = value @ layer.weights + layer.bias
        total += unit * (np.abs(z) + total) + tiny
        value, error = _activate(layer.activation, z, total, arithmetic.functions)
        if layer.activation != "identity":
            # Identity was stored just now: rounding twice to one format is rounding once.
            error = error + unit * (np.abs(value) + error) + tiny
        inside &= (np.abs(value) + error <= arithmetic.largest).all(axis=1)
    error = _host_output(value, error, after)
    error[~inside] = np.inf
    return error


def quantized_output_bound(
    layers: Sequence[Layer],
    X: Floats,
    tensors: Sequence[Steps],
    before: Affine | None = None,
    after: Affine | None = None,
) -> Floats:
    """Bound the error of an int8 network's output before its head.

    Parameters
    ----------
    layers, X, before, after
        As for `output_bound`.
    tensors : sequence of Steps
        Of the input and of each layer's result, ``len(layers) + 1`` of them.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)

    Raises
    ------
    ValueError
        The number of tensors does not fit the layers.
    """
    if len(tensors) != len(layers) + 1:
        raise ValueError(f"{len(layers)} layers have {len(layers) + 1} tensors, not {len(tensors)}.")
    value, error = _host_input(X, before)
    error = _quantize(value, error, tensors[0], 0.5)
    for layer, source, target in zip(layers, tensors, tensors[1:], strict=False):
        weights = np.abs(layer.weights)
        step = weights.max(axis=0) / 127 * 1.001
        size = np.abs(value) + error
        total = error @ weights + size.sum(axis=1, keepdims=True) * (step / 2) + source.step * step / 2
        z = value @ layer.weights + layer.bias
        total += 2.0**-14 * (size @ (weights + step / 2) + np.abs(layer.bias))
        value, error = _activate(layer.activation, z, total, _TABLES)
        error = _quantize(value, error, target, 1.5 if layer.activation in _TABLES else 0.5)
    return _host_output(value, error, after)


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
        Rows whose labels no error within the bound can change.
    """
    z = reference.answer.output
    if reference.task == "regressor":
        if reference.head == "exp":
            with np.errstate(over="ignore"):
                bound = np.exp(z + bound) - np.exp(z)
        predictions = reference.answer.predictions
        error = bound.reshape(predictions.shape) + 1e-6 * np.abs(predictions)
        return error, np.ones(len(z), bool)
    if reference.head == "softmax":
        order = np.argsort(z, axis=1)
        first, others = order[:, -1], order[:, :-1]
        rows = np.arange(len(z))
        gap = z[rows, first][:, None] - np.take_along_axis(z, others, 1)
        reach = bound[rows, first][:, None] + np.take_along_axis(bound, others, 1)
        return _softmax_bound(z, bound) + 1e-6, (gap > reach).all(axis=1)
    error = _spread(expit, z, bound) + 1e-6
    settled = (np.abs(z) > bound).all(axis=1)
    return (error.repeat(2, axis=1) if reference.task == "classifier" else error), settled


def _softmax_bound(z: Floats, bound: Floats) -> Floats:
    # p_i is greatest when z_i is greatest and every other least: p_i = 1 / (1 + sum_j exp(z_j - z_i)).
    error = np.empty_like(z)
    for column in range(z.shape[1]):
        others = np.delete(np.arange(z.shape[1]), column)
        gap = z[:, others] - z[:, [column]]
        reach = np.nan_to_num(bound[:, others] + bound[:, [column]], posinf=1e3)
        with np.errstate(over="ignore"):
            here, low, high = (1 / (1 + np.exp(g).sum(axis=1)) for g in (gap, gap + reach, gap - reach))
        error[:, column] = np.maximum(here - low, high - here)
    return error


def _activate(activation: str, z: Floats, error: Floats, functions: Errors) -> tuple[Floats, Floats]:
    function = ACTIVATIONS[activation]
    spread = error if activation == "identity" else _spread(function, z, error)
    if activation in functions:
        end, inside, outside = functions[activation]
        spread = spread + np.where(np.abs(z) + error <= end, inside, outside)
    return function(z), spread


def _spread(function: object, z: Floats, error: Floats) -> Floats:
    assert callable(function)
    here = function(z)
    spread: Floats = np.maximum(function(z + error) - here, here - function(z - error))
    return spread


def _quantize(value: Floats, error: Floats, steps: Steps, rounding: float) -> Floats:
    # Cutting off at the range's end brings a number nearer to one inside it, and leaves one outside at the
    # end.
    beyond = np.maximum(value - steps.high, steps.low - value)
    return np.maximum(error, beyond) + rounding * steps.step


def _host_input(X: Floats, before: Affine | None) -> tuple[Floats, Floats]:
    if before is None:
        return X, _SUM * np.abs(X)
    value = (X - before.offset) * before.scale
    return value, 3 * _SUM * (np.abs(X) + np.abs(before.offset)) * np.abs(before.scale)


def _host_output(value: Floats, error: Floats, after: Affine | None) -> Floats:
    if after is None:
        return error + 2 * _SUM * np.abs(value)
    size = np.abs(value) + error + np.abs(after.offset)
    return (error + 3 * _SUM * size) * np.abs(after.scale)

r"""How far a built file's outputs may lie from scikit-learn's: bounds derived from the arithmetic, per row.

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
6.31, and holds the end value beyond: 1e-3 inside (measured below 5e-4), 5e-3 and 2e-3 outside (measured
4.9e-3 and 2.0e-3). Storing the result adds :math:`u|a'| + t`. That is the next layer's *e*.

The refined form :math:`g(t) = t/(1 + t^2)` of :math:`t = \tanh z` rises for :math:`|t| \le 1`. So the table's
:math:`\hat t` within :math:`[t_-, t_+]` gives a result within :math:`[g(t_-), g(t_+)]`, where the table's end
adds next to nothing since :math:`g'(1) = 0`. Its stored square, sum and quotient add :math:`u/2`, *u* and *u*
of the result.

Two numbers for one
-------------------
With remainders (`float16_pairs`) a value is a high part and a low one, :math:`|l| \le (2^{-9} + 2^{-11})|v|`,
whose storing errs by :math:`u|l| + t \le 1.25 \cdot 2^{-20}|v| + t`; a weight is two such parts, and the low
part of a value meets the unsplit weight, which costs as much again. All of it is below :math:`2^{-19}` of the
products, so that is *u*, with :math:`3k` products for *k*.

Float32 and float64
-------------------
The same with :math:`u = v = 2^{-24}` or :math:`2^{-53}`, and 1e-6 or 1e-15 for tanh and logistic. The
estimator's own evaluation in the precision of its weights is bounded in this way, and so is what rescaling,
joining and collapsing its layers costs in float64; the bound of a file is the sum.

Int8 and int16
--------------
Each tensor has a step *s* and a range of 256 (65536) steps, read from the ``.rknn``. Storing *v* errs by
*s*/2 and by what lies outside the range. An int8 weight errs by half of its channel's step, which is at most
the channel's largest magnitude over 127; an int16 one by half of :math:`1/(2^f - 1)`, at most four times the
channel's largest magnitude over 32767. A bias errs by half of :math:`s_{in} s_w`. Where one of an int8 layer
passes 32 bits, :math:`2^{31} s_{in} s_w`, its biases and sums are cut by as many bits, and both err by half
of that unit; what is taken for it here leaves a factor of 2. A sum is multiplied by :math:`2^{-14}` times an
integer, the kernel's step as a share of the layer's largest, *S*: that errs by :math:`2^{-15} S/s_w` of the
sum, much where kernels differ in size. The output's multiplier of 15 bits errs by :math:`2^{-15}`, a table by
one more step. What is surely 0 is stored as 0. The rest is as above.

A half of tanh (`int16_tanh`) is two layers of the file, each with a tensor. Its sum is stored between 0 and a
power of two and looked up in a table that errs by half of its inputs' step, :math:`3.02 \cdot 2^{-14}`, and
half of its results', :math:`2^{-15}`: 1.1e-4. What halves lack of a tanh is taken from the networks
themselves, as what else was changed in them is.

The bounds are worst cases: every rounding against us at once. Real errors are some ten times smaller.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scirknn.bundle import Affine
from sklearn2rknn.checking.arithmetic import (
    SUM_UNIT,
    Arithmetic,
    LayerLike,
    activate_with_error,
    host_input,
    host_output,
    stored_error,
)
from sklearn2rknn.network.ranges import Floats

__all__ = ["output_bound"]


def output_bound(
    layers: Sequence[LayerLike],
    X: Floats,
    arithmetic: Arithmetic | Sequence[Arithmetic],
    before: Affine | None = None,
    after: Affine | None = None,
    *,
    host: float = SUM_UNIT,
) -> Floats:
    """Bound the error of a network's output before its head.

    Parameters
    ----------
    layers : sequence of layers
        Those that the NPU is left with.
    X : numpy.ndarray of float64, shape (n, n_features)
        The estimator's rows.
    arithmetic : Arithmetic or sequence of Arithmetic
        Of everything; or of the input and of each layer's result, where a layer's weights are stored as its
        input is.
    before, after : Affine or None
        What the bundle leaves to the host.
    host : float
        Unit roundoff of the host's maps.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)
        In the output's own units; inf where a number may leave the format. The derivation is in the module's
        docstring.
    """
    formats = [arithmetic] * (len(layers) + 1) if isinstance(arithmetic, Arithmetic) else list(arithmetic)
    value, error = host_input(X, before, host)
    error = stored_error(value, error, formats[0])
    inside = (np.abs(value) + error <= formats[0].largest).all(axis=1)
    for layer, source, target in zip(layers, formats, formats[1:], strict=False):
        weights, bias = np.abs(layer.weights), np.abs(layer.bias)
        delta = source.unit * weights + source.tiny
        size = np.abs(value) + error
        count = (source.products * len(weights) + 2) * source.sum
        total = error @ weights + size @ delta
        total += count / (1 - count) * (size @ (weights + delta) + bias) + source.unit * bias + source.tiny
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

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
With remainders (`remainders`) a value is a high part and a low one, :math:`|l| \le (2^{-9} + 2^{-11})|v|`,
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

A half of tanh (`halves`) is two layers of the file, each with a tensor. Its sum is stored between 0 and a
power of two and looked up in a table that errs by half of its inputs' step, :math:`3.02 \cdot 2^{-14}`, and
half of its results', :math:`2^{-15}`: 1.1e-4. What halves lack of a tanh is taken from the networks
themselves, as what else was changed in them is.

The bounds are worst cases: every rounding against us at once. Real errors are some ten times smaller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import attrs
import numpy as np
import numpy.typing as npt

from sklearn2rknn.halves import HALVES_ERROR
from sklearn2rknn.network import HALF, HALF_END, REFINED, Affine, Floats, Network, activate
from virtual_npu import RknnFile

__all__ = [
    "DOUBLE",
    "FLOAT16",
    "FLOAT32",
    "FLOAT64",
    "Arithmetic",
    "LayerLike",
    "Steps",
    "file_bound",
    "kernel_spans",
    "output_bound",
    "quantized_output_bound",
    "tensor_count",
    "tensor_steps",
]

_SUM = 2.0**-24  # unit roundoff of the float32 sums

Errors = Mapping[str, tuple[float, float, float]]
_TABLES: Errors = {
    "tanh": (3.02, 1e-3, 5e-3),
    "logistic": (6.31, 1e-3, 2e-3),
    HALF: (np.inf, 1.2e-4, 1.2e-4),
}
# onnxruntime's tanh and logistic are rational functions, good to some units of float32.
# Two halves and what they lack, whose factors are 2.009 in sum, stand for a tanh.
_FUNCTIONS: Errors = {
    "tanh": (np.inf, 1e-6, 1e-6),
    "logistic": (np.inf, 1e-6, 1e-6),
    HALF: (np.inf, 1e-6 + HALVES_ERROR / 2, 1e-6 + HALVES_ERROR / 2),
}
_EXACT: Errors = {"tanh": (np.inf, 1e-15, 1e-15), "logistic": (np.inf, 1e-15, 1e-15)}


class LayerLike(Protocol):
    """A dense layer of any package: weights of shape (n_in, n_out), bias, and the activation's name."""

    @property
    def weights(self) -> Floats: ...  # noqa: D102
    @property
    def bias(self) -> Floats: ...  # noqa: D102
    @property
    def activation(self) -> str: ...  # noqa: D102


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
    sum : float
        Unit roundoff of sums.
    products : int
        Products that stand for one.
    """

    unit: float
    tiny: float
    largest: float
    functions: Errors
    sum: float = _SUM
    products: int = 1


# Numbers go from float64 through float32 into float16, so a second, smaller rounding is added to the unit.
FLOAT16 = Arithmetic(2.0**-11 * (1 + 2.0**-10), 2.0**-25, 65504.0, _TABLES)
DOUBLE = Arithmetic(2.0**-19, 2.0**-24, 65504.0, _TABLES, products=3)
"""Two float16 numbers for each value."""
FLOAT32 = Arithmetic(2.0**-24, 2.0**-150, float(np.finfo(np.float32).max), _FUNCTIONS)
FLOAT64 = Arithmetic(2.0**-53, 0.0, float(np.finfo(np.float64).max), _EXACT, sum=2.0**-53)
FOLDED = attrs.evolve(FLOAT64, unit=2.0**-51, sum=2.0**-51)
"""A network whose numbers were folded from others in float64, with some roundings each."""


@attrs.frozen
class Steps:
    """An integer tensor's quantization: ``real = (stored - zero_point) * step``."""

    step: float
    zero_point: int
    bits: int = 8

    @property
    def low(self) -> float:
        """The least number the tensor can hold."""
        return -((1 << (self.bits - 1)) + self.zero_point) * self.step

    @property
    def high(self) -> float:
        """The greatest number the tensor can hold."""
        return ((1 << (self.bits - 1)) - 1 - self.zero_point) * self.step


def file_bound(
    source: Network,
    network: Network,
    X: npt.ArrayLike,
    file: RknnFile | None = None,
    *,
    per_channel: bool = True,
) -> Floats | None:
    """Bound the error of a built file's outputs, in the units of the estimator's.

    Parameters
    ----------
    source, network : Network
        The estimator's, and what the toolkit was given, both with or both without the host's parts.
    X : array-like, shape (n, n_features_in)
        Rows as `source` takes them.
    file : virtual_npu.RknnFile, optional
        The file of an integer precision, which holds its steps.
    per_channel : bool
        Whether weights have a step per output channel.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs), or None
        Before the head, against the estimator's own outputs; inf where a number may leave float16. None for
        an integer file whose tensors are not those of the layers.
    """
    own = FLOAT64 if source.dtype == "float64" else FLOAT32
    with np.errstate(over="ignore", invalid="ignore"):
        estimator = output_bound(
            source.layers, source.take(X), own, source.input, source.output, host=own.unit
        )
        rows = network.take(X)
        undivided = network.undivided or network
        made = output_bound(undivided.layers, rows, FOLDED, network.input, network.output, host=FOLDED.unit)
        if file is None:
            stored = output_bound(
                undivided.layers, rows, _formats(network), network.input, network.output, host=2.0**-52
            )
        else:
            steps = tensor_steps(file)
            if len(steps) != tensor_count(network.layers):
                return None
            stored = quantized_output_bound(
                network.layers,
                rows,
                steps,
                network.input,
                network.output,
                host=2.0**-52,
                per_channel=per_channel,
                idle=network.idle,
            )
        # What weights that round to 0 were left out for, and otherwise next to nothing.
        apart = np.abs(network.forward(X) - source.forward(X))
        total = estimator + apart + made + stored
    total[np.isnan(total)] = np.inf
    return total


def _formats(network: Network) -> list[Arithmetic]:
    """Return what the input and each layer's result are stored in, of the layers without remainders."""
    layers = (network.undivided or network).layers
    split = network.parts > 1
    formats = [DOUBLE if split else FLOAT16]
    for layer in layers:
        # Remainders are carried as far as relus lead.
        split = split and layer.activation in ("relu", "identity")
        formats.append(DOUBLE if split else FLOAT16)
    if network.output_parts == 1:
        formats[-1] = FLOAT16
    return formats


def output_bound(
    layers: Sequence[LayerLike],
    X: Floats,
    arithmetic: Arithmetic | Sequence[Arithmetic],
    before: Affine | None = None,
    after: Affine | None = None,
    *,
    host: float = _SUM,
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
    value, error = _host_input(X, before, host)
    error = _stored(value, error, formats[0])
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
        value, error = _activate(layer.activation, z, total, target)
        if layer.activation != "identity":
            # Identity was stored just now: rounding twice to one format is rounding once.
            error = _stored(value, error, target)
        inside &= (np.abs(value) + error <= target.largest).all(axis=1)
    error = _host_output(value, error, after, host)
    error[~inside] = np.inf
    return error


def quantized_output_bound(
    layers: Sequence[LayerLike],
    X: Floats,
    tensors: Sequence[Steps],
    before: Affine | None = None,
    after: Affine | None = None,
    *,
    host: float = _SUM,
    per_channel: bool = True,
    idle: Floats | None = None,
) -> Floats:
    """Bound the error of an int8 or int16 network's output before its head.

    Parameters
    ----------
    layers, X, before, after, host
        As for `output_bound`.
    tensors : sequence of Steps
        Of the input and of each layer's result, `tensor_count` of them; a half of tanh has its sum before.
    per_channel : bool
        Whether weights have a step per output channel.
    idle : numpy.ndarray or None
        The network's: the first layer's weights on an input that is always 0, which count for steps only.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)

    Raises
    ------
    ValueError
        The number of tensors does not fit the layers.
    """
    if len(tensors) != tensor_count(layers):
        raise ValueError(f"{len(layers)} layers have {tensor_count(layers)} tensors, not {len(tensors)}.")
    value, error = _host_input(X, before, host)
    following = iter(tensors)
    target = next(following)
    error = _quantize(value, error, target, 0.5)
    for i, layer in enumerate(layers):
        source, target = target, next(following)
        weights = np.abs(layer.weights)
        largest = weights.max(axis=0)
        if i == 0 and idle is not None:
            largest = np.maximum(largest, np.abs(idle))
        if not per_channel:
            largest = np.full(len(layer.bias), largest.max())
        step = largest * (1.001 / 127) if source.bits == 8 else 1.001 * _int16_steps(largest)
        exact = kernel_spans(layer) / 255 if source.bits == 8 else step
        coarser, unit = _scaling(layer, exact, source) if per_channel else (np.float64(1), 0.5)
        size = np.abs(value) + error
        total = error @ weights + size.sum(axis=1, keepdims=True) * (step / 2) + unit * source.step * step
        z = value @ layer.weights + layer.bias
        total += 1.001 * 2.0**-15 * (coarser + 1) * (np.abs(z) + total)
        if layer.activation == HALF:
            z, total = np.clip(z, 0.0, HALF_END), _spread(_limited, z, total)
            total = _quantize(z, total, target, 0.5)
            target = next(following)
        value, error = _activate(layer.activation, z, total, FLOAT16)
        error = _quantize(value, error, target, 1.5 if layer.activation in _TABLES else 0.5)
    return _host_output(value, error, after, host)


def tensor_count(layers: Sequence[LayerLike]) -> int:
    """Return how many tensors a file of these layers has: the input, each result, and what a half sums up."""
    return 1 + len(layers) + sum(layer.activation == HALF for layer in layers)


def _limited(z: Floats) -> Floats:
    return np.clip(z, 0.0, HALF_END)


def tensor_steps(file: RknnFile) -> tuple[Steps, ...]:
    """Return the quantization of a file's input and of what each of its layers gives, in order."""
    layers = [node for node in file.nodes if node.placement != "none"]
    # Files of other chips do not tell what a node gives.
    tensors = [*file.inputs, *(file.tensors[node.outputs[0]] for node in layers if node.outputs)]
    return tuple(
        Steps(tensor.scale, tensor.zero_point, 16 if tensor.dtype == "int16" else 8)
        for tensor in tensors
        if tensor.scale is not None and tensor.zero_point is not None
    )


def _stored(value: Floats, error: Floats, target: Arithmetic) -> Floats:
    return error + target.unit * (np.abs(value) + error) + target.tiny


def _activate(activation: str, z: Floats, error: Floats, target: Arithmetic) -> tuple[Floats, Floats]:
    if activation == REFINED:
        return _refined(z, error, target)
    value = activate(activation, z)
    spread = error if activation == "identity" else _spread(lambda z: activate(activation, z), z, error)
    if activation in target.functions:
        end, inside, outside = target.functions[activation]
        spread = spread + np.where(np.abs(z) + error <= end, inside, outside)
    return value, spread


def _refined(z: Floats, error: Floats, target: Arithmetic) -> tuple[Floats, Floats]:
    """Return ``t / (1 + t**2)`` of ``t = tanh(z)``, and what it may err by before it is stored."""
    t = np.tanh(z)
    _, reach = _activate("tanh", z, error, target)
    reach = _stored(t, reach, target)
    value = t / (1 + t**2)
    low, high = (np.clip(each, -1.0, 1.0) for each in (t - reach, t + reach))
    spread = np.maximum(high / (1 + high**2) - value, value - low / (1 + low**2))
    # The square errs by u of itself, at most half of the sum; the sum by u.
    return value, spread + (1.5 * target.unit + target.tiny) * (np.abs(value) + spread) + target.tiny


def _spread(function: Callable[[Floats], Floats], z: Floats, error: Floats) -> Floats:
    here = function(z)
    return np.maximum(function(z + error) - here, here - function(z - error))


def _quantize(value: Floats, error: Floats, steps: Steps, rounding: float) -> Floats:
    # Cutting off at the range's end brings a number nearer to one inside it, and leaves one outside at the
    # end.
    beyond = np.maximum(value - steps.high, steps.low - value)
    surely_0 = (value == 0) & (error == 0)
    return np.where(surely_0, 0.0, np.maximum(error, beyond) + rounding * steps.step)


def _scaling(layer: LayerLike, steps: Floats, source: Steps) -> tuple[Floats, float]:
    """Return how much larger than each kernel's step the largest is, and what sums and biases err by.

    The latter as a multiple of input step times kernel step.
    """
    live = steps > 0
    if not live.any():
        return np.ones_like(steps), 0.5
    coarser = np.where(live, steps.max() / np.where(live, steps, 1.0), 1.0)
    if source.bits != 8:
        return coarser, 0.5
    sizes = np.abs(layer.bias[live]) / (source.step * steps[live])
    cut = float(sizes.max()) / 2.0**30
    return coarser, cut if cut > 1 else 0.5


def _int16_steps(largest: Floats) -> Floats:
    """Return 1 / (2**f - 1) for kernels of these largest weights, as files of four toolkits have it."""
    log = np.log2(np.where(largest > 0, largest, 1.0))
    bits = 15 - np.ceil(log) - (log <= -1)
    return np.where(largest > 0, 1 / np.maximum(2.0**bits - 1, 2.0 ** (bits - 1)), 0.0)


def kernel_spans(layer: LayerLike) -> Floats:
    """Return the range of each kernel's weights with 0, of which an int8 step is a 255th."""
    found: Floats = layer.weights.max(axis=0).clip(min=0) - layer.weights.min(axis=0).clip(max=0)
    return found


def _host_input(X: Floats, before: Affine | None, host: float) -> tuple[Floats, Floats]:
    if before is None:
        return X, _SUM * np.abs(X)
    value = (X - before.offset) * before.scale
    size = (np.abs(X) + np.abs(before.offset)) * np.abs(before.scale)
    return value, 3 * host * size + (_SUM * np.abs(value) if host < _SUM else 0.0)


def _host_output(value: Floats, error: Floats, after: Affine | None, host: float) -> Floats:
    if after is None:
        return error + 2 * host * np.abs(value)
    size = np.abs(value) + error + np.abs(after.offset)
    return (error + 3 * host * size) * np.abs(after.scale)

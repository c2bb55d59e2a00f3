"""What an ONNX graph computes in float64, and by how much a float16 program of it may err.

A running error analysis, with rounding errors as independent values of mean 0 (Higham and Mary, A New
Approach to Probabilistic Rounding Error Analysis, 2019): every value carries a deviation. A rounding deviates
by all of its largest error, and tolerances are `DEVIATIONS` of it. Weights and results are rounded to
float16, sums are formed in float32, functions have the errors of their tables. It takes nothing from the
executor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]

UNIT: Final = 2.0**-11  # of float16
TINY: Final = 2.0**-25  # half its least step
SUM_UNIT: Final = 2.0**-24  # of float32

TANH: Final = 1 - np.tanh(3.02)
SIGMOID: Final = 1 / (1 + np.exp(6.31))
"""What functions go on to where their tables end: +-16384 divided by 5424 and by 2596."""

LOOKUP: Final = 5e-4
"""Inside tables of float16's activations: 2**-11 of 1 for the result, lines between entries 32 / 2596 apart,
and an index rounded to 1 / 2596, an offset of 2**-15."""


DEVIATIONS: Final = 3
"""How many deviations an output may err by. A rounding that is equally distributed deviates by 0.58 of its
largest error, so that these are five of its own: 6 in 10 million normally distributed values pass them."""


@dataclass(frozen=True)
class Bounded:
    """A value in float64 and a deviation of its error, of the same shape."""

    value: Array
    error: Array

    def rounded(self) -> Bounded:
        return Bounded(self.value, np.hypot(self.error, UNIT * np.abs(self.value) + TINY))


Attributes = dict[str, Any]
Operator = Callable[..., Bounded]


def evaluate(model: onnx.ModelProto, x: Array) -> Bounded:
    """Return the first output of `model` for `x`, which holds float16 values."""
    graph = model.graph
    values = {"x": Bounded(x.astype(np.float64), np.zeros(x.shape))}
    for constant in graph.initializer:
        value = numpy_helper.to_array(constant).astype(np.float64)
        values[constant.name] = Bounded(value, UNIT * np.abs(value))
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        operands = [values[name] for name in node.input]
        values[node.output[0]] = OPERATORS[node.op_type](attributes, *operands)
    return values[graph.output[0].name]


def _product(x: Bounded, weights: Bounded, biases: Bounded | None = None) -> Bounded:
    """Compute ``x @ weights + biases``; biases are float32."""
    value, squares = x.value @ weights.value, x.value**2 @ weights.value**2
    sums = len(weights.value) * SUM_UNIT**2 * squares
    error = np.sqrt(x.error**2 @ weights.value**2 + x.value**2 @ weights.error**2 + sums)
    return Bounded(value if biases is None else value + biases.value, error).rounded()


def _gemm(attributes: Attributes, x: Bounded, weights: Bounded, biases: Bounded) -> Bounded:
    assert attributes.get("transB", 0) == 1
    return _product(x, Bounded(weights.value.T, weights.error.T), biases)


def _conv(_: Attributes, x: Bounded, weights: Bounded, biases: Bounded) -> Bounded:
    flat = [Bounded(v.value[:, :, 0, 0], v.error[:, :, 0, 0]) for v in (x, weights)]
    result = _product(flat[0], Bounded(flat[1].value.T, flat[1].error.T), biases)
    return Bounded(result.value[:, :, None, None], result.error[:, :, None, None])


def _add(_: Attributes, a: Bounded, b: Bounded) -> Bounded:
    return Bounded(a.value + b.value, np.hypot(a.error, b.error)).rounded()


def _subtract(_: Attributes, a: Bounded, b: Bounded) -> Bounded:
    return Bounded(a.value - b.value, np.hypot(a.error, b.error)).rounded()


def _multiply(_: Attributes, a: Bounded, b: Bounded) -> Bounded:
    return Bounded(a.value * b.value, np.hypot(a.error * b.value, a.value * b.error)).rounded()


def _steep(function: Callable[[Array], Array], slope: float, table: Callable[[Array], Array]) -> Operator:
    """Compute a function that rises by no more than `slope`, with what its table adds."""

    def operator(_: Attributes, x: Bounded) -> Bounded:
        return Bounded(function(x.value), np.hypot(slope * x.error, table(x.value))).rounded()

    return operator


def _exact(function: Callable[..., Array], slope: Callable[[Attributes], float]) -> Operator:
    def operator(attributes: Attributes, x: Bounded, *rest: Bounded) -> Bounded:
        value = function(attributes, x.value, *(r.value for r in rest))
        return Bounded(value, max(1.0, slope(attributes)) * x.error).rounded()

    return operator


def _prelu(_: Attributes, x: Bounded, slopes: Bounded) -> Bounded:
    value = np.where(x.value < 0, x.value * slopes.value, x.value)
    error = np.hypot(np.maximum(1, np.abs(slopes.value)) * x.error, x.value * slopes.error)
    return Bounded(value, error).rounded()


def _leaky(attributes: Attributes, x: Bounded) -> Bounded:
    slope = np.full(1, attributes["alpha"], np.float64)
    return _prelu(attributes, x, Bounded(slope, UNIT * slope))


def _maximum(_: Attributes, a: Bounded, b: Bounded) -> Bounded:
    return Bounded(np.maximum(a.value, b.value), np.maximum(a.error, b.error)).rounded()


def _batch_norm(attributes: Attributes, x: Bounded, *constants: Bounded) -> Bounded:
    """The toolkit folds it into the layer before: its factor is one more rounding of the weights."""
    factor, shift, mean, variance = (c.value for c in constants)
    scale = factor / np.sqrt(variance + attributes["epsilon"])
    value = (x.value - mean) * scale + shift
    return Bounded(value, np.hypot(scale * x.error, UNIT * scale * x.value)).rounded()


def _elu(x: Array) -> Array:
    result: Array = np.where(x < 0, np.expm1(np.minimum(x, 0)), x)
    return result


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result


def _softmax(_: Attributes, x: Bounded) -> Bounded:
    """Exponentials of a table over [-10, 0] whose entries are 2**-15 apart, their sum, a division."""
    powers = np.exp(x.value - x.value.max(axis=1, keepdims=True))
    value = powers / powers.sum(axis=1, keepdims=True)
    reach = 2 * x.error.max(axis=1, keepdims=True) + 2 * UNIT * np.abs(x.value).max(axis=1, keepdims=True)
    shares = LOOKUP * (1 + value * x.value.shape[1]) / powers.sum(axis=1, keepdims=True)
    return Bounded(value, 2 * value * np.expm1(reach) + shares + 4 * UNIT * value).rounded()


def _mean(attributes: Attributes, x: Bounded) -> Bounded:
    """Compute a mean; of squares in bfloat16, whose unit is 2**-9: each, their sum, and twice a factor."""
    axes, count = tuple(attributes["axes"]), x.value.shape[-1]
    value = x.value.mean(axis=axes, keepdims=True)
    error = np.sqrt((x.error**2).sum(axis=axes, keepdims=True)) / count
    return Bounded(
        value, np.hypot(error, (4 * 2.0**-9 if (x.value >= 0).all() else 2 * UNIT) * value)
    ).rounded()


def _root(_: Attributes, x: Bounded) -> Bounded:
    """Heron's ten steps from 1 halve what is below 2**-10 no further; else each rounds three times."""
    value = np.sqrt(np.maximum(x.value, 0))
    low = np.sqrt(np.maximum(x.value - x.error, 0))
    high = np.sqrt(np.maximum(x.value, 0) + x.error)
    apart = np.maximum(value - low, high - value)
    return Bounded(value, apart + 3 * UNIT * value + 2.0**-10).rounded()


def _divide(_: Attributes, a: Bounded, b: Bounded) -> Bounded:
    value = a.value / b.value
    return Bounded(value, np.hypot(a.error, value * b.error) / np.abs(b.value)).rounded()


def _same(function: Callable[..., Array]) -> Operator:
    """Compute a change of shape."""

    def operator(attributes: Attributes, *operands: Bounded) -> Bounded:
        return Bounded(
            function(attributes, *(o.value for o in operands)),
            function(attributes, *(o.error for o in operands[:1]), *(o.value for o in operands[1:])),
        )

    return operator


def _concat(attributes: Attributes, *parts: Bounded) -> Bounded:
    axis = attributes["axis"]
    return Bounded(
        np.concatenate([p.value for p in parts], axis), np.concatenate([p.error for p in parts], axis)
    )


OPERATORS: Final[dict[str, Operator]] = {
    "Gemm": _gemm,
    "Conv": _conv,
    "MatMul": lambda _, x, weights: _product(x, weights),
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _divide,
    "Pow": lambda attributes, x, power: _multiply(attributes, x, x),
    "Max": _maximum,
    "PRelu": _prelu,
    "LeakyRelu": _leaky,
    "Relu": _exact(lambda _, x: np.maximum(x, 0), lambda _: 1.0),
    "Abs": _exact(lambda _, x: np.abs(x), lambda _: 1.0),
    "Clip": _exact(lambda _, x, low, high: np.clip(x, low, high), lambda _: 1.0),
    "Sigmoid": _steep(_sigmoid, 0.25, lambda x: np.where(np.abs(x) < 6.31, LOOKUP, SIGMOID + LOOKUP)),
    "Tanh": _steep(np.tanh, 1.0, lambda x: np.where(np.abs(x) < 3.02, LOOKUP, TANH + LOOKUP)),
    # Above 0 Elu's line rises by 0.0055237**2 * 3276 * 10 = 0.9996 a unit.
    "Elu": _steep(_elu, 1.0, lambda x: LOOKUP + 5e-4 * np.maximum(x, 0)),
    # Entries are 1 / 8160 apart and lie 32 / 4096 apart; above 4 the file's line rises by 0.981 a unit.
    "Softplus": _steep(lambda x: np.logaddexp(0, x), 1.0, lambda x: 1.5e-3 + 0.02 * np.maximum(x - 4, 0)),
    "Softmax": _softmax,
    "BatchNormalization": _batch_norm,
    "ReduceMean": _mean,
    "Sqrt": _root,
    "Flatten": _same(lambda _, x: x.reshape(len(x), -1)),
    "Reshape": _same(lambda _, x, shape: x.reshape(shape.astype(int))),
    "Concat": _concat,
}

"""Bring the numbers of each layer into the range of float16."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from scirknn.answers import gives_numbers
from scirknn.arrays import Floats
from scirknn.bundle import Affine
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network, compose
from sklearn2rknn.network.ranges import Ranges
from sklearn2rknn.network.tensor_ranges import input_ranges, propagate, tensor_ranges

FLOAT16_SAFE = 2.0**12
"""Range of a hidden layer up to which rows outside the example have a factor of 16 to spare."""

FLOAT16_WIDE = 2.0**15
"""The same for a range that bounds give: they are wide themselves."""

INT16_WIDE = 2.0**10
"""Largest number in int16's relu and identity layers and steady outputs; the format ends at 2**14."""

INPUTS_ROUNDING = 2.0**4
"""How many times as much an integer layer's inputs may err by their rounding as its output by its own."""

FLOAT16_FEW = 2.0**-6
"""Range below which too few of a layer's numbers are left above float16's subnormals."""

FLOAT64_TINY = 1e-300  # its inverse is still finite


def mean_and_deviation(columns: Floats) -> tuple[Floats, Floats]:
    """Return each column's mean and standard deviation, safe from overflow."""
    # By a power of two of their size, whose square may be infinite or 0.
    size = 2.0 ** np.floor(np.log2(_unit(np.abs(columns).max(axis=0))))
    columns = columns / size
    deviation = columns.std(axis=0)
    # The mean of equal numbers is another number by up to a rounding a row: no deviation to divide by.
    rounding = len(columns) * 2.0**-52 * np.abs(columns).max(axis=0)
    return columns.mean(axis=0) * size, _unit(np.where(deviation > rounding, deviation, 0.0) * size)


def middle_and_half_range(columns: Floats) -> tuple[Floats, Floats]:
    """Return each column's middle and half of its range."""
    low, high = columns.min(axis=0), columns.max(axis=0)
    # Halved first: the difference of two large numbers may be infinite.
    return low / 2 + high / 2, _unit(high / 2 - low / 2)


def largest_numbers(layer: Layer, offset: Floats | float = 0.0) -> Floats:
    """Return the largest weight or bias of each channel."""
    largest: Floats = np.maximum(np.abs(layer.weights).max(axis=0), np.abs(layer.bias - offset))
    return largest


def _unit(sizes: Floats) -> Floats:
    """Return the sizes, or 1 for a column that does not vary, should it vary later."""
    return np.where((sizes > FLOAT64_TINY) & np.isfinite(sizes), sizes, 1.0)


def balance(network: Network, rows: Floats, most: float = np.inf) -> Network:
    """Bring the channels of hidden layers closer to one range.

    relu and identity let a positive factor through: channel j of range r_j (the largest magnitude over
    `rows`) is divided by sqrt(r_j), and the next layer's weights for it are multiplied. The root is a
    compromise: dividing by r_j itself gives the channels one range and their weights of the next layer,
    which share one step too, many. Measured on small networks it beats both r_j and the ratio of Nagel et
    al. 2019 (Data-free quantization through weight equalization and bias correction). No sum, weight or bias
    of a channel is left above `most`.
    """
    values = network.prepare(rows)
    for i in range(len(network.layers) - 1):
        layer = network.layers[i]
        if layer.activation in ("relu", "identity"):
            ranges = np.abs(layer.forward(values)).max(axis=0)
            sums = np.abs(values @ layer.weights + layer.bias).max(axis=0)
            root = np.sqrt(np.where(ranges > 0, ranges, 1.0))  # a channel that is always 0 keeps its weights
            factors = np.maximum(root, np.maximum(sums, largest_numbers(layer)) / most)
            network = network.divide_channels(i, factors)
        values = network.layers[i].forward(values)
    return network


def bring_into_float16(
    network: Network, rows: Floats | None, results: Sequence[Floats] | None = None
) -> Network:
    """Divide hidden channels that leave the window of float16 by powers of two.

    relu and identity let them through.

    The window is that of the ranges which example rows or, without, known inputs give each channel; where
    nothing is known, that of the weights. `results` are each layer's for the rows, where they were computed
    before.
    """
    inputs = input_ranges(network) if rows is None else network.prepare(rows)
    given = network
    for i in range(len(network.layers) - 1):
        layer = network.layers[i]
        result = results[i] if results is not None and network is given else _result(layer, inputs)
        if layer.activation in ("relu", "identity"):
            factors = _divisors(layer, result)
            if (factors != 1).any():
                network = network.divide_channels(i, factors)
                result = _result(network.layers[i], inputs)
        inputs = result
    return network


def _result(layer: Layer, inputs: Floats | Ranges) -> Floats | Ranges:
    return propagate(layer, inputs) if isinstance(inputs, Ranges) else layer.forward(inputs)


def bring_output_into_float16(network: Network, results: Sequence[Floats] | None) -> Network:
    """Centre and scale outputs of a regressor, and those beyond float16's window.

    `results` are each layer's for the example rows; None where there are none.
    """
    if network.head_on_npu:
        return network  # it takes them as they are
    if results is None:
        factors = _divisors(network.layers[-1], tensor_ranges(network, None)[-1])
        return network if (factors == 1).all() else scale_output(network, np.zeros_like(factors), factors)
    outputs = results[-1]
    if gives_numbers(network) or network.epilogue or not FLOAT16_FEW <= np.abs(outputs).max() <= FLOAT16_SAFE:
        middle, deviation = mean_and_deviation(outputs)
        if network.epilogue:
            # Of an output that the example hardly moves, the weights decide.
            deviation = np.maximum(deviation, np.abs(network.layers[-1].weights).max(axis=0) / FLOAT16_WIDE)
        network = scale_output(network, middle, deviation)
    return network


def spread_outputs(network: Network, inputs: Floats, outputs: Floats, *, is_int16: bool) -> Network:
    """Spread the outputs of integers over one range, given the last layer's inputs and outputs.

    Not one that the example hardly moves, since its kernel would make the factors of all others coarse
    (`kernel_equalization`). What rounding the layer's inputs errs in it is the largest weight times half of
    their step; its own step need be no finer than a sixteenth of that.
    """
    last = network.layers[-1]
    middle, half = middle_and_half_range(outputs)
    half = np.maximum(half, np.abs(inputs).max() * np.abs(last.weights).max(axis=0) / INPUTS_ROUNDING)
    if is_int16:
        half = np.maximum(half, largest_numbers(last, middle) / INT16_WIDE)
    return scale_output(network, middle, half)


def shift_and_power(ranges: Ranges) -> tuple[Floats, Floats]:
    """Return offset and divisor of inputs of known range; 0 and 1 where not needed."""
    with np.errstate(invalid="ignore"):
        middle = np.where(ranges.known, ranges.low / 2 + ranges.high / 2, 0.0)
        half = np.where(ranges.known, ranges.high / 2 - ranges.low / 2, 1.0)
    far = np.abs(middle) > half
    return np.where(far, middle, 0.0), _powers(half, FLOAT16_FEW, FLOAT16_WIDE, 1.0)


def _divisors(layer: Layer, result: Floats | Ranges) -> Floats:
    """Return what to divide a layer's channels by, from what is known best of them."""
    weights = np.maximum(np.abs(layer.weights).max(axis=0), np.abs(layer.bias))
    by_weights = _powers(weights, FLOAT16_FEW**2, FLOAT16_SAFE, 1.0)
    if isinstance(result, Ranges):
        ranges, many, goal = result.largest, FLOAT16_WIDE, FLOAT16_SAFE
    else:
        ranges, many, goal = np.abs(result).max(axis=0), FLOAT16_SAFE, 1.0
    # Of a channel without range, or that no row of the example switches on, the weights count.
    known = np.isfinite(ranges) & (ranges > 0)
    by_range = _powers(np.where(known, ranges, 0.0), FLOAT16_FEW, many, goal)
    # A small difference of large numbers cannot become large itself.
    safe = 2.0 ** np.ceil(np.log2(np.maximum(weights, FLOAT64_TINY) / FLOAT16_WIDE))
    return np.where(known, np.maximum(by_range, safe), by_weights)


def _powers(sizes: Floats, few: float, many: float, goal: float) -> Floats:
    """Return powers of two that bring sizes to the goal, ones within the window."""
    live = sizes[sizes > FLOAT64_TINY]
    if not len(live) or (live.min() >= few and live.max() <= many):
        return np.ones_like(sizes)
    exponents = np.ceil(np.log2(np.where(sizes > FLOAT64_TINY, sizes, goal) / goal))
    # Half of float64's exponents, so that neither the factor nor its use for a weight overflows.
    return np.asarray(2.0 ** np.clip(exponents, -500, 500))


def scale_input(network: Network, offset: Floats, unit: Floats) -> Network:
    """Give the host the map ``(x - offset) / unit``, and the first layer its inverse."""
    if not offset.any() and (unit == 1).all():
        return network
    first = network.layers[0]
    folded = Layer(first.weights * unit[:, None], first.bias + offset @ first.weights, first.activation)
    ranges = None if network.input_ranges is None else network.input_ranges.map(offset, 1.0 / unit)
    return attrs.evolve(
        network, layers=(folded, *network.layers[1:]), input=Affine(offset, 1.0 / unit), input_ranges=ranges
    )


def scale_output(network: Network, offset: Floats, unit: Floats) -> Network:
    """Let the last layer give ``(v - offset) / unit``, and the host map it back."""
    last = network.layers[-1]
    folded = Layer(last.weights / unit, (last.bias - offset) / unit, "identity")
    # As the host's map is written: (v - (-offset / unit)) * unit.
    output = compose(Affine(-offset / unit, unit), network.output)
    return attrs.evolve(network, layers=(*network.layers[:-1], folded), output=output)

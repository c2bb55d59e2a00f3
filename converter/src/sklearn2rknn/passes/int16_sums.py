r"""Kernels of int16 with room for their sums and biases in 32 bits.

Sums, and biases with them, are multiples of input step times weight step. Two things happen past 32 bits:

- A bias that does not fit makes the toolkit halve all of the layer's until it does, and double the output's
  factor as often; it leaves the weights, so the program computes 2, 4 or more times the product (2.2.0 to
  2.5.0; the simulator, which does not run the program, is right).
- A sum that does not fit is held at the end of the range [silicon: see `virtual_npu`'s `convolution`]. That
  is harmless only past the end of what the output holds, which saturates there too.

So a kernel that lacks room gets one large weight more, on an input that is always 0: in the first layer on
one that the host feeds, in the others on a unit of the layer before. Its steps then are coarser, and nothing
else changes, since every kernel has a scale of its own. Clipped tanhs (`int16_tanh`) need the room too: their
limit, float32's bits, is taken for the integer 1.004 * 2**30, which must not come before 3.016.
"""

from __future__ import annotations

import attrs
import numpy as np

from scirknn.arrays import Floats
from sklearn2rknn.checking.integer_bounds import int16_steps
from sklearn2rknn.network.layer import CLIPPED_TANH, CLIPPED_TANH_END, Layer
from sklearn2rknn.network.network import Network

NEGLIGIBLE_BIAS = 2.0**-26
"""Share of an output's range; one int16 step is 2**-15 of it."""


def fit_sums(network: Network, rows: Floats) -> Network:
    """Return the same function with sums and biases that int16 holds.

    Parameters
    ----------
    network : Network
        Of relu, identity and clipped tanh.
    rows : numpy.ndarray, shape (n, n_features_in)
        Example input, from which the toolkit takes the ranges.
    """
    layers = list(network.layers)
    rows = network.with_far_rows(rows)
    ranges = [_range(network.prepare(rows)), *(_range(values) for values in network.activations(rows))]
    missing = [_missing_weights(layers[i], ranges[i], ranges[i + 1]) for i in range(len(layers))]
    last = max((i for i, weights in enumerate(missing) if weights.any()), default=-1)
    idle = missing[0]
    if idle.any() and not layers[0].weights.any():
        idle = np.maximum(idle, 1.0)  # less is nothing to the toolkit, and graphs of constants it refuses
    for i in range(last + 1):
        weights, bias = layers[i].weights, layers[i].bias
        if i > 0:
            weights = np.vstack([weights, missing[i]])
        if i < last:  # a unit that is always 0; the toolkit makes room for a bias of 1
            weights, bias = np.hstack([weights, np.zeros((len(weights), 1))]), np.append(bias, 0.0)
            if i > 0:
                weights[-1, -1] = 1 / ranges[i]
            else:
                idle = np.append(idle, 1 / ranges[0])
        layers[i] = Layer(weights, bias, layers[i].activation)
    layers = [_without_zeros(layer, size) for layer, size in zip(layers, ranges, strict=False)]
    return attrs.evolve(network, layers=tuple(layers), idle=idle if idle.any() else None)


def _range(values: Floats) -> float:
    return float(np.abs(values).max(initial=0.0)) or 1.0


def _missing_weights(layer: Layer, given: float, result: float) -> Floats:
    """Return the weight on 0 that each kernel needs; 0 where it has room.

    With inputs up to `given` and results up to `result`, sums reach past the results' range, and past twice
    their bias: the toolkit may find ranges by other means than the largest value.
    """
    tanh = layer.activation == CLIPPED_TANH
    end = CLIPPED_TANH_END if tanh else 2.0**15 * float(int16_steps(np.array(result)))
    needed = np.maximum(end + np.abs(layer.bias), 2 * np.abs(layer.bias))
    limit = 2.0 ** np.ceil(np.log2(given))
    reached = 2.0**16 * limit * int16_steps(np.abs(layer.weights).max(axis=0))
    return np.asarray(np.where(reached < needed, needed / (2 * limit), 0.0))


def _without_zeros(layer: Layer, size: float) -> Layer:
    """Replace biases of 0, for which toolkits from 2.3.0 on make room as for 1."""
    limit = size * np.abs(layer.weights).max(axis=0)
    zero = (layer.bias == 0) & (limit < 1)
    return Layer(layer.weights, np.where(zero, NEGLIGIBLE_BIAS * limit, layer.bias), layer.activation)

r"""Int16 biases within 32 bits; beyond, toolkits write wrong register programs.

A bias is stored as a 32-bit multiple of input scale times weight scale. Where one of a layer does not fit,
the toolkit halves all of them until it does, doubles the output's factor as often, and leaves the weights:
the program computes 2, 4 or more times the product (2.2.0 to 2.5.0; the simulator, which does not run the
program, is right). CORE's CLIP_TRUNCATE, which would shift the products down to match, is written 0.

So a kernel whose bias is large beside its weights gets one large weight more, and the bias goes into it: in
the first layer on an input that is always 0, in the others on a unit of the layer before that is constant.
Nothing else changes, since every kernel has a scale of its own. Clipped tanhs (`int16_tanh`) need biases of
4.5 or more: their limit, float32's bits, is taken for the integer 1.004 * 2**30, which must not come before
3.016. Sums have steps of :math:`2^{r + w - 30}` for inputs up to :math:`2^r` and weights up to :math:`2^w`,
so :math:`2^{r + w}` has to be 4 at least; where such a bias stays or is moved it is.
"""

from __future__ import annotations

import attrs
import numpy as np

from scirknn.arrays import Floats
from sklearn2rknn.network.layer import CLIPPED_TANH, Layer, activate
from sklearn2rknn.network.network import Network

__all__ = ["fit_biases"]

MOVED_BIAS_SHARE = 0.75
"""Share of a large bias that goes into a weight, which is then large enough for the rest."""

NEGLIGIBLE_BIAS = 2.0**-26
"""Share of an output's range; one int16 step is 2**-15 of it."""

CONSTANT_UNIT_SUM = 2.75
"""Sum of a constant clipped tanh: inside the table, where the function is nearly flat."""


def fit_biases(network: Network, rows: Floats) -> Network:
    """Return the same function with biases that int16 holds.

    Parameters
    ----------
    network : Network
        Of relu, identity and clipped tanh.
    rows : numpy.ndarray, shape (n, n_features_in)
        Example input, from which the toolkit takes the ranges.

    Notes
    -----
    With R the range of a layer's input and W a kernel's largest weight, scales are at least R / 2**15 and
    W / 2**15, so that 32 bits hold any bias up to 2 R W. Half of it is used: the toolkit may find ranges by
    other means than the largest value.
    """
    layers = list(network.layers)
    rows = network.with_far_rows(rows)
    ranges = [_range(network.prepare(rows)), *(_range(values) for values in network.activations(rows))]
    moved = [_movable_biases(layer, size) for layer, size in zip(layers, ranges, strict=False)]
    # Sum and result of the constant unit of each layer.
    levels = [
        CONSTANT_UNIT_SUM if layer.activation == CLIPPED_TANH else size
        for layer, size in zip(layers, ranges[1:], strict=True)
    ]
    gives = [
        float(activate(layer.activation, np.array(level)))
        for layer, level in zip(layers, levels, strict=True)
    ]
    follows_tanh = [False, *(layer.activation == CLIPPED_TANH for layer in layers[:-1])]
    last = max((i for i, part in enumerate(moved) if part.any() or follows_tanh[i]), default=-1)
    idle = np.abs(moved[0]) / (
        MOVED_BIAS_SHARE * ranges[0]
    )  # nothing moves here: the weight makes room for all of it
    if idle.any() and not layers[0].weights.any():
        idle = np.maximum(idle, 1.0)  # less is nothing to the toolkit, and graphs of constants it refuses
    if last > 0:  # one unit in every layer before the last, each fed by the one before
        first = layers[0]
        weights = np.hstack([first.weights, np.zeros((len(first.weights), 1))])
        layers[0] = Layer(weights, np.append(first.bias, levels[0]), first.activation)
        idle = np.append(idle, levels[0] / ranges[0])
    for i in range(1, last + 1):
        weights = np.vstack([layers[i].weights, moved[i] / gives[i - 1]])
        bias = layers[i].bias - moved[i]
        if i < last:
            weights = np.hstack([weights, np.zeros((len(weights), 1))])
            weights[-1, -1] = levels[i] / gives[i - 1]
            bias = np.append(bias, 0.0)
        layers[i] = Layer(weights, bias, layers[i].activation)
    layers = [_without_zeros(layer, size) for layer, size in zip(layers, ranges, strict=False)]
    return attrs.evolve(network, layers=tuple(layers), idle=idle if idle.any() else None)


def _range(values: Floats) -> float:
    return float(np.abs(values).max(initial=0.0)) or 1.0


def _movable_biases(layer: Layer, size: float) -> Floats:
    """Return the part of each bias that goes into a weight."""
    large = np.abs(layer.bias) > size * np.abs(layer.weights).max(axis=0)
    return np.asarray(np.where(large, MOVED_BIAS_SHARE * layer.bias, 0.0))


def _without_zeros(layer: Layer, size: float) -> Layer:
    """Replace biases of 0, for which toolkits from 2.3.0 on make room as for 1."""
    limit = size * np.abs(layer.weights).max(axis=0)
    zero = (layer.bias == 0) & (limit < 1)
    return Layer(layer.weights, np.where(zero, NEGLIGIBLE_BIAS * limit, layer.bias), layer.activation)

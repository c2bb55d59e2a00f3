r"""Carry what float16 rounds away, as numbers of their own.

A number *v* is given as a high part, *v* rounded to float16, and a low part, *v* less that: together 22 bits.
The host splits the features; between layers the NPU does it itself. With :math:`z = W^T v + b`,

.. math:: h = (1 - 2^{-9})\,\mathrm{relu}(z), \quad l = \mathrm{relu}(z - h), \quad h + l = \mathrm{relu}(z),

where a first convolution computes *h* and hands *v* on, and a second computes *z* again, takes from it the
*h* that was in fact stored, and stores the rest. The factor keeps the stored *h* below *z* (rounding moves it
by :math:`2^{-11}` at most), so that the rest is never negative. Weights are split in the same way, which
takes the high part twice. Sums are float32 in the NPU, so that is what the whole then amounts to, at one
convolution more for each hidden layer, of some three times the width, and for an output in two parts.

tanh and logistic have no such steps. There only features and the first layer's weights are split, which costs
nothing but channels and is where a network of unscaled features errs most.
"""

from __future__ import annotations

import attrs
import numpy as np

from sklearn2rknn.network.layer import Layer, rounded_to_float16
from sklearn2rknn.network.network import PARTS, Network
from sklearn2rknn.network.ranges import Floats

__all__ = ["carry_remainders", "float16_outputs"]

BELOW = 1.0 - 2.0**-9


def carry_remainders(network: Network, *, output: bool = False) -> Network:
    """Return the same function with the numbers between its layers in two parts, as far as relus lead.

    Parameters
    ----------
    network : Network
    output : bool
        Give the outputs in two parts too, where all layers are relu or identity.

    Returns
    -------
    Network
        `Network.prepare` splits the features.
    """
    layers: list[Layer] = []
    signed = True  # features may be negative, what relu leaves may not
    last = network.layers[-1]
    for i, layer in enumerate(network.layers):
        if layer.activation not in ("relu", "identity"):
            layers += [attrs.evolve(layer, weights=_split(layer.weights)), *network.layers[i + 1 :]]
            return attrs.evolve(network, layers=tuple(layers), parts=PARTS, undivided=network)
        if layer is last and not output:
            layers.append(attrs.evolve(layer, weights=_split(layer.weights)))
        else:
            layers += _two_steps(layer, signed)
        signed = layer.activation == "identity"
    if not output:
        return attrs.evolve(network, layers=tuple(layers), parts=PARTS, undivided=network)
    width = network.n_outputs
    both = Layer(layers[-1].weights[:, : 2 * width], layers[-1].bias[: 2 * width], "identity")
    return attrs.evolve(network, layers=(*layers[:-1], both), parts=PARTS, output_parts=2, undivided=network)


def _two_steps(layer: Layer, signed: bool) -> tuple[Layer, Layer]:
    relu = layer.activation == "relu"
    weights = _split(layer.weights)
    identity = np.eye(len(weights))
    # relu lets a negative number pass as its opposite, on a channel of its own.
    handed = np.hstack([identity, -identity]) if relu and signed else identity
    below = BELOW if relu else 1.0
    nothing = np.zeros(layer.weights.shape[1])
    first = Layer(
        np.hstack([_split(below * layer.weights), handed]),
        np.concatenate([below * layer.bias, np.zeros(handed.shape[1])]),
        layer.activation,
    )
    taken = np.eye(layer.weights.shape[1])
    high = np.vstack([taken, np.zeros((handed.shape[1], len(taken)))])
    low = np.vstack([-taken, handed.T @ weights])
    second = Layer(
        np.hstack([high, low, high]), np.concatenate([nothing, layer.bias, nothing]), layer.activation
    )
    return first, second


def _split(weights: Floats) -> Floats:
    """Return the rows for high, low and, again, high parts."""
    high = rounded_to_float16(weights)
    return np.vstack([high, weights, weights - high])


def float16_outputs(network: Network, X: Floats) -> Floats:
    """Compute what the network gives when inputs, weights and every layer's result are float16.

    Sums are exact here and float32 on the NPU. tanh and logistic are exact too, which the NPU's are not.

    Parameters
    ----------
    network : Network
    X : numpy.ndarray, shape (n, n_features_in)

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)
        Before the head; infinite where a number leaves float16.
    """
    values = rounded_to_float16(network.prepare(X))
    for layer in network.layers:
        stored = attrs.evolve(layer, weights=rounded_to_float16(layer.weights))
        with np.errstate(invalid="ignore"):
            values = rounded_to_float16(stored.forward(values))
    return network.finish(values)

"""Merge linear layers, and replace a network that is constant."""

from __future__ import annotations

import attrs
import numpy as np

from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.range_checks import FLOAT16_TINIEST


def collapse_constant(network: Network) -> Network:
    """Replace a network that does not depend on X by one layer, a constant bias.

    The toolkit refuses a layer whose weights are all 0, or round to 0 in float16, and one that follows relus
    which never fire. Past such a layer nothing depends on X, so the replacement is exact; for weights that
    round to 0 it is the network at X = 0, the middle of the rows once they are scaled. That is more than the
    NPU would compute: what such a weight makes of a constant input, a sigmoid's 0.5 say, is not lost.
    """
    if not _is_constant(network):
        return network
    values = np.zeros((1, network.n_features_in))
    for layer in network.layers:
        values = layer.forward(values)
    only = Layer(np.zeros((network.n_features_in, network.n_outputs)), values[0], "identity")
    return attrs.evolve(network, layers=(only,))


def _is_constant(network: Network) -> bool:
    """Whether some layer's result is the same for every X."""
    fires = np.ones(network.n_features_in, dtype=bool)  # which inputs of the layer can differ from 0
    positive = False  # and whether they are never negative
    for layer in network.layers:
        weights = layer.weights[fires]
        if np.abs(weights).max(initial=0.0) <= FLOAT16_TINIEST:
            return True
        relu = layer.activation == "relu"
        rises = (weights > 0 if positive else weights != 0).any(axis=0)
        fires = rises | (layer.bias > 0) if relu else np.ones(len(layer.bias), dtype=bool)
        positive = relu
    return False


def merge_linear(network: Network) -> Network:
    """Multiply layers without activation into one, where that adds no weights.

    Nothing is lost, and a narrow format rounds once less.
    """
    layers = list(network.layers[:1])
    for layer in network.layers[1:]:
        before = layers[-1]
        merged = before.weights.shape[0] * layer.weights.shape[1]
        if before.activation == "identity" and merged <= before.weights.size + layer.weights.size:
            layers[-1] = Layer(
                before.weights @ layer.weights,
                before.bias @ layer.weights + layer.bias,
                layer.activation,
            )
        else:
            layers.append(layer)
    return attrs.evolve(network, layers=tuple(layers))

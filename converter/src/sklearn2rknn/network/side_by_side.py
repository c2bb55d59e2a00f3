"""Layers of several networks side by side: one network of block-diagonal layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.linalg import block_diag

from sklearn2rknn.network.layer import Layer

Layers = tuple[Layer, ...]


def are_alike(networks: Iterable[Layers]) -> bool:
    """Whether layers can stand side by side: of the same activations, or hidden ones of relu alone."""
    activations = {tuple(layer.activation for layer in layers) for layers in networks}
    return len(activations) <= 1 or all({"relu"}.issuperset(each[:-1]) for each in activations)


def with_equal_depths(networks: Sequence[Layers]) -> list[Layers]:
    """Return layers of which all networks have as many, for those that are alike.

    A shallow network carries its outputs through the relus of a deeper one, in two halves:
    ``z = relu(z) - relu(-z)``, which rounds as ``z`` does.
    """
    deepest = max(len(layers) for layers in networks)
    return [_deepened(layers, deepest) for layers in networks]


def _deepened(layers: Layers, depth: int) -> Layers:
    missing = depth - len(layers)
    if not missing:
        return layers
    last, count = layers[-1], len(layers[-1].bias)
    halves = Layer(np.hstack([last.weights, -last.weights]), np.concatenate([last.bias, -last.bias]), "relu")
    on = Layer(np.eye(2 * count), np.zeros(2 * count), "relu")
    joined = Layer(np.vstack([np.eye(count), -np.eye(count)]), np.zeros(count), "identity")
    return (*layers[:-1], halves, *[on] * (missing - 1), joined)


def block_layers(networks: Sequence[Layers]) -> Layers:
    """Return the layers of networks of one depth and the same inputs, whose outputs stand side by side."""
    joined = []
    for place, layers in enumerate(zip(*networks, strict=True)):
        weights = [layer.weights for layer in layers]
        joined.append(
            Layer(
                np.hstack(weights) if place == 0 else block_diag(*weights),
                np.concatenate([layer.bias for layer in layers]),
                layers[0].activation,
            )
        )
    return tuple(joined)

"""The estimator's own layers, for a board that computes them in numpy."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats
from scirknn.bundle.contents import CpuLayer, CpuPart
from sklearn2rknn.network.network import Network


def cpu_layers(network: Network, prepared: Network) -> CpuPart | None:
    """Return a network's layers in float32, behind the host's map for the NPU; None where they do not fit.

    Parameters
    ----------
    network : Network
        As it was read, with its host steps: its numbers are neither rounded nor split.
    prepared : Network
        As it was built, without host steps. Its map of the inputs, in float64 on the host, centres and scales
        them before they become float32; the first layer undoes it here. The map of the outputs is the last
        layer's.
    """
    numbers: list[tuple[Floats, Floats]] = [(layer.weights, layer.bias) for layer in network.layers]
    if prepared.input is not None:
        weights, bias = numbers[0]
        numbers[0] = weights / prepared.input.scale[:, None], bias + prepared.input.offset @ weights
    if network.output is not None:
        weights, bias = numbers[-1]
        numbers[-1] = weights * network.output.scale, (bias - network.output.offset) * network.output.scale
    with np.errstate(over="ignore"):
        layers = tuple(
            CpuLayer(weights.astype(np.float32), bias.astype(np.float32), layer.activation)
            for (weights, bias), layer in zip(numbers, network.layers, strict=True)
        )
    is_finite = all(np.isfinite(each).all() for layer in layers for each in (layer.weights, layer.bias))
    return CpuPart.of(layers) if is_finite else None

"""Change a network's numbers, not what it computes, so that a narrow number format holds them.

Everything here is exact in real numbers and done in float64: what a map on the host takes away, the
neighbouring layer's weights put back.
"""

from __future__ import annotations

import attrs
import numpy as np

from sklearn2rknn.errors import RangeError
from sklearn2rknn.network import Affine, Floats, Layer, Network

__all__ = ["FLOAT16_MAX", "collapse_constant", "condition", "refuse_overflow", "scale_input", "scale_output"]

FLOAT16_MAX = 65504.0
FLOAT16_TINIEST = 2.0**-25
"""Half the smallest subnormal float16: what is not larger rounds to 0."""


def condition(network: Network, rows: Floats | None) -> Network:
    """Return the same function in numbers of convenient size.

    Parameters
    ----------
    network : Network
        Without host maps.
    rows : numpy.ndarray, shape (n, n_features_in), or None
        Example input. Without it the ranges of features and outputs are unknown, and both maps stay away.
    """
    network = collapse_constant(network)
    if rows is not None:
        network = scale_input(network, rows)
        network = scale_output(network, rows)
    return network


def collapse_constant(network: Network) -> Network:
    """Replace a network that does not depend on X by one layer of zero weights with the constant as bias.

    The toolkit refuses a layer whose weights are all 0, or round to 0 in float16. Past such a layer nothing
    depends on X, so the replacement is exact for the former; for the latter it is what the NPU would compute.
    """
    dead = [i for i, layer in enumerate(network.layers) if np.abs(layer.weights).max() <= FLOAT16_TINIEST]
    if not dead:
        return network
    last = dead[-1]
    layer = network.layers[last]
    silent = attrs.evolve(layer, weights=np.zeros_like(layer.weights))
    values = np.zeros((1, layer.weights.shape[0]))
    for each in (silent, *network.layers[last + 1 :]):
        values = each.forward(values)
    constant = Layer(np.zeros((network.n_features_in, network.n_outputs)), values[0], "identity")
    return attrs.evolve(network, layers=(constant,))


def scale_input(network: Network, rows: Floats) -> Network:
    """Map each feature's range in `rows` to [-1, 1] on the host, its inverse folded into the first layer."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    offset = low + (high - low) / 2.0
    half = (high - low) / 2.0
    # A constant feature is moved to 0 and keeps its unit, should it vary later.
    half[~(half > 0)] = 1.0
    scale = 1.0 / half
    scale[~np.isfinite(scale)] = 1.0
    first = network.layers[0]
    folded = Layer(first.weights / scale[:, None], first.bias + offset @ first.weights, first.activation)
    return attrs.evolve(network, layers=(folded, *network.layers[1:]), input=Affine(offset, scale))


def scale_output(network: Network, rows: Floats) -> Network:
    """Divide each output by its range over `rows`, centred, in the last layer; the host maps it back."""
    outputs = network.activations(rows)[-1]
    low, high = outputs.min(axis=0), outputs.max(axis=0)
    half = (high - low) / 2.0
    # An output that does not vary is made 0.
    half[~(half > 0)] = 1.0
    centre = low + (high - low) / 2.0
    last = network.layers[-1]
    folded = Layer(last.weights / half, (last.bias - centre) / half, "identity")
    # The host's map is (v - offset) * scale = v * half + centre.
    return attrs.evolve(network, layers=(*network.layers[:-1], folded), output=Affine(-centre / half, half))


def refuse_overflow(network: Network) -> None:
    """Raise where a weight or a bias does not fit float16.

    Raises
    ------
    RangeError
        It names the layer and the cure.
    """
    for i, layer in enumerate(network.layers):
        for name, values in (("coefs_", layer.weights), ("intercepts_", layer.bias)):
            largest = float(np.abs(values).max())
            if largest > FLOAT16_MAX:
                raise RangeError(
                    f"{name}[{i}] holds {largest:.3g}; float16 ends at {FLOAT16_MAX:g}. Scale X (and y of a "
                    "regressor) before fit, or give example_input, from which features and outputs are "
                    "rescaled."
                )

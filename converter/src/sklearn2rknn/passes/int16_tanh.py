r"""tanh and logistic in int16: clipped where the NPU's table ends.

In int16 every toolkit (2.2.0 to 2.5.0) fuses a tanh with the convolution before it and then never uploads the
table that it looks up. A tanh behind a ConvClip is a layer of its own and has its table. Of the fused limits
only those from 0 on are right, so a unit is a pair: with :math:`h(z) = \tanh(\min(\max(z, 0), 3.015625))`,

.. math:: \tanh(x) \approx g(x) - g(-x), \qquad g(x) = A\,h(x) + B\,h(3/2\,(x - C)),

*A*, *B* and *C* for the least error: the second part is what the table, which ends at 0.9952, lacks.
:math:`\sigma(x) = 1/2 + \tanh(x/2)/2`. The price: four channels for each unit, and two tasks more for each
hidden layer than a fused activation that were right. Sums between 0 and 4 have steps of 2**-13, however large
they are unclipped, and the vendor's simulator, which computes tanh itself, computes the same.
"""

from __future__ import annotations

import attrs
import numpy as np

from scirknn.arrays import Floats
from sklearn2rknn.network.layer import CLIPPED_TANH, Layer
from sklearn2rknn.network.network import Network

_A, _B, _C, _SLOPE = 1.0001015, 0.004591, 3.01289, 1.5

_FORMS = {"tanh": (1.0, 1.0, 0.0), "logistic": (0.5, 0.5, 0.5)}
"""Factor of a layer's sums; factor and offset of its result that the next layer takes on."""


def clipped_tanh_pairs(network: Network) -> Network:
    """Return the function with clipped tanhs, within `TANH_PAIRS_ERROR` a unit."""
    layers: list[Layer] = []
    form = None
    for layer in network.layers:
        weights, bias = layer.weights, layer.bias
        if form is not None:
            _, factor, offset = form
            bias = bias + offset * weights.sum(axis=0)
            weights = factor * np.vstack([part * weights for part in (_A, -_A, _B, -_B)])
        form = _FORMS.get(layer.activation)
        if form is None:
            layers.append(Layer(weights, bias, layer.activation))
        else:
            layers.append(_clipped_tanhs(form[0] * weights, form[0] * bias))
    assert form is None, "the last layer's result is the host's to map"
    return attrs.evolve(network, layers=tuple(layers))


def _clipped_tanhs(weights: Floats, bias: Floats) -> Layer:
    rests = [_SLOPE * (each - _C) for each in (bias, -bias)]
    return Layer(
        np.hstack([sign * weights for sign in (1.0, -1.0, _SLOPE, -_SLOPE)]),
        np.concatenate([bias, -bias, *rests]),
        CLIPPED_TANH,
    )

r"""tanh and logistic in int16: halves that end where the NPU's table ends, looked up by a layer of its own.

In int16 every toolkit (2.2.0 to 2.5.0) fuses a tanh with the convolution before it and then never uploads the
table that it looks up. A tanh that is a layer of its own has its table, and it is one where something else is
fused with the convolution. So hidden layers are ConvClip, Tanh. Of the fused limits only those from 0 on
are right, so a unit is two halves; with

.. math:: h(z) = \tanh(\min(\max(z, 0), E)), \qquad E = 3.015625,

where the table ends (0.9952, which it holds beyond), a unit is

.. math:: \tanh(x) \approx g(x) - g(-x), \qquad g(x) = A\,h(x) + B\,h(3/2\,(x - C)),

with *A*, *B* and *C* for the least error: the second part is what the table lacks. :math:`\sigma(x) = 1/2 +
\tanh(x/2)/2`. It takes four channels for each unit, and two tasks more for each hidden layer than a fused
activation that were right: the table's and the lookup's.

The limit does more than stop at the end of the table. Numbers between 0 and 4 have steps of 2**-13, however
large a sum is. And nothing hangs on how the end of the table is read: the vendor's simulator, which computes
tanh itself, computes the same.
"""

from __future__ import annotations

import attrs
import numpy as np

from sklearn2rknn.network.layer import HALF, Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.ranges import Floats

__all__ = ["halve"]

_WHOLE, _REST, _START, _STEEPNESS = 1.0001015, 0.004591, 3.01289, 1.5
"""A, B, C and 3/2."""

_FORMS = {"tanh": (1.0, 1.0, 0.0), "logistic": (0.5, 0.5, 0.5)}
"""Factor of a layer's sums; factor and offset of its result that the next layer takes on."""


def halve(network: Network) -> Network:
    """Return the function with every tanh and logistic in halves, within `HALVES_ERROR` a unit."""
    layers: list[Layer] = []
    form = None
    for layer in network.layers:
        weights, bias = layer.weights, layer.bias
        if form is not None:
            _, factor, offset = form
            bias = bias + offset * weights.sum(axis=0)
            weights = factor * np.vstack([part * weights for part in (_WHOLE, -_WHOLE, _REST, -_REST)])
        form = _FORMS.get(layer.activation)
        if form is None:
            layers.append(Layer(weights, bias, layer.activation))
        else:
            layers.append(_halves(form[0] * weights, form[0] * bias))
    assert form is None, "the last layer's result is the host's to map"
    return attrs.evolve(network, layers=tuple(layers))


def _halves(weights: Floats, bias: Floats) -> Layer:
    rests = [_STEEPNESS * (each - _START) for each in (bias, -bias)]
    return Layer(
        np.hstack([way * weights for way in (1.0, -1.0, _STEEPNESS, -_STEEPNESS)]),
        np.concatenate([bias, -bias, *rests]),
        HALF,
    )

r"""tanh and logistic in a form that errs less on the NPU than its own.

The NPU looks both up in a table that ends at 0.9952 and 0.9982 and holds these values beyond. With :math:`t =
\tanh(z)` the one function :math:`u(z) = t / (1 + t^2) = \tanh(2z) / 2` serves both, :math:`\tanh(x) =
2u(x/2)` and :math:`\sigma(x) = 1/2 + u(x/4)`: its slope in *t* is 0 where *t* is 1, so the table's end does
no harm. The factors are powers of two and go into the weights around it, and the 1/2 into the next layer's
bias. The price: a multiplication, an addition and a division, three tasks a layer, all on the NPU in float16;
the division would be the CPU's in int8 and for a single row.
"""

from __future__ import annotations

import attrs

from sklearn2rknn.network.layer import REFINED, Layer
from sklearn2rknn.network.network import Network

_FORMS = {"tanh": (0.5, 2.0, 0.0), "logistic": (0.25, 1.0, 0.5)}
"""Factor of a layer's weights; factor and offset of its result that the next layer takes on."""


def refine(network: Network) -> Network:
    """Return the same function with every tanh and logistic in the refined form."""
    if not any(layer.activation in _FORMS for layer in network.layers):
        return network
    layers: list[Layer] = []
    factor, offset = 1.0, 0.0
    for layer in network.layers:
        weights, bias = layer.weights * factor, layer.bias + offset * layer.weights.sum(axis=0)
        before, factor, offset = _FORMS.get(layer.activation, (1.0, 1.0, 0.0))
        activation = REFINED if layer.activation in _FORMS else layer.activation
        layers.append(Layer(weights * before, bias * before, activation))
    assert (factor, offset) == (1.0, 0.0), "the last layer's result is the host's to map"
    return attrs.evolve(network, layers=tuple(layers))

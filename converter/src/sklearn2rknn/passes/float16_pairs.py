r"""Float16 pairs: two float16 numbers that carry one value, 22 bits of it.

The high number is the value *v* rounded to float16, the low one is what that takes away. The host pairs the
features; between layers the NPU does it. With :math:`z = W^T v + b` and :math:`h = (1 - 2^{-9})\,
\mathrm{relu}(z)`, :math:`l = \mathrm{relu}(z - h)`, a first convolution computes *h* and hands *v* on; a
second one computes *z* again and subtracts the *h* that was stored. The factor keeps the stored *h* below *z*
(rounding moves it by :math:`2^{-11}` at most), so that the rest is never negative. Weights are pairs too,
which takes the high number twice. The price: one convolution more for each hidden layer, of three times the
width, and one for outputs that are pairs.

tanh and logistic have no such steps. There only the features and the first layer's weights are pairs, which
costs nothing but channels and is where a network of unscaled features errs most.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from scirknn.arrays import Floats
from sklearn2rknn.network.layer import Layer, rounded_to_float16
from sklearn2rknn.network.network import PARTS, Network
from sklearn2rknn.network.onnx_graph import high_half
from sklearn2rknn.tolerances import MAX_WEIGHTS_OF_PAIRS

BELOW = 1.0 - 2.0**-9

ADDED_OUTPUTS = ("2.2.0", "2.3.0", "2.3.2", "2.5.0")
"""Toolkits that place `added_outputs` on an RK3588's NPU.

Their register programs add before rounding; the vendor's simulator rounds before adding [simulator: a mixture
of 8 components on digits, 21 times its bound]; no board was asked.
"""

WORTH_TWO_TASKS = 164_000
"""Weights that take as long as two tasks to start: 28 us at 11.7 GB/s (docs/time-estimate.md)."""


def pair_values(network: Network, *, output: bool = False) -> Network:
    """Return the same function with float16 pairs, as far as relus lead.

    With `output` the outputs are pairs too, where all layers are relu or identity. `Network.prepare` makes
    pairs of the features.
    """
    layers: list[Layer] = []
    signed = True  # features may be negative, what relu leaves may not
    last = network.layers[-1]
    for i, layer in enumerate(network.layers):
        if layer.activation not in ("relu", "identity"):
            layers += [attrs.evolve(layer, weights=_split(layer.weights)), *network.layers[i + 1 :]]
            return attrs.evolve(network, layers=tuple(layers), parts=PARTS, unpaired=network)
        if layer is last and not output:
            layers.append(attrs.evolve(layer, weights=_split(layer.weights)))
        else:
            layers += _two_steps(layer, signed)
        signed = layer.activation == "identity"
    if not output:
        return attrs.evolve(network, layers=tuple(layers), parts=PARTS, unpaired=network)
    width = network.n_outputs
    both = Layer(layers[-1].weights[:, : 2 * width], layers[-1].bias[: 2 * width], "identity")
    return attrs.evolve(network, layers=(*layers[:-1], both), parts=PARTS, output_parts=2, unpaired=network)


def added_outputs(network: Network, worth: int = WORTH_TWO_TASKS) -> Network:
    r"""Return float16 pairs, those of the outputs from one product more where that is cheaper.

    A first convolution stores :math:`m = -z` in float16, a second one computes *z* again and adds *m* before
    it is rounded: :math:`l = z + m`. The host subtracts: :math:`z = l - m`. That takes two times the weights
    of the last layer, and not those that hand the values on; but two or three tasks more.

    Parameters
    ----------
    network : Network
        Without pairs.
    worth : int
        How many weights it has to save.
    """
    repeated, added = _weights_of_output_pairs(network)
    is_straight = all(layer.activation in ("relu", "identity") for layer in network.layers)
    if not is_straight or repeated - added < worth:
        return pair_values(network, output=True)
    paired = pair_values(network)
    last = paired.layers[-1]
    both = Layer(
        np.hstack([-last.weights, np.zeros_like(last.weights)]),
        np.concatenate([-last.bias, np.zeros_like(last.bias)]),
        "identity",
    )
    return attrs.evolve(paired, layers=(*paired.layers[:-1], both), output_parts=2, high_negated=True)


def can_pair_outputs(network: Network, *, added: bool = False) -> bool:
    """Whether pairs of a network's outputs take no more weights than "auto" spends on them.

    With `added` they may be `added_outputs`.
    """
    forms = _weights_of_output_pairs(network)
    return (min(forms) if added else forms[0]) <= MAX_WEIGHTS_OF_PAIRS


def _weights_of_output_pairs(network: Network) -> tuple[int, int]:
    """Return how many weights pairs of the outputs take: by two layers, and by one product more."""
    inputs, outputs = network.layers[-1].weights.shape
    repeated = (outputs + PARTS * inputs) * (PARTS * inputs + 2 * outputs)
    return repeated, 2 * PARTS * inputs * outputs


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
    """Return the rows for high, low and, again, high numbers."""
    high = rounded_to_float16(weights)
    return np.vstack([high, weights, weights - high])


def join_first_rows(weights: Floats, parts: int) -> Floats:
    """Return the weights of undivided numbers: the two that a number's high part meets, added."""
    rows = len(weights) // parts
    return np.asarray(sum(weights[part * rows :][:rows] for part in range(0, parts, 2)), np.float64)


def join_pairs(
    layers: Sequence[Layer], parts: int, output_parts: int
) -> tuple[tuple[Layer, ...], tuple[bool, ...]]:
    """Undo `pair_values` on layers whose first weights `join_first_rows` has joined.

    Returns
    -------
    layers : tuple of Layer
        One for each two that compute pairs.
    is_pair : tuple of bool
        Whether the input, and each of these layers' results, is carried in two parts.
    """
    if parts == 1:
        return tuple(layers), (False,) * (len(layers) + 1)
    joined: list[Layer] = []
    is_pair = [True]
    rest = list(layers)
    while rest:
        layer = rest.pop(0)
        weights = join_first_rows(layer.weights, parts) if joined and is_pair[-1] else layer.weights
        more = bool(rest) or output_parts > 1
        has_second = is_pair[-1] and layer.activation in ("relu", "identity") and more
        if has_second:
            units = len(rest.pop(0).bias) // (parts if rest else output_parts)
            below = BELOW if layer.activation == "relu" else 1.0
            weights, layer = weights[:, :units] / below, attrs.evolve(layer, bias=layer.bias[:units] / below)
        joined.append(attrs.evolve(layer, weights=weights))
        is_pair.append(has_second)
    return tuple(joined), tuple(is_pair)


def float16_outputs(network: Network, X: Floats) -> Floats:
    """Return the outputs with inputs, weights and every layer's result in float16.

    Sums are exact here and float32 on the NPU. tanh and logistic are exact too, which the NPU's are not.

    Returns
    -------
    numpy.ndarray of float64, shape (n, n_outputs)
        Before the output activation; infinite where a number leaves float16.
    """
    values = rounded_to_float16(network.prepare(X))
    for layer in network.layers:
        stored = attrs.evolve(layer, weights=rounded_to_float16(layer.weights))
        with np.errstate(invalid="ignore"):
            if network.high_negated and layer is network.layers[-1]:
                exact = high_half(stored).forward(values)
                high = rounded_to_float16(exact)
                values = np.hstack([high, rounded_to_float16(high - exact)])
            else:
                values = rounded_to_float16(stored.forward(values))
    return network.finish(values)

"""The range of every tensor of a network, before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats
from sklearn2rknn.network.layer import CLIPPED_TANH, REFINED, SOFTMAX, Layer, activate
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.ranges import Ranges

EXAMPLE = "example input"
WEIGHTS = "weight bounds"

_CODOMAINS = {
    "tanh": (-1.0, 1.0),
    "logistic": (0.0, 1.0),
    REFINED: (-0.5, 0.5),
    CLIPPED_TANH: (0.0, 1.0),
    SOFTMAX: (0.0, 1.0),
    "relu": (0.0, np.inf),
}


def tensor_ranges(
    network: Network, rows: Floats | None, results: Sequence[Floats] | None = None
) -> tuple[Ranges, ...]:
    """Return what is known of the network's input and of each layer's result.

    With example rows the ranges are measured. Without them they are those that the scalers saw when they were
    fitted, carried through the layers by interval arithmetic. The network is without float16 pairs. `results`
    are each layer's for the rows, where they were computed before.
    """
    if rows is not None:
        results = network.activations(rows) if results is None else results
        return tuple(map(measured_ranges, (network.prepare(rows), *results)))
    ranges = [input_ranges(network)]
    for layer in network.layers:
        ranges.append(propagate(layer, ranges[-1]))
    return tuple(ranges)


def input_ranges(network: Network) -> Ranges:
    """Return what is known of the inputs without any example."""
    return network.input_ranges or Ranges.unknown(len(network.layers[0].weights))


def measured_ranges(values: Floats) -> Ranges:
    """Return the ranges of columns of example rows."""
    return Ranges(values.min(axis=0), values.max(axis=0), (EXAMPLE,) * values.shape[1])


def propagate(layer: Layer, ranges: Ranges) -> Ranges:
    """Return the ranges of a layer's result for inputs within theirs."""
    known = ranges.known
    low, high = _bounds(layer, np.where(known, ranges.low, 0.0), np.where(known, ranges.high, 0.0))
    if not known.all():
        fed = layer.weights[~known].any(axis=0)
        least, greatest = _CODOMAINS.get(layer.activation, (-np.inf, np.inf))
        low, high = np.where(fed, least, low), np.where(fed, greatest, high)
    ends = np.isfinite(low) & np.isfinite(high)
    return Ranges(low, high, tuple(np.where(ends, WEIGHTS, "").tolist()))


def _bounds(layer: Layer, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return the ends of a layer's result for the ends of its inputs."""
    least, greatest = _CODOMAINS.get(layer.activation, (-np.inf, np.inf))
    if layer.activation == SOFTMAX:  # a share depends on all channels
        return np.full_like(layer.bias, least), np.full_like(layer.bias, greatest)
    with np.errstate(over="ignore", invalid="ignore"):
        centre = (low / 2 + high / 2) @ layer.weights + layer.bias
        reach = (high / 2 - low / 2) @ np.abs(layer.weights)
        low, high = activate(layer.activation, centre - reach), activate(layer.activation, centre + reach)
    low = np.maximum(np.where(np.isnan(low), -np.inf, low), least)
    return low, np.minimum(np.where(np.isnan(high), np.inf, high), greatest)


def largest_safe_input(network: Network, largest: float) -> float:
    """Return how large unknown inputs may be, so that no tensor leaves a format.

    The format ends at `largest`. In the units of the network's input, by its weights, rounded down by less
    than a tenth; 0 where even negligible inputs could make a tensor leave the format.
    """
    ranges = input_ranges(network)

    def fit(sizes: Floats) -> npt.NDArray[np.bool_]:
        """Return for each size whether no tensor leaves the format."""
        low, high = (
            np.where(ranges.known, ends, sign * sizes[:, None])
            for ends, sign in ((ranges.low, -1), (ranges.high, 1))
        )
        fitting = np.maximum(-low, high).max(axis=1) <= largest
        for layer in network.layers:
            low, high = _bounds(layer, low, high)
            fitting &= np.maximum(-low, high).max(axis=1) <= largest
        return np.asarray(fitting)

    if fit(np.array([largest])).all():
        return largest
    # Bounds grow with the input's, so that ever smaller steps find where they pass the end.
    below, above = -64.0, float(np.log2(largest))
    for step in (8.0, 1.0, 1 / 8):
        exponents = np.arange(below, above, step)
        fitting = exponents[fit(2.0**exponents)]
        if not len(fitting):
            return 0.0
        below, above = float(fitting[-1]), min(above, float(fitting[-1]) + step)
    return float(2.0**below)


def ranges_document(network: Network, rows: Floats | None, largest: float) -> list[dict[str, Any]]:
    """Return the ranges of what the NPU holds, for a report; None is unknown.

    Where the input's is not, ``bearable`` tells how large it may be for no tensor to pass `largest`.
    """
    unpaired = network.unpaired or network
    names = [f"layer {i} ({layer.activation})" for i, layer in enumerate(unpaired.layers, 1)]
    names = ["input", *names[:-1], "output"]
    document: list[dict[str, Any]] = [
        {
            "tensor": name,
            "width": len(ranges.low),
            "low": _finite(ranges.low.min()),
            "high": _finite(ranges.high.max()),
            "from": ranges.origin,
        }
        for name, ranges in zip(names, tensor_ranges(unpaired, rows), strict=True)
    ]
    if document[0]["high"] is None or document[0]["low"] is None:
        document[0]["bearable"] = largest_safe_input(unpaired, largest)
    return document


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

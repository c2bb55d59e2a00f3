"""The range of every tensor of a network, before anything is built."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn2rknn.network import HALF, REFINED, Floats, Layer, Network, activate
from sklearn2rknn.spans import Spans, unknown

__all__ = ["EXAMPLE", "WEIGHTS", "bearable_input", "measured", "ranges_document", "tensor_ranges", "through"]

EXAMPLE = "example input"
WEIGHTS = "weight bounds"

_CODOMAINS = {
    "tanh": (-1.0, 1.0),
    "logistic": (0.0, 1.0),
    REFINED: (-0.5, 0.5),
    HALF: (0.0, 1.0),
    "relu": (0.0, np.inf),
}


def tensor_ranges(network: Network, rows: Floats | None) -> tuple[Spans, ...]:
    """Return what is known of the network's input and of each layer's result.

    Parameters
    ----------
    network : Network
        Without parts.
    rows : numpy.ndarray, shape (n, n_features_in), or None
        Example input: its ranges are measured. Without it they are those that the scalers saw when they were
        fitted, and are carried through the layers by interval arithmetic.
    """
    if rows is not None:
        return tuple(measured(values) for values in (network.prepare(rows), *network.activations(rows)))
    found = [network.spans or unknown(len(network.layers[0].weights))]
    for layer in network.layers:
        found.append(through(layer, found[-1]))
    return tuple(found)


def measured(values: Floats) -> Spans:
    """Return the ranges of columns of example rows."""
    return Spans(values.min(axis=0), values.max(axis=0), (EXAMPLE,) * values.shape[1])


def through(layer: Layer, spans: Spans) -> Spans:
    """Return the ranges of a layer's result for inputs within theirs."""
    known = spans.known
    with np.errstate(over="ignore", invalid="ignore"):
        middle = np.where(known, spans.low / 2 + spans.high / 2, 0.0)
        half = np.where(known, spans.high / 2 - spans.low / 2, 0.0)
        centre = middle @ layer.weights + layer.bias
        reach = half @ np.abs(layer.weights)
        reach[layer.weights[~known].any(axis=0)] = np.inf
        low, high = (activate(layer.activation, centre + way * reach) for way in (-1.0, 1.0))
    least, greatest = _CODOMAINS.get(layer.activation, (-np.inf, np.inf))
    low = np.maximum(np.where(np.isnan(low), -np.inf, low), least)
    high = np.minimum(np.where(np.isnan(high), np.inf, high), greatest)
    ends = np.isfinite(low) & np.isfinite(high)
    return Spans(low, high, tuple(WEIGHTS if each else "" for each in ends.tolist()))


def bearable_input(network: Network, largest: float) -> float:
    """Return how large inputs of unknown range may be for no tensor to leave a format, by the weights.

    Parameters
    ----------
    network : Network
        Without parts.
    largest : float
        Where the format ends.

    Returns
    -------
    float
        In the units of the network's input, rounded down by less than a tenth; 0 where even inputs of next to
        nothing could make a tensor leave the format.
    """
    spans = network.spans or unknown(len(network.layers[0].weights))

    def fits(size: float) -> bool:
        low, high = (
            np.where(spans.known, ends, way * size) for ends, way in ((spans.low, -1), (spans.high, 1))
        )
        found = Spans(low, high, (WEIGHTS,) * len(low))
        ranges = [found]
        for layer in network.layers:
            ranges.append(found := through(layer, found))
        return all((each.largest <= largest).all() for each in ranges)

    # Bounds grow with the input's, so that halving finds where they pass the end.
    below, above = -64.0, float(np.log2(largest))
    if fits(2.0**above):
        return largest
    while above - below > 1 / 8:
        middle = (below + above) / 2
        below, above = (middle, above) if fits(2.0**middle) else (below, middle)
    return 2.0**below if below > -64.0 else 0.0


def ranges_document(network: Network, rows: Floats | None, largest: float) -> list[dict[str, Any]]:
    """Return the ranges of what the NPU holds, for a report; None stands for an end that is not known.

    Where the input's is not, ``bearable`` tells how large it may be for no tensor to pass `largest`.
    """
    undivided = network.undivided or network
    names = [f"layer {i} ({layer.activation})" for i, layer in enumerate(undivided.layers, 1)]
    names = ["input", *names[:-1], "output"]
    document: list[dict[str, Any]] = [
        {
            "tensor": name,
            "width": len(spans.low),
            "low": _finite(spans.low.min()),
            "high": _finite(spans.high.max()),
            "from": spans.origin,
        }
        for name, spans in zip(names, tensor_ranges(undivided, rows), strict=True)
    ]
    if document[0]["high"] is None or document[0]["low"] is None:
        document[0]["bearable"] = bearable_input(undivided, largest)
    return document


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

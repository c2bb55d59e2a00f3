"""The range of every tensor of a network, before anything is built."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn2rknn.network import REFINED, Floats, Layer, Network, activate
from sklearn2rknn.spans import Spans, unknown

__all__ = ["EXAMPLE", "WEIGHTS", "measured", "ranges_document", "tensor_ranges", "through"]

EXAMPLE = "example input"
WEIGHTS = "weight bounds"

_CODOMAINS = {"tanh": (-1.0, 1.0), "logistic": (0.0, 1.0), REFINED: (-0.5, 0.5), "relu": (0.0, np.inf)}


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
    low, high = np.maximum(np.nan_to_num(low, nan=-np.inf), least), np.minimum(high, greatest)
    high = np.where(np.isnan(high), np.inf, high)
    ends = np.isfinite(low) & np.isfinite(high)
    return Spans(low, high, tuple(WEIGHTS if each else "" for each in ends.tolist()))


def ranges_document(network: Network, rows: Floats | None) -> list[dict[str, Any]]:
    """Return the ranges of what the NPU holds, for a report; None stands for an end that is not known."""
    undivided = network.undivided or network
    names = [f"layer {i} ({layer.activation})" for i, layer in enumerate(undivided.layers, 1)]
    names = ["input", *names[:-1], "output"]
    return [
        {
            "tensor": name,
            "low": _finite(spans.low.min()),
            "high": _finite(spans.high.max()),
            "from": spans.origin,
        }
        for name, spans in zip(names, tensor_ranges(undivided, rows), strict=True)
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

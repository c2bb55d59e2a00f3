"""The range of every tensor of a network, before anything is built."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn2rknn.network.layer import HALF, REFINED, Layer, activate
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.ranges import Floats, Spans, unknown

__all__ = [
    "EXAMPLE",
    "WEIGHTS",
    "bearable_input",
    "known_of_inputs",
    "measured",
    "ranges_document",
    "tensor_ranges",
    "through",
]

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
    found = [known_of_inputs(network)]
    for layer in network.layers:
        found.append(through(layer, found[-1]))
    return tuple(found)


def known_of_inputs(network: Network) -> Spans:
    """Return what is known of the inputs without any example."""
    return network.spans or unknown(len(network.layers[0].weights))


def measured(values: Floats) -> Spans:
    """Return the ranges of columns of example rows."""
    return Spans(values.min(axis=0), values.max(axis=0), (EXAMPLE,) * values.shape[1])


def through(layer: Layer, spans: Spans) -> Spans:
    """Return the ranges of a layer's result for inputs within theirs."""
    known = spans.known
    low, high = _bounds(layer, np.where(known, spans.low, 0.0), np.where(known, spans.high, 0.0))
    if not known.all():
        fed = layer.weights[~known].any(axis=0)
        least, greatest = _CODOMAINS.get(layer.activation, (-np.inf, np.inf))
        low, high = np.where(fed, least, low), np.where(fed, greatest, high)
    ends = np.isfinite(low) & np.isfinite(high)
    return Spans(low, high, tuple(np.where(ends, WEIGHTS, "").tolist()))


def _bounds(layer: Layer, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return the ends of a layer's result, shape (..., n_out), for ends of its inputs, shape (..., n_in)."""
    with np.errstate(over="ignore", invalid="ignore"):
        centre = (low / 2 + high / 2) @ layer.weights + layer.bias
        reach = (high / 2 - low / 2) @ np.abs(layer.weights)
        low, high = activate(layer.activation, centre - reach), activate(layer.activation, centre + reach)
    least, greatest = _CODOMAINS.get(layer.activation, (-np.inf, np.inf))
    low = np.maximum(np.where(np.isnan(low), -np.inf, low), least)
    return low, np.minimum(np.where(np.isnan(high), np.inf, high), greatest)


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
    spans = known_of_inputs(network)

    def fit(sizes: Floats) -> npt.NDArray[np.bool_]:
        """Tell of each size whether every tensor stays within the end."""
        low, high = (
            np.where(spans.known, ends, way * sizes[:, None])
            for ends, way in ((spans.low, -1), (spans.high, 1))
        )
        found = np.maximum(-low, high).max(axis=1) <= largest
        for layer in network.layers:
            low, high = _bounds(layer, low, high)
            found &= np.maximum(-low, high).max(axis=1) <= largest
        return np.asarray(found)

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

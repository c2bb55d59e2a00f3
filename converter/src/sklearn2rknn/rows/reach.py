r"""Room in int16's ranges beyond the example: rows that drive every tensor far.

int16 has 15 bits beside the sign, and R2 of 0.9997 takes fewer than 7. Others hold what later rows bring.
With the middle *m* and the half width *h* of each column of the example, ranges are taken from rows of the
box :math:`m \pm 4 h`: those that drive a layer's result farthest. A result follows from many columns at
once, so its range may grow by more than 4; it may grow by 16, which takes 4 bits, and a row that would take
more is moved towards the middle.

Rows are searched for from the example and from rows drawn in the box, by the signs of the gradient, in steps
that grow shorter. Interval arithmetic (`tensor_ranges.propagate`) would be certain, but is too wide by about
the root of the width for each layer.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats
from sklearn2rknn.network.layer import Layer, activate
from sklearn2rknn.network.network import Network, Reach
from sklearn2rknn.network.tensor_ranges import measured_ranges, propagate

REACH = 4.0
"""How many times as far from the middle of each column as the example."""

LESS_REACH = (2.0, 1.0)
"""What is tried after it where a network needs the bits."""

WIDEST = 2.0**4
"""What a tensor's range may grow by, at the cost of four bits for the example's own numbers."""

LARGEST_SUM = 2.0**13
"""Of sums at these rows; the toolkit's int16 ends at 2**14."""

UNITS = 16
"""Units of each layer whose farthest corner is searched for: those of the widest bounds."""

STARTS = 512
STEPS = 2.0 ** -np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5])
"""Of the box's width, by the signs of the gradient: from corner to corner first."""

SHARES = 2.0 ** (-np.arange(0, 32) / 4)


def with_reach(network: Network, rows: Floats, times: float = REACH) -> Network:
    """Return the network with the rows that its ranges are to reach to.

    The network is in its final scales, with no clipped tanh yet. `times` says how many times as far from the
    middle as the example, `rows`, where it is more than 1.
    """
    low, high = rows.min(axis=0), rows.max(axis=0)
    middle, half = low / 2 + high / 2, times * (high / 2 - low / 2)
    if times <= 1 or not half.any() or not np.isfinite(half).all():
        return network
    corners = np.stack([middle - half, middle + half])
    drawn = np.random.default_rng(0).uniform(-1.0, 1.0, (STARTS, len(middle)))
    starts = np.vstack([rows, middle + half * drawn])
    candidates, bounds = list(corners), measured_ranges(network.prepare(corners))
    for i, (layer, results) in enumerate(zip(network.layers, network.activations(starts), strict=True)):
        bounds = propagate(layer, bounds)
        signs = {"relu": (1.0,), "identity": (1.0, -1.0)}.get(layer.activation, ())  # others have an end
        for sign in signs:
            units = np.argsort(-bounds.high if sign > 0 else bounds.low, kind="stable")[:UNITS]
            best = starts[(sign * results[:, units]).argmax(axis=0)]
            candidates.append(_farthest(network, i, _Units(units, sign), best, corners))
    far, share = _fit_corners(network, np.array(candidates), rows, middle)
    return attrs.evolve(network, reach=Reach(far, max(1.0, times * share)))


@attrs.frozen(eq=False)
class _Units:
    """Units of a layer whose greatest (sign 1) or least (sign -1) results are sought."""

    places: npt.NDArray[np.intp]
    sign: float

    def of(self, results: Floats) -> Floats:
        """Return each unit's result in the row of the same number."""
        return np.asarray(self.sign * results[np.arange(len(self.places)), self.places])


def _farthest(network: Network, i: int, units: _Units, at: Floats, corners: Floats) -> Floats:
    """Return the row of the box with the farthest result of units of layer `i`."""
    low, high = corners
    values = units.of(network.activations(at)[i])
    for step in STEPS:
        moves = step * (high - low) * np.sign(_gradients(network, i, units, at))
        tried = np.clip(at + moves, low, high)
        met = units.of(network.activations(tried)[i])
        at = np.where((met > values)[:, None], tried, at)
        values = np.maximum(met, values)
    return np.asarray(at[values.argmax()])


def _gradients(network: Network, i: int, units: _Units, at: Floats) -> Floats:
    """Return the gradient of each unit's sum, by the inputs, at a row of its own."""
    results = network.activations(at)
    gradients = units.sign * network.layers[i].weights[:, units.places].T
    for layer, values in zip(reversed(network.layers[:i]), reversed(results[:i]), strict=True):
        gradients = (gradients * _slope(layer, values)) @ layer.weights.T
    return np.asarray(gradients if network.input is None else gradients * network.input.scale)


def _slope(layer: Layer, values: Floats) -> Floats:
    """Return the derivative of a layer's activation where it gives `values`."""
    if layer.activation == "relu":
        return (values > 0).astype(np.float64)
    if layer.activation == "tanh":
        return 1.0 - values**2
    if layer.activation == "logistic":
        return values * (1.0 - values)
    return np.ones_like(values)


def _fit_corners(network: Network, corners: Floats, rows: Floats, middle: Floats) -> tuple[Floats, float]:
    """Return corners moved inwards until no range grows by more than `WIDEST`.

    And the share of their distance that is left to all of them.
    """
    moved = middle + SHARES[:, None] * (corners - middle)[:, None, :]
    flat = moved.reshape(-1, len(middle))
    fits = np.ones(len(flat), dtype=bool)
    for own, far in zip(_sizes(network, rows), _sizes(network, flat), strict=True):
        largest = own[0].max()
        fits &= (far[0] <= (WIDEST * largest if largest else np.inf)) & (far[1] <= LARGEST_SUM)
    table = fits.reshape(len(corners), len(SHARES))
    kept, first = table.any(axis=1), table.argmax(axis=1)
    return moved[kept, first[kept]], float(SHARES[first].min()) if kept.all() else 0.0


def _sizes(network: Network, rows: Floats) -> list[tuple[Floats, Floats]]:
    """Return each row's largest number and largest sum, in the input and each layer."""
    values = network.prepare(rows)
    largest = np.abs(values).max(axis=1)
    sizes = [(largest, largest)]
    for layer in network.layers:
        sums = values @ layer.weights + layer.bias
        values = activate(layer.activation, sums)
        sizes.append((np.abs(values).max(axis=1), np.abs(sums).max(axis=1)))
    return sizes

"""Equal kernels for integers, which scale small ones beside large ones coarsely.

The register program multiplies a kernel's sum by its step as a share of the largest step of the layer, in
multiples of 2**-14 (2.2.0 to 2.5.0; the simulator multiplies by the real number). A kernel whose weights are
1/240 of another's has a factor of 69 in place of 68.65, so its sum errs by 0.5 %, and at 1/10,000 by a
quarter. Such kernels are common where a relu never fires: large weights and a bias far below 0.

relu and identity let a positive factor through, so large kernels are divided, and the next layer's weights
for them multiplied. That costs bits elsewhere; the derived bound of the network weighs one against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from scirknn.arrays import Floats
from sklearn2rknn.checking.integer_bounds import Steps, kernel_ranges, quantized_output_bound
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network

MIN_STEP_SPREAD = 16.0
"""Ratio of the largest kernel step to the smallest from which on kernels are equalized: it errs by a quarter
of int8's own rounding, for channels of the largest range."""

ROWS = 32
LIMITS = 2.0 ** -np.arange(2, 22, 2)


def equalize_kernels(
    network: Network, rows: Floats, bits: int = 8, then: Callable[[Network], Network] = lambda made: made
) -> Network:
    """Return the function with large kernels divided where that lowers the bound.

    `rows` are example input; `then` is applied to every candidate and to the result: int16's room for biases.
    """
    rows = rows[np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).round().astype(int)]
    values = network.prepare(network.with_far_rows(rows))
    for i in range(len(network.layers) - 1):
        ranges = np.abs(network.activations(rows)[i]).max(axis=0)
        if network.layers[i].activation in ("relu", "identity") and _is_uneven(network.layers[i], ranges):
            best = _expected_error(then(network), values, len(rows), bits)
            for candidate in _candidates(network, i, ranges):
                error = _expected_error(then(candidate), values, len(rows), bits)
                if error < best:
                    best, network = error, candidate
    return then(network)


def _is_uneven(layer: Layer, ranges: Floats) -> bool:
    sizes = kernel_ranges(layer)
    live = (ranges > 0) & (sizes > 0)
    if not live.any():
        return False
    return bool(sizes.max() * (ranges[live] / sizes[live]).max() > MIN_STEP_SPREAD * ranges.max())


def _candidates(network: Network, i: int, ranges: Floats) -> Iterator[Network]:
    """Yield networks with large kernels divided: of all channels, of those always 0."""
    sizes = kernel_ranges(network.layers[i])
    for limit in LIMITS * sizes.max():
        factors = np.maximum(sizes / limit, 1.0)
        yield network.divide_channels(i, factors)
        if (ranges == 0).any():
            yield network.divide_channels(i, np.where(ranges == 0, factors, 1.0))


def _expected_error(network: Network, values: Floats, count: int, bits: int) -> float:
    """Return the mean bound of the first `count` rows; ranges are from all."""
    steps = [_steps(values, bits)]
    current = values
    for layer in network.layers:
        current = layer.forward(current)
        steps.append(_steps(current, bits))
    rows = values[:count]
    return float(quantized_output_bound(network.layers, rows, steps, idle=network.idle).mean())


def _steps(values: Floats, bits: int) -> Steps:
    if bits == 16:  # of a power of two
        return Steps(2.0 ** np.ceil(np.log2(np.abs(values).max() or 1.0)) / 32767, 0, 16)
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    step = (high - low) / 255 or 1.0
    return Steps(step, round(-128 - low / step))

"""Refuse what no rescaling has brought into the range of a number format."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from scirknn.answers import gives_numbers
from scirknn.arrays import Floats
from sklearn2rknn.errors import RangeError
from sklearn2rknn.network.layer import rounded_to_float16
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.tensor_ranges import WEIGHTS, tensor_ranges
from sklearn2rknn.rows.check_rows import choose_rows

FLOAT16_MAX = 65504.0
FLOAT32_MAX = float(np.finfo(np.float32).max)

FLOAT16_NORMAL = 2.0**-14
"""Smallest float16 of 11 bits."""

FLOAT16_TINIEST = 2.0**-25
"""Half the smallest subnormal float16: what is not larger rounds to 0."""


def refuse_overflow(
    network: Network,
    rows: Floats | None,
    largest: float = FLOAT16_MAX,
    results: Sequence[Floats] | None = None,
) -> None:
    """Raise where a weight, a bias or a known range passes `largest`.

    `results` are each layer's for the rows, where they were computed before.

    Raises
    ------
    RangeError
        It names the layer, the range and the cure.
    """
    count = len(network.layers)
    for i, layer in enumerate(network.layers, 1):
        for name, values in (("weights", layer.weights), ("biases", layer.bias)):
            size = float(np.abs(values).max())
            if not size <= largest:
                raise RangeError(
                    f"The {name} of layer {i} of {count} ({layer.activation}) reach {size:.3g}; "
                    f"{_end(largest)}. {_cure(rows)}"
                )
    names = ["Features", *(f"Results of layer {i} of {count}" for i in range(1, count + 1))]
    with np.errstate(over="ignore", invalid="ignore"):
        ranges = tensor_ranges(network, rows, results)
    for name, each in zip(names, ranges, strict=True):
        reached = each.largest[each.known] if rows is None else each.largest
        if len(reached) and not reached.max() <= largest:
            raise RangeError(
                f"{name} reach {reached.max():.3g} ({each.origin or WEIGHTS}); {_end(largest)}. {_cure(rows)}"
            )


def _end(largest: float) -> str:
    return f"{'float16' if largest == FLOAT16_MAX else 'float32'} ends at {largest:.6g}"


def _cure(rows: Floats | None) -> str:
    if rows is None:
        return (
            "Scale X (and y of a regressor) before fit, or give example_input, from which features and "
            "outputs are rescaled."
        )
    return "No rescaling brings it in: scale X (and y of a regressor) before fit, and fit again."


def refuse_starvation(network: Network, rows: Floats | None) -> None:
    """Raise where weights lose so many bits as subnormal float16 that outputs change.

    Raises
    ------
    RangeError
        It names the layer, the range and the cure.
    """
    count = len(network.layers)
    for i, layer in enumerate(network.layers):
        size = float(np.abs(layer.weights).max())
        if not 0 < size < FLOAT16_NORMAL:
            continue
        sample = choose_rows(network, rows, 1).rows
        rounded = attrs.evolve(layer, weights=rounded_to_float16(layer.weights))
        starved = attrs.evolve(network, layers=(*network.layers[:i], rounded, *network.layers[i + 1 :]))
        outputs = network.forward(sample)
        missed = np.abs(starved.forward(sample) - outputs).max(axis=0)
        # What float16 does not resolve of the output's own size is no loss, nor is the spread's hundredth.
        unit = 0.0 if gives_numbers(network) else 1.0
        size_of_outputs = np.maximum(np.abs(outputs).max(axis=0), unit)
        if ((missed > 2.0**-11 * size_of_outputs) & (missed > 0.01 * np.ptp(outputs, axis=0))).any():
            raise RangeError(
                f"The weights of layer {i + 1} of {count} ({layer.activation}) reach {size:.3g} only; "
                f"float16 has fewer than 11 bits below {FLOAT16_NORMAL:.2g} and ends at "
                f"{2 * FLOAT16_TINIEST:.2g}. {_cure(rows)}"
            )

"""The error bound of a file that was built."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats
from sklearn2rknn.checking.arithmetic import DOUBLE, FLOAT16, FLOAT32, FLOAT64, FOLDED, Arithmetic
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.checking.integer_bounds import quantized_output_bound, tensor_count, tensor_steps
from sklearn2rknn.network.network import Network
from virtual_npu import RknnFile

LOW_NUMBERS = 2.0**-9
"""What storing a low number errs by that is the difference of two sums, as a share of their own error."""


def file_bound(
    source: Network,
    network: Network,
    X: npt.ArrayLike,
    file: RknnFile | None = None,
    *,
    per_channel: bool = True,
) -> Floats | None:
    """Bound the error of a built file's outputs, shape (n, n_outputs).

    `source` is the estimator's network and `network` what the toolkit was given, both with or both without
    host steps; `file` holds the steps of an integer precision. Before the output activation, against the
    estimator's own outputs; inf where a number may leave float16. None for an integer file whose tensors are
    not those of the layers.
    """
    own = FLOAT64 if source.dtype == "float64" else FLOAT32
    with np.errstate(over="ignore", invalid="ignore"):
        estimator = output_bound(
            source.layers, source.take(X), own, source.input, source.output, host=own.unit
        )
        rows = network.take(X)
        unpaired = network.unpaired or network
        maps = network.input, network.output
        rescaled = output_bound(unpaired.layers, rows, FOLDED, *maps, host=FOLDED.unit)
        if file is None:
            stored = output_bound(unpaired.layers, rows, _formats(network), *maps, host=2.0**-52)
            stored *= 1 + LOW_NUMBERS * network.high_negated
        else:
            steps = tensor_steps(file)
            if len(steps) != tensor_count(network.layers):
                return None
            stored = quantized_output_bound(
                network.layers,
                rows,
                steps,
                *maps,
                host=2.0**-52,
                per_channel=per_channel,
                idle=network.idle,
            )
        # The weights that round to 0 and were left out; otherwise negligible.
        difference = np.abs(network.forward(X) - source.forward(X))
        total = estimator + difference + rescaled + stored
    total[np.isnan(total)] = np.inf
    return total


def _formats(network: Network) -> list[Arithmetic]:
    """Return the formats of the input and of each layer's result, without pairs."""
    layers = (network.unpaired or network).layers
    is_pair = network.parts > 1
    formats = [DOUBLE if is_pair else FLOAT16]
    for layer in layers:
        # Pairs are carried as far as relus lead.
        is_pair = is_pair and layer.activation in ("relu", "identity")
        formats.append(DOUBLE if is_pair else FLOAT16)
    if network.output_parts == 1:
        formats[-1] = FLOAT16
    return formats

"""The error bound of a file that was built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from scirknn.arrays import Array, Floats
from sklearn2rknn.checking.arithmetic import DOUBLE, FLOAT16, FLOAT32, FLOAT64, FOLDED, Arithmetic
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.checking.integer_bounds import quantized_output_bound, tensor_count, tensor_steps
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from virtual_npu import RknnFile, UnsupportedProgram, cut_layers

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
    estimator's own outputs; inf where a number may leave float16. None for a file whose tensors or parts
    are not those of the layers.
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
        if file is None or _is_float16(file):
            formats = _formats(network)
            try:
                sums = stored_sums(network.layers, unpaired.layers, formats, network.prepare(X), file)
            except UnsupportedProgram:
                return None
            stored = output_bound(unpaired.layers, rows, formats, *maps, host=2.0**-52, stored_sums=sums)
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


_LAYER = re.compile(r"dense_(\d+|low)(?!\d)")
_PAIR_STORED = 2.0**-9
"""Share of the sizes of products by which a stored sum of float16 pairs differs from that of exact ones: a
high number errs by 2**-11 of itself, which the low one takes, and their weights are one rounding apart."""


def _is_float16(file: RknnFile) -> bool:
    """Whether a file computes in float16, not in integers."""
    return bool(file.inputs) and file.inputs[0].dtype == "float16"


def may_store_sums(file: RknnFile) -> bool:
    """Whether a file hands parts of a layer's input to layers of their own."""
    return any(node.type == "Split" for node in file.nodes)


def stored_sums(
    layers: Sequence[Layer],
    undivided: Sequence[Layer],
    formats: Sequence[Arithmetic],
    values: Floats,
    file: RknnFile | None,
) -> list[list[Floats]] | None:
    """Return the magnitudes of the sums that a float16 file stores before those of its layers.

    Parameters
    ----------
    layers, undivided : sequence of Layer
        Of the graph, and the same without float16 pairs.
    formats : sequence of Arithmetic
        Of the input and of each undivided layer's result.
    values : numpy.ndarray of float64, shape (n, n_channels)
        What the graph takes.

    Returns
    -------
    list of list of numpy.ndarray, shape (n, n_units), or None
        As `output_bound` takes them; None where there are none.

    Raises
    ------
    UnsupportedProgram
        It is not known what a stored sum holds.
    """
    cuts = () if file is None else cut_layers(file)
    if not cuts:
        return None
    parts: dict[int, list[Array]] = {}
    for cut in cuts:
        name = _LAYER.search(cut.name)
        place = len(layers) if name is None else len(layers) - 1 if name[1] == "low" else int(name[1])
        if place >= len(layers):
            raise UnsupportedProgram("NPU", "Split", cut.name, "its layer is not known")
        for ranges in cut.stored:
            held = np.concatenate([np.arange(0), *(np.arange(*ends) for ends in ranges)])
            parts.setdefault(place, []).append(held)
    return list(_sizes(layers, undivided, formats, values, parts))


def _sizes(
    layers: Sequence[Layer],
    undivided: Sequence[Layer],
    formats: Sequence[Arithmetic],
    values: Floats,
    parts: Mapping[int, Sequence[Array]],
) -> Iterator[list[Floats]]:
    """Yield the sizes for each undivided layer; `parts` are the channels that the sums of a layer hold."""
    rest = list(enumerate(layers))
    for i, (layer, target) in enumerate(zip(undivided, formats[1:], strict=True)):
        # A pair has a layer for its high number and one for its low one; added outputs have one for both.
        count = len(rest) if i + 1 == len(undivided) else 2 if target is DOUBLE else 1
        units, sizes = len(layer.bias), list[Floats]()
        for step in range(count):
            place, computing = rest.pop(0)
            columns = slice(step * units, (step + 1) * units)
            weights, bias = computing.weights[:, columns], computing.bias[columns]
            for channels in parts.get(place, ()):
                held = channels[channels < len(weights)]
                part = values[:, held] @ weights[held]
                size = np.maximum(np.abs(part), np.abs(part + bias))  # it may hold the bias
                if formats[0] is DOUBLE:
                    size += _PAIR_STORED * (np.abs(values) @ np.abs(weights) + np.abs(bias))
                sizes.append(size)
            values = computing.forward(values)
        yield sizes

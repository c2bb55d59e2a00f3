"""Choose the rows from which the toolkit takes the ranges of a model of integers."""

from __future__ import annotations

import warnings

import numpy as np

from scirknn.answers import final_values
from scirknn.arrays import Floats
from scirknn.bundle.input_range import InputRange
from sklearn2rknn.errors import ExampleInputWarning
from sklearn2rknn.network.network import Network

STRETCH = 1.1
"""How far beyond the example's extreme rows the ranges reach: rows met later lie outside too."""


def calibration_rows(network: Network, rows: Floats, count: int, seed: int) -> Floats:
    """Return up to 1.5 `count` rows that cover what the network meets.

    Up to half of `count` are extreme: they hold the largest or smallest value of some tensor or channel, the
    features among them. The others are drawn with `seed`. The extreme ones appear once more, moved away from
    the mean of all rows by a tenth. `network` is what the toolkit is given, `rows` the example input.
    """
    extreme = _extreme_rows(network, rows)[: max(1, count // 2)]
    drawn = np.random.default_rng(seed).permutation(len(rows))
    chosen = list(dict.fromkeys([*extreme, *drawn.tolist()]))[:count]
    middle = rows.mean(axis=0)
    return network.with_far_rows(np.vstack([rows[chosen], middle + STRETCH * (rows[extreme] - middle)]))


def _extreme_rows(network: Network, rows: Floats) -> list[int]:
    """Return the rows with the extremes of each tensor, then of each channel."""
    tensors = [network.prepare(rows), *network.activations(rows)]
    extreme = [tensor.argmax() // tensor.shape[1] for tensor in tensors]
    extreme += [tensor.argmin() // tensor.shape[1] for tensor in tensors]
    for tensor in tensors:
        extreme += [*tensor.argmax(axis=0), *tensor.argmin(axis=0)]
    return list(dict.fromkeys(int(row) for row in extreme))


def input_range(source: Network, network: Network, rows: Floats) -> InputRange:
    """Return the range of each input that the model is calibrated for.

    `source` is the estimator's network with its host steps, `network` what the toolkit is given, and `rows`
    the example input as the layers of `source` take it.
    """
    middle = rows.mean(axis=0)
    ends = np.stack([rows.min(axis=0), rows.max(axis=0)])
    ends = middle + STRETCH * (ends - middle)
    room = 1.0 if network.reach is None else round(network.reach.room, 2)
    if source.input is not None:
        ends = ends / source.input.scale + source.input.offset
    return InputRange(ends.min(axis=0), ends.max(axis=0), len(rows), room)


def warn_of_poor_rows(network: Network, source: Network, rows: Floats) -> None:
    """Warn of classes and columns that the example input of integers lacks.

    `network` is the estimator's, and `source` without host steps.

    Warns
    -----
    ExampleInputWarning
    """
    if source.task == "classifier" and source.classes is not None:
        met = set(source.predict(final_values(source, source.forward(rows), rows)).tolist())
        missing = [str(label) for i, label in enumerate(source.classes.tolist()) if i not in met]
        if missing:
            names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            warnings.warn(
                f"No row of example_input is classified as {names}. The ranges of every layer are taken from "
                "these rows, and what such a row needs may be cut off; give rows of every class.",
                ExampleInputWarning,
                stacklevel=4,
            )
    _warn_of_constant_columns(network, rows)


def _warn_of_constant_columns(source: Network, rows: Floats) -> None:
    """Warn of inputs that never vary in the example and yet count."""
    constant = (rows == rows[0]).all(axis=0) & source.layers[0].weights.any(axis=1)
    if len(rows) > 1 and constant.any():
        columns = [str(column) for column in np.flatnonzero(constant)]
        named = ", ".join(columns[:5]) + (f", ... ({len(columns)} of them)" if len(columns) > 5 else "")
        what = "column" if source.columns is None else "the network's input"
        warnings.warn(
            f"example_input has one value only in {what} {named}. Other values are cut off where they leave "
            "the range of the other columns; give rows in which it varies, or drop it before fit.",
            ExampleInputWarning,
            stacklevel=5,
        )

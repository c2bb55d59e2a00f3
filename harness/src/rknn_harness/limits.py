"""Which limits each stage of a case is held to.

float32 (the ONNX stage)
    derived.
float16
    derived; for a data set's classifier also probabilities within 2e-3 (1e-2 behind tanh or logistic) and
    labels wherever the top two probabilities differ by more than 0.005.
int8
    derived; for a data set also 98 % of labels, or an R2 of 0.97. Where the file's tensors are not those of
    the layers there is nothing to derive from, and a random network is held to probabilities within 0.25 or
    an R2 of 0.5.
int16
    the same with 99 % of labels, or an R2 of 0.999; with probabilities within 0.05 or an R2 of 0.99.

Labels that a derived bound settles must be equal in every case. A random network's rows lie anywhere, so
shares of labels say little of it, and the derived bound says all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from rknn_harness.bounds import (
    FLOAT16,
    FLOAT32,
    output_bound,
    quantized_output_bound,
    tensor_count,
    tensor_steps,
)
from rknn_harness.judge import Limits
from rknn_harness.outcomes import Stage
from rknn_harness.reference import Floats, Layer, Reference
from scirknn.bundle import Bundle
from virtual_npu import RknnFile

__all__ = ["limits_for"]

_ON_NPU = (Stage.SIMULATOR, Stage.VIRTUAL_NPU, Stage.BOARD)


def limits_for(
    reference: Reference,
    kind: str,
    precision: str,
    bundle: Bundle,
    layers: Sequence[Layer],
    files: Sequence[RknnFile],
    idle: Floats | None = None,
) -> Mapping[Stage, Limits]:
    """Return the limits of every stage after scikit-learn.

    Parameters
    ----------
    reference : Reference
    kind : {"dataset", "random"}
    precision : {"float16", "int8", "int16"}
    bundle : scirknn.Bundle
        What is left to the host.
    layers : sequence of Layer
        What the toolkit was given.
    files : sequence of virtual_npu.RknnFile
        The bundle's model files.
    idle : numpy.ndarray or None
        The first layer's weights on channels that are always 0: see `witness.idle_weights`.
    """
    before, after = bundle.input, bundle.output
    X = reference.X
    graph = output_bound(layers, X, FLOAT32, before, after)
    exact = Limits("derived, float32", output=graph)
    if precision == "float16":
        coarse = Limits("derived, float16", output=graph + output_bound(layers, X, FLOAT16, before, after))
        if kind == "dataset" and reference.task == "classifier":
            curved = reference.activation in ("tanh", "logistic")
            coarse = attrs.evolve(
                coarse,
                basis="derived and fixed, float16",
                probability=1e-2 if curved else 2e-3,
                margin=0.005,
            )
    else:
        steps = [tensor_steps(file) for file in files]
        fits = all(len(each) == tensor_count(layers) for each in steps)
        bound = None
        if fits:
            # Files of several sizes are calibrated apart; a row may pass through any of them.
            bound = graph + np.max(
                [quantized_output_bound(layers, X, each, before, after, idle=idle) for each in steps], axis=0
            )
        agreement, r2 = (0.98, 0.97) if precision == "int8" else (0.99, 0.999)
        if kind == "dataset":
            basis = "derived and agreement" if fits else "agreement"
            coarse = Limits(f"{basis}, {precision}", output=bound, agreement=agreement, r2=r2)
        elif fits:
            coarse = Limits(f"derived, {precision}", output=bound)
        else:
            probability, r2 = (0.25, 0.5) if precision == "int8" else (0.05, 0.99)
            coarse = Limits(f"coarse, {precision}", probability=probability, r2=r2)
    return {Stage.ONNX: exact, **dict.fromkeys(_ON_NPU, coarse)}

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
    99 % of labels, or an R2 of 0.999: agreement alone.

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
    tensor_steps,
)
from rknn_harness.judge import Limits
from rknn_harness.outcomes import Stage
from rknn_harness.reference import Layer, Reference
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
    elif precision == "int8":
        steps = [tensor_steps(file) for file in files]
        fits = all(len(each) == len(layers) + 1 for each in steps)
        bound = None
        if fits:
            # Files of several sizes are calibrated apart; a row may pass through any of them.
            bound = graph + np.max(
                [quantized_output_bound(layers, X, each, before, after) for each in steps], axis=0
            )
        if kind == "dataset":
            basis = "derived and agreement, int8" if fits else "agreement, int8"
            coarse = Limits(basis, output=bound, agreement=0.98, r2=0.97)
        elif fits:
            coarse = Limits("derived, int8", output=bound)
        else:
            coarse = Limits("coarse, int8", probability=0.25, r2=0.5)
    else:
        coarse = Limits("agreement, int16", agreement=0.99, r2=0.999)
    return {Stage.ONNX: exact, **dict.fromkeys(_ON_NPU, coarse)}

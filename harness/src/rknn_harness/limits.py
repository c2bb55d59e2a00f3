"""Which limits each stage of a case is held to.

float32 (the ONNX stage)
    derived.
float16
    derived; for a data set's classifier also probabilities within 2e-3 (1e-2 behind tanh or logistic) and
    labels wherever the top two probabilities differ by more than 0.005.
int8, int16
    derived; for a data set also 98 % (99 %) of labels, or an R2 of 0.97 (0.999). Where the file's tensors are
    not those of the layers there is nothing to derive from, and a random network is held to probabilities
    within 0.25 or an R2 of 0.5 (0.05, 0.99).

Labels that a derived bound settles must be equal in every case. A random network's rows lie anywhere, so
shares of labels say little of it, and the derived bound says all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from rknn_harness.bounds import (
    DOUBLE,
    FLOAT16,
    FLOAT32,
    output_bound,
    quantized_output_bound,
    tensor_count,
    tensor_steps,
)
from rknn_harness.judge import Limits
from rknn_harness.outcomes import Stage
from rknn_harness.reference import Floats, Reference
from rknn_harness.toolkit_graph import ToolkitGraph
from scirknn.bundle import Bundle
from virtual_npu import RknnFile

__all__ = ["limits_for"]

_ON_NPU = (Stage.SIMULATOR, Stage.VIRTUAL_NPU, Stage.BOARD)

_AGREEMENT = {"int8": (0.98, 0.97), "int16": (0.99, 0.999)}
"""Share of labels and R2 that an integer precision must reach on real data."""

_COARSE = {"int8": (0.25, 0.5), "int16": (0.05, 0.99)}
"""Error of a probability and R2 that a random network is held to where no bound can be derived."""


def limits_for(
    reference: Reference,
    kind: str,
    precision: str,
    bundle: Bundle,
    graph: ToolkitGraph,
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
    graph : ToolkitGraph
        What the toolkit was given.
    files : sequence of virtual_npu.RknnFile
        The bundle's model files.
    """
    X, maps = reference.X, (bundle.input, bundle.output)
    exact = output_bound(graph.layers, X, FLOAT32, *maps)
    if precision == "float16":
        formats = [DOUBLE if split else FLOAT16 for split in graph.split]
        bound: Floats | None = exact + output_bound(graph.undivided, X, formats, *maps)
        coarse = Limits("derived, float16", output=bound)
        if kind == "dataset" and reference.task == "classifier":
            curved = reference.activation in ("tanh", "logistic")
            coarse = attrs.evolve(
                coarse,
                basis="derived and fixed, float16",
                probability=1e-2 if curved else 2e-3,
                margin=0.005,
            )
    else:
        steps, bound = [tensor_steps(file) for file in files], None
        if all(len(each) == tensor_count(graph.layers) for each in steps):
            # Files of several sizes are calibrated apart; a row may pass through any of them.
            bound = exact + np.max(
                [quantized_output_bound(graph.layers, X, each, *maps, idle=graph.idle) for each in steps],
                axis=0,
            )
        agreement, r2 = _AGREEMENT[precision]
        if kind == "dataset":
            basis = f"agreement, {precision}" if bound is None else f"derived and agreement, {precision}"
            coarse = Limits(basis, output=bound, agreement=agreement, r2=r2)
        elif bound is not None:
            coarse = Limits(f"derived, {precision}", output=bound)
        else:
            probability, r2 = _COARSE[precision]
            coarse = Limits(f"coarse, {precision}", probability=probability, r2=r2)
    return {
        Stage.ONNX: Limits("derived, float32", output=exact),
        **dict.fromkeys(_ON_NPU, coarse),
    }

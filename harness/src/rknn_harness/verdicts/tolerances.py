"""Which limits each stage of a case is held to.

float32 (the ONNX stage)
    derived.
float16, int8, int16
    derived; and what the converter promises of the precision (`sklearn2rknn.tolerances`), where the rows are
    like those that the file was converted with: those of a data set.

A random network's rows lie anywhere, so shares of labels say little of it, and the derived bound says all.
Where an integer file's tensors are not those of the layers there is nothing to derive from, and it is held to
the promise too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from rknn_harness.records.outcomes import Stage
from rknn_harness.verdicts.judge import Limits
from rknn_harness.verdicts.onnx_layers import ToolkitGraph
from rknn_harness.verdicts.reference import Floats, Reference
from scirknn.bundle import Bundle
from sklearn2rknn.checking.arithmetic import DOUBLE, FLOAT16, FLOAT32
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.checking.integer_bounds import quantized_output_bound, tensor_count, tensor_steps
from sklearn2rknn.tolerances import promises
from virtual_npu import RknnFile

__all__ = ["Built", "given_limits", "limits_for"]

_ON_NPU = (Stage.SIMULATOR, Stage.VIRTUAL_NPU, Stage.BOARD)


@attrs.frozen(eq=False)
class Built:
    """What a conversion made.

    Attributes
    ----------
    bundle : scirknn.Bundle
        What is left to the host.
    graph : ToolkitGraph
        What the toolkit was given.
    files : sequence of virtual_npu.RknnFile
        The bundle's model files.
    """

    bundle: Bundle
    graph: ToolkitGraph
    files: Sequence[RknnFile]


def limits_for(
    reference: Reference,
    built: Built,
    judged: np.ndarray[tuple[int], np.dtype[np.int_]],
    *,
    is_promised: bool,
) -> Mapping[Stage, Limits]:
    """Return the limits of every stage after scikit-learn.

    Parameters
    ----------
    reference : Reference
    built : Built
    judged : numpy.ndarray of int
        Rows that the file was not built from, on which shares and R2 are counted.
    is_promised : bool
        Whether the rows are like those that the file was converted with.
    """
    maps = built.bundle.input, built.bundle.output
    exact = output_bound(built.graph.layers, reference.inputs, FLOAT32, *maps)
    bound = _bound(reference, built)
    total = None if bound is None else exact + bound
    counted = np.isin(np.arange(len(reference.X)), judged)
    on_npu = Limits(f"derived, {built.bundle.precision}", output=total, counted=counted)
    if is_promised or bound is None:
        on_npu = _promised(on_npu, reference, built.bundle)
    return {
        Stage.ONNX: Limits("derived, float32", output=exact, counted=counted),
        **dict.fromkeys(_ON_NPU, on_npu),
    }


def given_limits(reference: Reference, bundle: Bundle) -> Mapping[Stage, Limits]:
    """Return the limits of a bundle that was converted before: what is promised of it, on all rows.

    No error bound is derived, since the graph that the toolkit was given is not part of a bundle.
    """
    return dict.fromkeys(_ON_NPU, _promised(Limits(""), reference, bundle))


def _promised(limits: Limits, reference: Reference, bundle: Bundle) -> Limits:
    """Add to limits what is promised of a bundle.

    The bundle says which of the float16 promises it has; others than those of the converter mean nothing.
    """
    possible = promises(bundle.precision, [reference.activation])
    stated = bundle.details.get("promise", {}).get("probability")
    promised = next((each for each in possible if each.probability == stated), possible[0])
    count = len(reference.X) if limits.counted is None else int(limits.counted.sum())
    derived = "" if limits.output is None else "derived and "
    return attrs.evolve(
        limits,
        basis=f"{derived}promised, {bundle.precision}",
        probability=promised.probability,
        margin=promised.margin,
        agreement=promised.labels_of(count),
        r2=promised.r2,
    )


def _bound(reference: Reference, built: Built) -> Floats | None:
    """Return what the file's arithmetic may err by; None where its tensors are not those of the layers."""
    graph, maps = built.graph, (built.bundle.input, built.bundle.output)
    if built.bundle.precision == "float16":
        formats = [DOUBLE if split else FLOAT16 for split in graph.split]
        return output_bound(graph.undivided, reference.inputs, formats, *maps)
    steps = [tensor_steps(file) for file in built.files]
    if any(len(each) != tensor_count(graph.layers) for each in steps):
        return None
    # Files of several sizes are calibrated apart; a row may pass through any of them.
    bounds = [
        quantized_output_bound(graph.layers, reference.inputs, each, *maps, idle=graph.idle) for each in steps
    ]
    return np.asarray(np.max(bounds, axis=0))

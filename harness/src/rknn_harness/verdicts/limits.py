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
from rknn_harness.records.stage_metrics import StageLimits
from rknn_harness.verdicts.reference import Reference
from scirknn.arrays import Array, Floats
from scirknn.bundle import Bundle
from sklearn2rknn.passes.toolkit_graph import ToolkitGraph
from sklearn2rknn.tolerances import FEWEST_ROWS, promises
from virtual_npu import RknnFile

_ON_NPU = (Stage.SIMULATOR, Stage.VIRTUAL_NPU, Stage.BOARD)


@attrs.frozen(eq=False)
class Limits:
    """What a stage is held to; None where a limit does not apply.

    Attributes
    ----------
    basis : str
        Where the limits come from, for people.
    output : numpy.ndarray or None, shape (n, n_outputs)
        Largest error of each entry of the output before the output activation.
    probability : float or None
        Largest error of any probability.
    margin : float or None
        Labels must be equal where the top two probabilities differ by more; for several labels at once, where
        each probability is further than half of it from 0.5. With `output` alone the margin is derived from
        it.
    agreement : float or None
        Least share of equal labels, near ties counted as equal.
    r2 : float or None
        Least coefficient of determination of the predictions, scikit-learn's own taken as the truth.
    counted : numpy.ndarray of bool or None, shape (n,)
        Rows that shares and R2 are counted on: those that the file was not built from. None for all.
    """

    basis: str
    output: Floats | None = None
    probability: float | None = None
    margin: float | None = None
    agreement: float | None = None
    r2: float | None = None
    counted: Array | None = None

    def recorded(self) -> StageLimits:
        """Return what a record holds of them."""
        bound = None if self.output is None else (float(self.output.min()), float(self.output.max()))
        finite = bound is not None and bool(np.isfinite(bound).all())
        return StageLimits(
            bound if finite else None, self.probability, self.margin, agreement=self.agreement, r2=self.r2
        )

    def take(self, rows: Array) -> Limits:
        """Return the limits of some of the rows."""
        output = None if self.output is None else self.output[rows]
        counted = None if self.counted is None else self.counted[rows]
        return attrs.evolve(self, output=output, counted=counted)

    def rows_to_count(self, count: int) -> Array:
        """Return which of `count` rows shares and R2 are counted on: none where there are too few."""
        if self.counted is None:
            return np.ones(count, bool)
        return self.counted if self.counted.sum() >= FEWEST_ROWS else np.zeros(count, bool)


def limits_for(
    reference: Reference, graph: ToolkitGraph, files: Sequence[RknnFile], judged: Array, *, is_promised: bool
) -> Mapping[Stage, Limits]:
    """Return the limits of every stage after scikit-learn.

    Parameters
    ----------
    reference : Reference
    graph : ToolkitGraph
        What the toolkit was given.
    files : sequence of virtual_npu.RknnFile
        The bundle's model files.
    judged : numpy.ndarray of int
        Rows that the file was not built from, on which shares and R2 are counted.
    is_promised : bool
        Whether the rows are like those that the file was converted with.
    """
    precision = graph.bundle.precision
    exact = graph.float32_bound(reference.inputs)
    bound = graph.file_bound(reference.inputs, files)
    counted = np.isin(np.arange(len(reference.X)), judged)
    total = None if bound is None else exact + bound
    on_npu = Limits(f"derived, {precision}", output=total, counted=counted)
    if is_promised or bound is None:
        on_npu = _promised(on_npu, reference, graph.bundle)
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
    """Add the promise that the bundle states, or the best of its precision."""
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

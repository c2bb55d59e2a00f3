"""Run a built file, stage by stage, and compare its outputs with the estimator's."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import numpy.typing as npt

import virtual_npu
from scirknn.answers import final_values
from scirknn.arrays import Floats
from scirknn.probe_rows import ProbeRows
from scirknn.steps.step import carry_steps
from sklearn2rknn.checking.agreement import Agreement, agreement, expected_behind_steps
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.checking.file_bound import file_bound, may_store_sums
from sklearn2rknn.checking.probe_rows import draw_rows, probe_rows
from sklearn2rknn.errors import CheckError
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels, unpack
from sklearn2rknn.network.onnx_session import onnx_session
from sklearn2rknn.rows.check_rows import CheckInput
from virtual_npu import RknnFile

EPILOGUE_ROUNDING = 2.0**-40
"""Share of a value that the epilogue's own float64 may err by: some thousand sums and products."""

LOOKUP_ROWS = 16
"""Rows on which the readings of lookups are compared: more would take a share of the check's time."""

NO_TABLE = "EW_LUT_BYPASS", 0
"""What the virtual NPU names where a program looks up a table that it has never uploaded."""


@attrs.frozen(eq=False)
class GraphRuns:
    """Rows as a graph of a batch size takes them, and how it does on them in float32, before it is built.

    Attributes
    ----------
    runs : numpy.ndarray of float32, shape (runs, *input shape)
    agreement : Agreement
    """

    runs: npt.NDArray[np.float32]
    agreement: Agreement

    @classmethod
    def of(cls, model: bytes, runs: npt.NDArray[np.float32], expected: Expected) -> GraphRuns:
        """Run a serialised graph, and compare its outputs.

        Raises
        ------
        CheckError
            An output is not finite.
        """
        session = onnx_session(model)
        outputs = np.stack([session.run(None, {"x": run})[0] for run in runs])
        return cls(runs, _compare(expected, outputs, "float32 graph"))

    @property
    def batch_size(self) -> int:
        """Rows of a run: with convolutions and without the last axis but one."""
        return int(self.runs.shape[-2])


@attrs.frozen(eq=False)
class Bounds:
    """Derived error bounds.

    Attributes
    ----------
    rows : numpy.ndarray or None
        Of each output of the rows that are checked, shape (n, n_outputs).
    probe : ProbeRows or None
        Rows by which a runtime is verified, with theirs.
    """

    rows: Floats | None
    probe: ProbeRows | None


@attrs.frozen(eq=False)
class Expected:
    """What files are compared with on the same rows, computed while the toolkit builds the first of them.

    Attributes
    ----------
    source, network : Network
        The estimator's, and what the toolkit was given.
    checked : CheckInput
    reference, values : numpy.ndarray, shapes (n, n_outputs) and (n, n_values)
        The estimator's own outputs for the rows, and behind the epilogue.
    alike, alike_values : numpy.ndarray
        The same for more rows of the kind.
    bounds : Bounds or None
        None where they take a file; a float16 file that stores sums of parts has others.
    """

    source: Network
    network: Network
    checked: CheckInput
    reference: Floats
    values: Floats
    alike: Floats
    alike_values: Floats
    bounds: Bounds | None


def expect(source: Network, network: Network, checked: CheckInput, *, is_float16: bool = True) -> Expected:
    """Compute what files are compared with.

    Parameters
    ----------
    source, network : Network
        The estimator's, and what the toolkit is given.
    is_float16 : bool
        Whether the file computes in float16, not in integers.
    """
    rows, alike = checked.rows, checked.alike
    reference, outputs = source.forward(rows), source.forward(alike)
    return Expected(
        source=source,
        network=network,
        checked=checked,
        reference=reference,
        values=final_values(source, reference, rows),
        alike=outputs,
        alike_values=final_values(source, outputs, alike),
        bounds=_bound_errors(source, network, rows) if is_float16 else None,
    )


def run_check(
    expected: Expected,
    graph: GraphRuns,
    content: RknnFile | str,
    simulated: Callable[[], npt.NDArray[np.float32]],
    *,
    per_channel: bool = True,
) -> CheckResult:
    """Compare what a file computes with the estimator's numbers, stage by stage.

    Parameters
    ----------
    graph : GraphRuns
        Of the file's batch size, with the rows of `expected`.
    content : RknnFile or str
        The file, or why it cannot be read.
    simulated : callable
        Waits for the simulator's outputs, shape (runs, 1, K, N, 1) or (runs, N, K). It is called last: the
        virtual NPU runs beside the simulator.
    per_channel : bool
        Whether an integer file's weights have a step per output channel.

    Raises
    ------
    CheckError
        An output is not finite, or the program looks up a table that it never uploads.
    """
    source, network, checked = expected.source, expected.network, expected.checked
    bounds = expected.bounds or Bounds(None, None)
    if not isinstance(content, str) and (expected.bounds is None or may_store_sums(content)):
        bounds = _bound_errors(source, network, checked.rows, content, per_channel=per_channel)
    bound = bounds.rows
    stages = {"onnx": graph.agreement}
    unavailable, lookups = {}, {}
    emulated = _emulate(content, graph.runs)
    if isinstance(emulated, str):
        unavailable["virtual_npu"] = emulated
    else:
        stages["virtual_npu"] = _compare(expected, emulated.outputs, "virtual NPU", bound)
        lookups = virtual_npu.lookup_choices(emulated.npu, graph.runs[0], LOOKUP_ROWS)
    stages["simulator"] = _compare(expected, simulated(), "simulator", bound)
    return CheckResult(
        input=checked.source,
        rows=len(checked.rows),
        held_out=checked.held_out,
        batch_size=graph.batch_size,
        bound=None if bound is None else float(bound.max()),
        stages=stages,
        unavailable=unavailable,
        lookups=lookups,
        probe=bounds.probe,
    )


def _bound_errors(
    source: Network, network: Network, rows: Floats, file: RknnFile | None = None, *, per_channel: bool = True
) -> Bounds:
    """Return the error bounds, those of float16 without a file where it stores no sums of parts.

    The NPU's own output activation has none.
    """
    if network.head_on_npu:
        return Bounds(None, None)
    drawn = draw_rows(rows, input_channels(network) + source.n_outputs)
    bound = file_bound(source, network, np.vstack([rows, drawn]), file, per_channel=per_channel)
    if bound is None:
        return Bounds(None, None)
    own, others = bound[: len(rows)], bound[len(rows) :]
    is_probed = network.form == "conv"
    return Bounds(own, probe_rows(source, network, drawn, others) if is_probed else None)


@attrs.frozen(eq=False)
class _Emulated:
    """The virtual NPU with a file, and its outputs of all runs."""

    npu: virtual_npu.VirtualNpu
    outputs: npt.NDArray[np.float32]


def _emulate(content: RknnFile | str, runs: npt.NDArray[np.float32]) -> _Emulated | str:
    """Return the virtual NPU's outputs, or why it cannot execute the file."""
    if isinstance(content, str):
        return content
    try:
        npu = virtual_npu.VirtualNpu(content)
        return _Emulated(npu, np.stack([npu.run(run) for run in runs]))
    except virtual_npu.UnsupportedProgram as error:
        if (error.register, error.value) == NO_TABLE:
            raise CheckError(
                "check",
                "the file uses a lookup table that it never loads; the simulator does not detect this "
                f"({error}).",
                advice="Take precision='float16' or 'int8'.",
            ) from error
        return str(error)


def _compare(
    expected: Expected, runs: npt.NDArray[np.float32], stage: str, bound: Floats | None = None
) -> Agreement:
    source, rows, reference = expected.source, expected.checked.rows, expected.reference
    outputs = expected.network.finish(unpack(runs, len(reference)))
    _refuse_infinity(outputs, stage)
    values = final_values(source, outputs, rows)
    result = agreement(
        source, values, expected.values, behind_head=source.head_on_npu, alike=expected.alike_values
    )
    if result.expected_labels is not None and any(each.stretches for each in source.epilogue):
        share = expected_behind_steps(source, expected.alike, outputs - reference, expected.checked.alike)
        result = attrs.evolve(result, expected_labels=share)
    if bound is None:
        return result
    shares = [_share(outputs - reference, bound)]
    if source.epilogue:
        _, carried = carry_steps(source.epilogue, reference, bound, rows)
        shares.append(_share(values - expected.values, carried + EPILOGUE_ROUNDING * np.abs(expected.values)))
    return attrs.evolve(result, bound_share=max(shares))


def _refuse_infinity(outputs: Floats, stage: str) -> None:
    wrong = ~np.isfinite(outputs)
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        raise CheckError(
            "check",
            f"{np.count_nonzero(wrong)} of {wrong.size} outputs are NaN or infinite on the {stage}, "
            f"the first at row {row}, output {column}: numbers leave the range of float16 inside the "
            "network.",
            advice="Give example_input, from which features and outputs are rescaled, or scale X and y "
            "before fit.",
        )


def _share(errors: Floats, bound: Floats) -> float:
    """Return the largest error as a share of its own bound."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nan_to_num(np.abs(errors) / bound).max())

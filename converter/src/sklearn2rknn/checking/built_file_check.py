"""Run a built file, stage by stage, and compare its outputs with the estimator's."""

from __future__ import annotations

import functools

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
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.checking.probe_rows import draw_rows, probe_rows
from sklearn2rknn.errors import CheckError
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels, onnx_from_network, pack, unpack
from sklearn2rknn.network.onnx_session import onnx_session
from sklearn2rknn.rows.check_rows import CheckInput
from virtual_npu import RknnFile

__all__ = ["FileUnderCheck", "run_check"]

EPILOGUE_ROUNDING = 2.0**-40
"""Share of a value that the epilogue's own float64 may err by: some thousand sums and products."""

LOOKUP_ROWS = 16
"""Rows on which the readings of lookups are compared: more would take a share of the check's time."""

NO_TABLE = "EW_LUT_BYPASS", 0
"""What the virtual NPU names where a program looks up a table that it has never uploaded."""


@attrs.frozen(eq=False)
class FileUnderCheck:
    """A built file.

    Attributes
    ----------
    content : RknnFile or str
        The file, or why it cannot be read.
    simulated : numpy.ndarray of float32, shape (runs, 1, K, N, 1) or (runs, N, K)
        The simulator's outputs.
    batch_size : int
    is_float16 : bool
        Whether it computes in float16, not in integers.
    per_channel : bool
        Whether its weights have a step per output channel.
    """

    content: RknnFile | str
    simulated: npt.NDArray[np.float32]
    batch_size: int
    is_float16: bool = True
    per_channel: bool = True


def run_check(source: Network, network: Network, checked: CheckInput, file: FileUnderCheck) -> CheckResult:
    """Compare what a file computes with the estimator's numbers, stage by stage.

    Parameters
    ----------
    source, network : Network
        The estimator's, and what the toolkit was given.

    Raises
    ------
    CheckError
        An output is not finite, or the program looks up a table that it never uploads.
    """
    judge = _Judge(source, network, checked)
    bound = _bound(source, network, checked.rows, file)
    runs = pack(network.prepare(checked.rows), input_channels(network), file.batch_size, network.form)
    session = onnx_session(onnx_from_network(network, file.batch_size).SerializeToString())
    exact = np.stack([session.run(None, {"x": run})[0] for run in runs])
    stages = {
        "onnx": judge.compare(exact, "float32 graph"),
        "simulator": judge.compare(file.simulated, "simulator", bound),
    }
    unavailable, lookups = {}, {}
    emulated = _emulate(file.content, runs)
    if isinstance(emulated, str):
        unavailable["virtual_npu"] = emulated
    else:
        stages["virtual_npu"] = judge.compare(emulated.outputs, "virtual NPU", bound)
        lookups = virtual_npu.lookup_choices(emulated.npu, runs[0], LOOKUP_ROWS)
    largest = None if bound is None else float(bound.max())
    return CheckResult(
        input=checked.source,
        rows=len(checked.rows),
        held_out=checked.held_out,
        batch_size=file.batch_size,
        bound=largest,
        stages=stages,
        unavailable=unavailable,
        lookups=lookups,
        probe=_probe(source, network, checked.rows, file),
    )


def _probe(source: Network, network: Network, rows: Floats, file: FileUnderCheck) -> ProbeRows | None:
    drawn = draw_rows(rows, input_channels(network) + source.n_outputs)
    bound = _bound(source, network, drawn, file) if network.form == "conv" else None
    return None if bound is None else probe_rows(source, network, drawn, bound)


def _bound(source: Network, network: Network, rows: Floats, file: FileUnderCheck) -> Floats | None:
    if network.head_on_npu:
        return None  # the NPU's own output activation has no bound
    if file.is_float16:
        return file_bound(source, network, rows)
    if isinstance(file.content, str):
        return None
    return file_bound(source, network, rows, file.content, per_channel=file.per_channel)


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


@attrs.frozen(eq=False)
class _Judge:
    """Compares outputs with the reference on the checked rows."""

    source: Network
    network: Network
    checked: CheckInput

    @functools.cached_property
    def reference(self) -> Floats:
        """The estimator's own outputs."""
        return self.source.forward(self.checked.rows)

    @functools.cached_property
    def alike(self) -> Floats:
        """The values of more rows of the kind."""
        rows = self.checked.alike
        return final_values(self.source, self.source.forward(rows), rows)

    def compare(self, runs: npt.NDArray[np.float32], stage: str, bound: Floats | None = None) -> Agreement:
        source, rows = self.source, self.checked.rows
        outputs = self.network.finish(unpack(runs, len(self.reference)))
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
        values, expected = final_values(source, outputs, rows), final_values(source, self.reference, rows)
        result = agreement(source, values, expected, behind_head=source.head_on_npu, alike=self.alike)
        if result.expected_labels is not None and any(each.stretches for each in source.epilogue):
            alike = self.checked.alike
            expected_share = expected_behind_steps(
                source, source.forward(alike), outputs - self.reference, alike
            )
            result = attrs.evolve(result, expected_labels=expected_share)
        if bound is None:
            return result
        shares = [_share(outputs - self.reference, bound)]
        if source.epilogue:
            _, carried = carry_steps(source.epilogue, self.reference, bound, rows)
            shares.append(_share(values - expected, carried + EPILOGUE_ROUNDING * np.abs(expected)))
        return attrs.evolve(result, bound_share=max(shares))


def _share(errors: Floats, bound: Floats) -> float:
    """Return the largest error as a share of its own bound."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nan_to_num(np.abs(errors) / bound).max())

"""Run a built file before it is handed over, and say whether it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

import virtual_npu
from sklearn2rknn.checking.agreement import agreement
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.errors import CheckError
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels, onnx_from_network, pack, unpack
from sklearn2rknn.network.onnx_session import onnx_session
from sklearn2rknn.network.ranges import Floats
from sklearn2rknn.rows.check_rows import SEED, CheckInput
from sklearn2rknn.tolerances import SAFETY, Requirement
from virtual_npu import RknnFile

__all__ = ["CHECKS", "is_beyond_bound", "last_word", "run_check", "shortfall"]

CHECKS = ("on", "warn", "off")
"""Refuse what falls below the limits, warn of it, or run nothing."""


def shortfall(check: Mapping[str, Any], required: Requirement) -> str:
    """Return where a check falls below what is required, the derived bound included, or an empty text."""
    found = last_word(check)
    if is_beyond_bound(check):
        return f"an output errs by {found['bound_share']:.3g} times what the arithmetic allows"
    if required.probability is not None:
        reach = SAFETY * found.get("probability_reach", 0.0)
        if reach > required.probability:
            return (
                f"errors of the outputs can move a probability by {reach:.2g} near a decision; the limit is "
                f"{required.probability:g}"
            )
        missed = found.get("max_probability_error", 0.0)
        if missed > required.probability:
            return f"a probability is {missed:.2g} off; the limit is {required.probability:g}"
    for name, limit, what in (
        ("clear_labels", required.labels, "of the labels away from ties are scikit-learn's"),
        (
            "expected_labels",
            required.expected_labels,
            "of the labels away from ties are expected to stay the same",
        ),
        ("r2", required.r2, "is R2 against scikit-learn's predictions"),
    ):
        if found.get(name, limit) < limit:
            return f"{found[name]:.4f} {what}; the limit is {limit:g}"
    return ""


NO_TABLE = "EW_LUT_BYPASS", 0
"""What the virtual NPU names where a program looks up a table that it has never uploaded."""

ADVICE = "Take precision='float16' or 'int8'."


def is_beyond_bound(check: Mapping[str, Any]) -> bool:
    """Say whether the file computes something else than its graph: no rounding explains such an error."""
    return bool(last_word(check).get("bound_share", 0.0) > 1.0)


def last_word(check: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the virtual NPU's comparison, or the simulator's where the file cannot be executed."""
    found: Mapping[str, Any] = check.get("virtual_npu", {})
    return check.get("simulator", {}) if not found or "unavailable" in found else found


def run_check(
    source: Network,
    network: Network,
    checked: CheckInput,
    simulated: npt.NDArray[np.float32],
    file: RknnFile | str,
    samples: int,
    quantized: bool = False,
    per_channel: bool = True,
) -> dict[str, Any]:
    """Compare the float32 graph, the simulator and the virtual NPU with the estimator's numbers.

    Parameters
    ----------
    source, network : Network
        The estimator's, and what the toolkit was given.
    checked : CheckInput
    simulated : numpy.ndarray, shape (runs, 1, K, N, 1) or (runs, N, K)
        The simulator's outputs.
    file : RknnFile or str
        The file, or why it cannot be read.
    samples : int
        Its rows per run.
    quantized, per_channel : bool
        Whether it computes in integers, and whether its weights have a step per output channel.

    Returns
    -------
    dict
        ``rows``, ``input``, ``held_out`` (those of the rows that the file was not built from); ``onnx``,
        ``simulator`` and ``virtual_npu`` with an `agreement` each; ``bound``, the largest of the derived
        bounds of these rows, None where numbers may leave float16; there is none behind a head on the NPU,
        and for integer files of unknown tensors. ``bound_share`` of the last two is the largest of their
        errors as a share of its own row's and output's bound.

    Raises
    ------
    CheckError
        An output is not finite, or the program looks up a table that it never uploads.
    """
    found: dict[str, Any] = {
        "rows": len(checked.rows),
        "input": checked.source,
        "held_out": checked.own,
        "samples_per_run": samples,
    }
    if checked.source == "random":
        found["seed"] = SEED
    bound = None
    if network.head_on_npu:
        pass  # the NPU's own head has no bound
    elif not quantized:
        bound = file_bound(source, network, checked.rows)
    elif not isinstance(file, str):
        bound = file_bound(source, network, checked.rows, file, per_channel=per_channel)
    if bound is not None:
        found["bound"] = float(bound.max()) if np.isfinite(bound).all() else None
    truth = _Truth(source.forward(checked.rows), bound, source.forward(checked.alike))
    runs = pack(network.prepare(checked.rows), input_channels(network), samples, network.form)
    exact = attrs.evolve(truth, bound=None)
    found["onnx"] = _compare(source, network, _onnx(network, runs, samples), exact, "float32 graph")
    found["simulator"] = _compare(source, network, simulated, truth, "simulator")
    if isinstance(file, str):
        found["virtual_npu"] = {"unavailable": file}
        return found
    try:
        npu = virtual_npu.VirtualNpu(file)
        emulated = np.stack([npu.run(run) for run in runs])
    except virtual_npu.UnsupportedProgram as error:
        if (error.register, error.value) == NO_TABLE:
            raise CheckError(
                "check", f"the simulator shows nothing of it, but {error}.", advice=ADVICE
            ) from error
        found["virtual_npu"] = {"unavailable": str(error)}
    else:
        found["virtual_npu"] = _compare(source, network, emulated, truth, "virtual NPU")
    return found


@attrs.frozen(eq=False)
class _Truth:
    """What a file's outputs are compared with.

    Attributes
    ----------
    reference : numpy.ndarray, shape (n, n_outputs)
    bound : numpy.ndarray or None
        Derived bound of their errors.
    alike : numpy.ndarray, shape (m, n_outputs)
        The reference of more rows of the same kind.
    """

    reference: Floats
    bound: Floats | None
    alike: Floats


def _onnx(network: Network, runs: npt.NDArray[np.float32], samples: int) -> npt.NDArray[np.float32]:
    session = onnx_session(onnx_from_network(network, samples).SerializeToString())
    return np.stack([session.run(None, {"x": run})[0] for run in runs])


def _compare(
    source: Network,
    network: Network,
    runs: npt.NDArray[np.float32],
    truth: _Truth,
    stage: str,
) -> dict[str, float]:
    reference = truth.reference
    outputs = network.finish(unpack(runs, len(reference)))
    wrong = ~np.isfinite(outputs)
    if wrong.any():
        row, column = (int(index) for index in np.argwhere(wrong)[0])
        raise CheckError(
            "check",
            f"{np.count_nonzero(wrong)} of {wrong.size} outputs are NaN or infinite on the {stage}, the "
            f"first at row {row}, output {column}: numbers leave the range of float16 inside the network.",
            advice="Give example_input, from which features and outputs are rescaled, or scale X and y "
            "before fit.",
        )
    found = agreement(
        source, outputs, reference, behind_head=network.head_on_npu, alike=truth.alike
    ).to_json()
    if truth.bound is not None:
        with np.errstate(invalid="ignore"):
            found["bound_share"] = float(np.nan_to_num(np.abs(outputs - reference) / truth.bound).max())
    return found

"""What the check of a built file found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from scirknn.arrays import Floats
from scirknn.probe_rows import ProbeRows
from scirknn.steps.kernels import KernelLogarithm
from scirknn.steps.squares import Squares
from sklearn2rknn.checking.agreement import Agreement
from sklearn2rknn.network.network import Network
from sklearn2rknn.rows.check_rows import SEED
from sklearn2rknn.tolerances import FEWEST_ROWS, SAFETY, Requirement

STAGES = ("onnx", "simulator", "virtual_npu", "host")
"""What a check compares with the estimator: the float32 graph, the vendor's simulator, the virtual NPU;
numpy, where the host computes all."""


@attrs.frozen
class CheckResult:
    """How a built file's outputs compare with the estimator's.

    Attributes
    ----------
    input : {"check_input", "held_out", "example_input", "random", "given", "off"}
        Where the rows are from; ``"given"`` where nothing is built from any, ``"off"`` where nothing was run.
    rows, held_out : int
        How many there are, and how many of them the file was not built from.
    batch_size : int
        Of the file.
    bound : float or None
        Largest of the derived error bounds of these rows; infinite where numbers may leave float16. None
        behind an output activation on the NPU, and for integer files of unknown tensors.
    stages : mapping of str to Agreement
        By stage, one of `STAGES`.
    unavailable : mapping of str to str
        Why a stage was not run.
    lookups : mapping of str to float
        By how much outputs of the first rows would change if tables were looked up otherwise: what
        `virtual_npu.lookup_choices` returns.
    probe : ProbeRows or None
        Rows by which a runtime is verified; not of `to_json`.
    """

    input: str = "off"
    rows: int = 0
    held_out: int = 0
    batch_size: int = 0
    bound: float | None = None
    stages: Mapping[str, Agreement] = attrs.Factory(dict)
    unavailable: Mapping[str, str] = attrs.Factory(dict)
    lookups: Mapping[str, float] = attrs.Factory(dict)
    probe: ProbeRows | None = attrs.field(default=None, eq=False)

    @property
    def is_off(self) -> bool:
        """Whether nothing was run."""
        return self.input == "off"

    @property
    def is_counted(self) -> bool:
        """Whether enough rows were held out for a share of them to be stated."""
        return self.held_out >= FEWEST_ROWS

    @property
    def deciding(self) -> Agreement | None:
        """The virtual NPU's comparison, or the simulator's where there is none, or the host's."""
        return next(filter(None, map(self.stages.get, ("virtual_npu", "simulator", "host"))), None)

    @property
    def is_beyond_bound(self) -> bool:
        """Whether the file errs by more than rounding explains."""
        deciding = self.deciding
        return deciding is not None and not (deciding.bound_share or 0.0) <= 1.0

    def failed_limit(self, required: Requirement) -> str:
        """Return which limit is not met, the derived bound included; empty where all are. NaN meets none."""
        deciding = self.deciding
        if deciding is None:
            return ""
        if self.is_beyond_bound:
            return f"an output errs by {deciding.bound_share:.3g} times what the arithmetic allows"
        if required.probability is not None:
            reach = SAFETY * (deciding.probability_reach or 0.0)
            if not reach <= required.probability:
                return (
                    f"errors of the outputs can move a probability by {min(reach, 1.0):.2g} near a "
                    f"decision; the limit is {required.probability:g}"
                )
            error = deciding.max_probability_error or 0.0
            if not error <= required.probability:
                return f"a probability is {error:.2g} off; the limit is {required.probability:g}"
        clear = "of the labels away from ties are"
        for value, limit, what in (
            (deciding.clear_labels, required.labels, f"{clear} scikit-learn's"),
            (deciding.expected_labels, required.expected_labels, f"{clear} expected to stay the same"),
            (deciding.r2, required.r2, "is R2 against scikit-learn's predictions"),
        ):
            if value is not None and not value >= limit:
                if value < 0:  # of R2 alone: a number of it would say nothing
                    return (
                        f"outputs err by up to {deciding.max_error:.2g}, more than scikit-learn's "
                        f"predictions vary by: R2 is below 0; the limit is {limit:g}"
                    )
                return f"{value:.4f} {what}; the limit is {limit:g}"
        return ""

    def __getitem__(self, name: str) -> Any:
        """Return an entry of `to_json`, which the check was in earlier versions."""
        return self.to_json()[name]

    def to_json(self) -> dict[str, Any]:
        """Return what a bundle records."""
        if self.is_off:
            return {"off": True}
        document: dict[str, Any] = {
            "rows": self.rows,
            "input": self.input,
            "held_out": self.held_out,
            "samples_per_run": self.batch_size,
        }
        if self.input == "random":
            document["seed"] = SEED
        if self.bound is not None:
            document["bound"] = self.bound if math.isfinite(self.bound) else None
        for stage in STAGES:
            if stage in self.stages:
                document[stage] = self.stages[stage].to_json()
            elif stage in self.unavailable:
                document[stage] = {"unavailable": self.unavailable[stage]}
        if self.lookups:
            document["lookups"] = {k: v if math.isfinite(v) else None for k, v in self.lookups.items()}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CheckResult:
        """Read what a bundle records."""
        if "off" in document:
            return cls()
        bound = document.get("bound", math.nan)
        stages = {stage: document[stage] for stage in STAGES if stage in document}
        missing = {stage: each["unavailable"] for stage, each in stages.items() if "unavailable" in each}
        return cls(
            input=document.get("input", "random"),
            rows=document.get("rows", 0),
            held_out=document.get("held_out", 0),
            batch_size=document.get("samples_per_run", 0),
            bound=math.inf if bound is None else None if math.isnan(bound) else bound,
            stages={name: Agreement.from_json(each) for name, each in stages.items() if name not in missing},
            unavailable=missing,
            lookups={k: math.inf if v is None else v for k, v in document.get("lookups", {}).items()},
        )


def advise(network: Network, rows: Floats | None, better: str) -> str:
    """Return what to do where a file misses a limit.

    Parameters
    ----------
    network : Network
        The estimator's, without host steps.
    rows : numpy.ndarray, shape (n, number of inputs), or None
        As its layers take them.
    better : str
        A precision that keeps its limits; empty where none does.
    """
    cure = "" if rows is None else _cure_of_distances(network, rows)
    if not better:
        return f"{cure or 'Scale X (and y of a regressor) before fit.'} No other precision would do."
    less = ", which promises no probabilities" if network.classes is not None and better != "float16" else ""
    return f"{cure} precision={better!r} would do{less}.".strip()


def _cure_of_distances(network: Network, rows: Floats) -> str:
    """Return why a density of rows takes more bits than others, and what to do; empty of other models."""
    kinds = {type(each) for each in network.epilogue}
    if not kinds & {KernelLogarithm, Squares}:
        return ""
    largest = float(np.abs(network.forward(rows)).max())
    if KernelLogarithm in kinds:  # of half the squared distance in bandwidths
        return (
            f"Fitted rows lie up to {math.sqrt(2 * largest):.2g} bandwidths away, and the squares of that "
            "take more bits than float16 pairs have. Fit with a larger bandwidth."
        )
    return (
        f"Rows lie up to {largest:.2g} deviations from a density's centre, and the squares of that take "
        "more bits than float16 pairs have. Leave out columns that hardly vary, or fit with a larger "
        "reg_covar, reg_param or var_smoothing."
    )

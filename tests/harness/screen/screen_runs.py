"""Planned runs with given results: what the tests of the screen print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import numpy as np

from rknn_harness.models.datasets import DATASETS
from rknn_harness.records.case import Case, dataset_case, random_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Cause, Outcome, Stage
from rknn_harness.records.run_folder import Run, RunFolder, manifest, read_run
from tests.harness.samples import SPEC, passed

Change = Callable[[CaseResult], CaseResult]

BEYOND = (
    "The probability of row 83, column 1 is 0.98341, scikit-learn's 0.98129: off by 0.00212, limit 0.002 "
    "(the fixed limit); 1 of 150 rows are beyond it."
)
TOO_LARGE = (
    "The weights of layer 2 of 2 (identity) reach 3.55e+05; float16 ends at 65504. No rescaling brings it "
    "in: scale X (and y of a regressor) before fit, and fit again."
)
TOO_COARSE = "The converter hands over no such file by default: 61.00 % of the rows keep their label."
NAMES = ("iris", "wine", "digits", "diabetes")


PRECISIONS = ("float16", "int8")


def cases(toolkit: str = "2.3.2", random: int = 6) -> list[Case]:
    """Some data sets, iris in several batch sizes, and random networks of both precisions."""
    assert set(NAMES) <= set(DATASETS)
    sizes = [(name, (64,)) for name in NAMES] + [("iris", size) for size in ((1,), (1, 64))]
    found = [dataset_case(name, precision, toolkit, size) for name, size in sizes for precision in PRECISIONS]
    for seed in range(random):
        spec = attrs.evolve(SPEC, seed=seed)
        found.append(random_case(spec, PRECISIONS[seed % 2], toolkit, (64,)))
    return found


def run_of(
    path: Path,
    entries: Sequence[Entry],
    change: Change | None = None,
    *,
    options: Mapping[str, object] | None = None,
) -> tuple[Run, tuple[Entry, ...]]:
    """Write a run of these entries, each right but for what `change` makes of it; return it with its plan."""
    boards = {entry.board: {"virtual": entry.board == "virtual", "device": "npu"} for entry in entries}
    toolkits = sorted({entry.case.toolkit for entry in entries})
    said = manifest(
        toolkits=[{"version": toolkit} for toolkit in toolkits],
        boards=boards,
        precisions=["float16", "int8"],
        seed=0,
    ) | {"options": options or {}}
    with RunFolder.begin(path, said, entries) as folder:
        for index, entry in enumerate(entries):
            right = attrs.evolve(passed(entry.case, np.random.default_rng(index)), board=entry.board)
            folder.record(change(right) if change else right)
        folder.finish()
    return read_run(path), tuple(entries)


def entries(*toolkits: str, boards: Sequence[str] = ("virtual",), random: int = 6) -> list[Entry]:
    """Every case on every toolkit and board."""
    return [
        Entry(case, board)
        for board in boards
        for toolkit in toolkits or ("2.3.2",)
        for case in cases(toolkit, random)
    ]


def refused(result: CaseResult) -> CaseResult:
    """Two random networks in float16 too large, one in int8 too coarse."""
    number = getattr(result.case.source, "seed", -1)
    if number in (0, 2):
        return attrs.evolve(
            result,
            outcome=Outcome.UNSUPPORTED,
            stage=Stage.ONNX,
            reason=TOO_LARGE,
            metrics={},
            cause=Cause.RANGE,
        )
    if number == 3:
        return attrs.evolve(
            result,
            outcome=Outcome.UNSUPPORTED,
            stage=Stage.VIRTUAL_NPU,
            reason=TOO_COARSE,
            cause=Cause.COARSE,
        )
    return result


def wrong(result: CaseResult) -> CaseResult:
    """Iris in float16 beyond its limit in every batch size; random networks that a board does not take."""
    if result.case.id.startswith("iris-float16"):
        properties = {**result.properties, "bound": f"virtual_npu: {BEYOND}", "labels": ""}
        return attrs.evolve(
            result, outcome=Outcome.MISMATCH, stage=Stage.VIRTUAL_NPU, reason=BEYOND, properties=properties
        )
    if getattr(result.case.source, "seed", -1) in (1, 4):
        reason = f"NativeError: The NPU refused model{result.case.source.seed}.rknn: code -6."  # type: ignore[union-attr]
        return attrs.evolve(result, outcome=Outcome.LOAD_ERROR, stage=Stage.BOARD, reason=reason, metrics={})
    return refused(result)

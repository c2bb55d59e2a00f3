"""Made-up results that look like a run's, for the tests of what is built from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np

from rknn_harness.models.datasets import DATASETS
from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.records.case import Case, dataset_case, random_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.latency import summarize
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.run_folder import Run, RunFolder, manifest, read_run
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.records.stage_metrics import StageMetrics
from rknn_harness.verdicts.reference import Reference, reference

SPEC = MlpSpec(16, (32, 32), "relu", "softmax", 5, "int", 1.0, 64, 3)
REGRESSORS = ("diabetes", "friedman1", "linnerud", "sine")


def truth_of(spec: MlpSpec) -> Reference:
    """scikit-learn's answers of a random network to its rows."""
    return reference(build_estimator(spec), build_rows(spec))


def passed(case: Case, random: np.random.Generator) -> CaseResult:
    """A case that passed, with believable numbers."""
    coarse = case.precision == "int8"
    regressor = case.group in REGRESSORS
    metrics = {}
    for stage, typical in (
        (Stage.ONNX, 2e-7),
        (Stage.SIMULATOR, 2e-2 if coarse else 4e-4),
        (Stage.VIRTUAL_NPU, 2e-2 if coarse else 8e-4),
        (Stage.BOARD, 2e-2 if coarse else 8e-4),
    ):
        error = float(typical * random.lognormal(0, 0.8))
        metrics[stage] = StageMetrics(
            rows=150,
            output_error=error * 12,
            output_size=12.0,
            output_share=float(random.uniform(0.02, 0.3)),
            probability_error=None if regressor else error,
            agreement=None if regressor else 1 - 0.01 * coarse * int(random.integers(0, 2)),
            r2=1 - error**2 if regressor else None,
            basis="derived, int8" if coarse else "derived, float16",
        )
    weights = int(10 ** random.uniform(1, 5))
    times = (1e-4 + weights * 4e-10 * 64) * random.lognormal(0, 0.1, 200)
    return CaseResult(
        case,
        Outcome.PASS,
        metrics=metrics,
        latency=summarize(times, rows=64, warmup=5),
        placement=(("layer0", "ConvRelu", "NPU"), ("layer1", "Conv", "NPU")),
        digests={"onnx": "ab" * 32},
        weights=weights,
        seconds={"convert": 0.2, "predict": 0.3},
        properties=dict.fromkeys(("bound", "onnx_equals_sklearn", "deterministic", "all_on_npu"), ""),
        macs=weights,
        estimate=(1e-4, 3e-4),
        rules={"silicon": 3, "simulator": 4, "assumed": 2},
    )


def failed(case: Case, outcome: Outcome, stage: Stage | None, reason: str, **changes: Any) -> CaseResult:
    """A case that ended otherwise, early."""
    return CaseResult(case, outcome, stage, reason, **changes)


def write_run(path: Path, results: list[CaseResult], *, virtual: bool = True) -> Run:
    """Write a run's folder and read it back."""
    said = manifest(
        toolkits=[{"version": "2.3.2", "lock_sha256": "cd" * 32}],
        boards={
            "virtual" if virtual else "orange": {
                "virtual": virtual,
                "device": "virtual" if virtual else "npu",
                "kernel": "Linux 6.1",
                "python": "3.11.2",
            }
        },
        precisions=["float16", "int8"],
        seed=7,
    ) | {"command": "rknn-harness run"}
    with RunFolder.begin(path, said) as folder:
        for result in results:
            folder.record(result.with_cause())
    return read_run(path)


def finished(run: Run) -> Run:
    """A run as it is once it has come to its end."""
    return attrs.evolve(run, manifest={**run.manifest, "finished": "2026-01-01T00:00:00+00:00"})


def mixed_results(count: int = 50) -> list[CaseResult]:
    """Every data set twice and `count` random networks, a few of which end badly."""
    random = np.random.default_rng(0)
    found = [
        passed(dataset_case(name, precision, "2.3.2", (64,)), random)
        for name in DATASETS
        for precision in ("float16", "int8")
    ]
    for seed in range(count):
        precision = ("float16", "int8")[seed % 2]
        found.append(passed(random_case(attrs.evolve(SPEC, seed=seed), precision, "2.3.2", (64,)), random))
    wrong = failed_results()
    return [*found, *wrong]


def failed_results() -> list[CaseResult]:
    """One of each way to end other than pass."""
    random = np.random.default_rng(1)

    def case(seed: int) -> Case:
        return random_case(attrs.evolve(SPEC, activation="tanh", seed=1000 + seed), "float16", "2.3.2", (64,))

    departed = attrs.evolve(
        passed(case(0), random),
        outcome=Outcome.MISMATCH,
        stage=Stage.VIRTUAL_NPU,
        reason="The output of row 17, column 2 is 1.37012, scikit-learn's 1.20994: off by 0.16, limit 0.0312 "
        "(derived, float16); 9 of 64 rows are beyond it.",
    )
    return [
        departed,
        failed(case(1), Outcome.UNSUPPORTED, Stage.ONNX, "The converter does not take a <script> here."),
        failed(
            case(2),
            Outcome.CONVERT_ERROR,
            Stage.SIMULATOR,
            "The toolkit died with SIGABRT: clip_truncate < 0.",
        ),
        failed(case(3), Outcome.LOAD_ERROR, Stage.BOARD, "model.rknn is not the file its metadata names."),
        failed(
            case(4), Outcome.INFRA_ERROR, Stage.BOARD, "The connection to the board was lost.", attempts=2
        ),
    ]

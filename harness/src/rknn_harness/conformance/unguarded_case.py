"""A case of a graph without the converter's guards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.conformance.convert_stage import conversion_errors_as_outcomes
from rknn_harness.conformance.outcome import CaseAborted, PhaseClock, harness_failure
from rknn_harness.conformance.unguarded import CONSTANT_GRAPH, convert_plain, defect_of, judge_plain
from rknn_harness.errors import BoardError, InfraError
from rknn_harness.records.case import Case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.mlp_spec import MlpSpec
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.stage_metrics import StageMetrics
from virtual_npu import content_digest, read


def run_unguarded_case(case: Case, toolkit: sklearn2rknn.Toolkit, link: BoardLink) -> CaseResult:
    """Try a case whose guard is off; there are no bundle, no second attempt and no time."""
    clock, known, defect = PhaseClock(), dict[str, Any](), ""
    metrics: Mapping[Stage, StageMetrics] = {}
    properties: Mapping[str, str] = {}
    assert isinstance(case.source, MlpSpec)
    try:
        with np.errstate(all="ignore"):
            with clock("convert"), conversion_errors_as_outcomes():
                plain = convert_plain(case.source, case.batch_size[0], toolkit)
            known["macs"] = sum(layer.weights.size for layer in plain.layers)
            known["weights"] = known["macs"] + sum(layer.bias.size for layer in plain.layers)
            known["digests"] = {"model.rknn": content_digest(read(plain.file))}
            with clock("predict"):
                session = link.session()
                answer, again = (plain.on_board(session) for _ in range(2))
            with clock("judge"):
                verdict = judge_plain(plain, answer, again.output, board_is_virtual=link.board.virtual)
                defect = defect_of(plain, verdict)
        outcome, stage, reason = verdict.outcome, verdict.stage, verdict.reason
        metrics, properties = verdict.metrics, verdict.properties
    except CaseAborted as error:
        outcome, stage, reason = error.outcome, error.stage, str(error)
        defect = "zero-layer" if CONSTANT_GRAPH in reason else ""
    except BoardError as error:
        outcome, stage, reason = Outcome.RUN_ERROR, Stage.BOARD, f"{error.type}: {error}"
    except InfraError as error:
        link.drop()
        outcome, stage, reason = Outcome.INFRA_ERROR, Stage.BOARD, str(error)
    except Exception as error:
        outcome, stage, reason = Outcome.INFRA_ERROR, None, harness_failure(error)
    return CaseResult(
        case,
        outcome,
        stage,
        reason,
        metrics=metrics,
        properties=properties,
        seconds=clock.seconds,
        board=link.board.name,
        defect=defect,
        **known,
    )

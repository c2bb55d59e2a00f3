"""A case of a graph without the converter's guards."""

from __future__ import annotations

from rknn_harness.conformance.convert_stage import CONVERSION_ERRORS, conversion_ending
from rknn_harness.conformance.trial import CaseFacts, Ending, Trial
from rknn_harness.conformance.unguarded import CONSTANT_GRAPH, convert_unguarded, defect_of, judge_unguarded
from rknn_harness.errors import BoardError, InfraError
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.records.specs.mlp_spec import MlpSpec
from virtual_npu import content_digest, read


def run_unguarded_case(trial: Trial) -> CaseResult:
    """Try a case whose guard is off; there are no bundle, no second attempt and no time."""
    case, clock, link = trial.case, trial.clock, trial.link
    assert isinstance(case.source, MlpSpec)
    assert trial.toolkit is not None
    try:
        with clock(Phase.CONVERT):
            conversion = convert_unguarded(case.source, case.batch_size[0], trial.toolkit)
    except CONVERSION_ERRORS as error:
        ending = conversion_ending(error)
        return trial.result(ending, defect="zero-layer" if CONSTANT_GRAPH in ending.reason else "")
    facts = CaseFacts(
        macs=conversion.truth.macs,
        weights=conversion.truth.parameters,
        digests={"model.rknn": content_digest(read(conversion.file))},
    )
    try:
        with clock(Phase.PREDICT):
            session = link.session()
            answer, again = (conversion.on_board(session) for _ in range(2))
    except BoardError as error:
        return trial.result(Ending(Outcome.RUN_ERROR, Stage.BOARD, f"{error.type}: {error}", facts))
    except InfraError as error:
        link.drop()
        return trial.result(Ending(Outcome.INFRA_ERROR, Stage.BOARD, str(error), facts))
    with clock(Phase.JUDGE):
        verdict = judge_unguarded(conversion, answer, again.output, board_is_virtual=link.board.virtual)
        defect = defect_of(conversion, verdict)
    ending = Ending(verdict.outcome, verdict.stage, verdict.reason, facts, verdict.cause)
    return trial.result(ending, metrics=verdict.metrics, properties=verdict.properties, defect=defect)

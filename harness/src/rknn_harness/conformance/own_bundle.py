"""A user's own model: a bundle that was converted before, and what else is known of its rows."""

from __future__ import annotations

import attrs
import numpy as np

from rknn_harness.conformance.convert_stage import Converted, facts_of_bundle, run_on_virtual_npu
from rknn_harness.conformance.properties import output_step
from rknn_harness.conformance.stage_outputs import model_files
from rknn_harness.conformance.trial import CaseFacts, Ending, PhaseClock
from rknn_harness.models.own_model import OwnModel
from rknn_harness.records.case import Score
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.verdicts.judge import Verdict
from rknn_harness.verdicts.limits import Limits, given_limits
from rknn_harness.verdicts.own_judge import score_of, with_expected, without_figures, without_reference
from rknn_harness.verdicts.reference import Answer, Reference, answer_from_output, in_form_of, reference
from sklearn2rknn.tolerances import FEWEST_ROWS


def open_own_bundle(own: OwnModel, clock: PhaseClock) -> Converted | Ending:
    """Return what stands for a conversion where a user gives a bundle."""
    bundle = own.bundle
    assert bundle is not None
    with clock(Phase.STAGES):
        files = model_files(bundle)
        facts = facts_of_bundle(CaseFacts(), bundle, files)
        run = run_on_virtual_npu(bundle.path, own.X)
        if isinstance(run, Ending):
            return attrs.evolve(run, facts=facts)
        answers = {}
        if own.estimator is not None:
            facts = facts.with_note(run.note)
            truth = in_form_of(reference(own.estimator, own.X), bundle)
            facts = attrs.evolve(facts, macs=truth.macs, weights=truth.parameters)
            if run.output is not None:
                answers[Stage.VIRTUAL_NPU] = answer_from_output(truth, run.output)
        else:
            if run.model is None or run.output is None:
                return Ending(Outcome.RUN_ERROR, Stage.VIRTUAL_NPU, run.note, facts.with_note(run.note))
            facts = facts.with_note("Not compared with scikit-learn: the run was given no estimator.")
            proba = getattr(run.model, "probabilities", None)
            answer = Answer(
                run.output, run.model.decide(run.output), None if proba is None else proba(run.output)
            )
            inputs = bundle.take(own.X)
            truth = Reference(answer, bundle.task, bundle.head, bundle.classes, (), own.X, inputs)
            answers[Stage.VIRTUAL_NPU] = answer
    return Converted(
        bundle=bundle,
        files=files,
        model=run.model,
        reference=truth,
        limits=given_limits(truth, bundle) if truth.layers else dict.fromkeys(Stage, Limits("nothing")),
        answers=answers,
        step=output_step(bundle, truth.answer.output, files),
        judged=np.arange(len(own.X)),
        facts=facts,
        is_conv=bundle.form == "conv",
    )


def compare_own_model(
    own: OwnModel, verdict: Verdict, converted: Converted, board: Answer
) -> tuple[Verdict, Score | None]:
    """Compare a user's model with what else is known of its rows."""
    bundle = converted.bundle
    predictions = None if own.estimator is None else converted.reference.answer.predictions
    if own.estimator is None:
        verdict = without_reference(verdict)
    if own.expected is not None:
        answers = {**converted.answers, Stage.BOARD: board}
        verdict = with_expected(verdict, own.expected, bundle, answers)
    if len(converted.judged) < FEWEST_ROWS:
        verdict = without_figures(verdict)
    return verdict, score_of(bundle.task, own.y, board.predictions, predictions, converted.judged)

"""Run one case: estimator, conversion, stages, board, verdict, time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np

import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.conformance.board_stage import BoardRun, run_on_board
from rknn_harness.conformance.convert_stage import Converted, convert_case, convert_on_host
from rknn_harness.conformance.model_under_test import ModelUnderTest, model_of
from rknn_harness.conformance.own_bundle import compare_own_model, open_own_bundle
from rknn_harness.conformance.properties import latency_baseline
from rknn_harness.conformance.timing import QUICK, THOROUGH, Timing, keep_samples
from rknn_harness.conformance.trial import CaseFiles, Ending, HostTrial, Trial, harness_failure
from rknn_harness.conformance.unguarded_case import run_unguarded_case
from rknn_harness.errors import InfraError, LeaseError, OwnModelError
from rknn_harness.models.datasets import REFUSED
from rknn_harness.models.own_model import OwnModel, kept_model
from rknn_harness.plan.corpus import CorpusError
from rknn_harness.records.case import Case
from rknn_harness.records.case_result import GIVEN_UP, CaseResult
from rknn_harness.records.latency import Latency
from rknn_harness.records.outcomes import Cause, Outcome, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.verdicts.judge import Finding, Verdict, judge
from rknn_harness.verdicts.own_judge import few_rows
from rknn_harness.verdicts.reference import Reference, reference
from scirknn.temporary import TemporaryFolder

__all__ = [
    "ATTEMPTS",
    "CaseFiles",
    "Convert",
    "Prepared",
    "convert_model",
    "convert_prepared",
    "prepare_case",
    "run_case",
]

ATTEMPTS = 2
"""Maximum attempts per case. Only infrastructure errors are retried; a power cycle allows one more."""

Convert = Callable[[HostTrial, Path, OwnModel | None], Converted | Ending]
"""Returns the stages before the board, as `convert_model` does."""

_STAGES_OFF_BOARD = (None, Stage.SIMULATOR, Stage.VIRTUAL_NPU)
"""Stages of verdicts that a file which the converter refuses accounts for; None is a pass."""


@attrs.frozen(eq=False)
class Prepared:
    """A case's model with its rows, and scikit-learn's answer to them."""

    tried: ModelUnderTest
    truth: Reference


def prepare_case(trial: HostTrial, own: OwnModel | None = None) -> Prepared | Ending:
    """Return what a case converts, and what its answers are judged by."""
    with trial.clock(Phase.FIT):
        try:
            tried = model_of(trial.case, trial.files.corpus, own)
        except CorpusError as error:
            return Ending(Outcome.MISMATCH, Stage.SKLEARN, str(error))
        return Prepared(tried, reference(tried.estimator, tried.X))


def convert_prepared(trial: HostTrial, folder: Path, prepared: Prepared) -> Converted | Ending:
    """Convert a model, and run the stages before the board if it has layers."""
    convert = convert_case if prepared.truth.layers else convert_on_host
    return convert(trial, folder, prepared.tried, prepared.truth)


def convert_model(trial: HostTrial, folder: Path, own: OwnModel | None = None) -> Converted | Ending:
    """Read a case's model, or the user's that it is about, and convert it in this process."""
    prepared = prepare_case(trial, own)
    return prepared if isinstance(prepared, Ending) else convert_prepared(trial, folder, prepared)


def run_case(
    case: Case,
    toolkit: sklearn2rknn.Toolkit | None,
    link: BoardLink,
    *,
    timing: Timing | None = None,
    files: CaseFiles | None = None,
    baseline: Latency | None = None,
    tamper: Callable[[Path], None] | None = None,
    convert: Convert = convert_model,
) -> CaseResult:
    """Try one case; whatever goes wrong is its outcome, not an exception.

    Parameters
    ----------
    case : Case
    toolkit : Toolkit or None
        Of the case's version; None for a bundle that was converted before.
    link : BoardLink
    timing : Timing, optional
        By default `QUICK` on a virtual board and `THOROUGH` on another.
    files : CaseFiles, optional
        Where the run's files lie.
    baseline : Latency, optional
        Of the last accepted run, which a call is held to.
    tamper : callable, optional
        Called with the bundle's path once it is written: tests plant faults by it.
    convert : callable, optional
        Does what `convert_model` does, possibly elsewhere.
    """
    timing = timing or (QUICK if link.board.virtual else THOROUGH)
    trial = Trial(
        case=case, toolkit=toolkit, files=files or CaseFiles(), tamper=tamper, link=link, timing=timing
    )
    try:
        with TemporaryFolder() as folder, np.errstate(all="ignore"):
            if ("guard", "off") in case.options:
                return run_unguarded_case(trial)
            return _run(trial, folder, baseline, convert)
    except Exception as error:
        # An error that nobody foresaw is the harness's own: it is recorded, and the run goes on.
        return trial.result(Ending(Outcome.INFRA_ERROR, None, harness_failure(error)))


def _run(trial: Trial, folder: Path, baseline: Latency | None, convert: Convert) -> CaseResult:
    own, converted = _prepare(trial, folder, convert)
    if isinstance(converted, Ending):
        return _end(trial, converted)
    board = _run_with_retries(trial, converted)
    if isinstance(board, Ending):
        return _end(trial, board)
    with trial.clock(Phase.JUDGE):
        verdict, facts, score = _judge(trial, converted, board, baseline), board.facts, None
        for note in verdict.notes:
            facts = facts.with_note(note)
        if own is not None:
            verdict, score = compare_own_model(own, verdict, converted, board.answer)
            facts = facts.with_note(few_rows(len(converted.judged)))
    times, run_folder = board.times, trial.files.run_folder
    samples = keep_samples(run_folder, trial.case, trial.link.board.name, times.samples) if run_folder else ""
    return _end(
        trial,
        Ending(verdict.outcome, verdict.stage, verdict.reason, facts, verdict.cause),
        metrics=verdict.metrics,
        properties=verdict.properties,
        latency=times.latency,
        cpu=times.cpu,
        clocks=times.clocks,
        samples=samples,
        score=score,
    )


def _end(trial: Trial, ending: Ending, **measured: object) -> CaseResult:
    """Return the result; a fixed model that is refused has failed, but for those known to be.

    A toolkit or a converter that got worse would otherwise be excused.
    """
    case = trial.case
    is_known = not case.is_of_data_set or (case.source, case.precision) in REFUSED
    if ending.outcome is Outcome.UNSUPPORTED and not is_known:
        ending = attrs.evolve(ending, outcome=Outcome.MISMATCH)
    return trial.result(ending, **measured)


def _prepare(trial: Trial, folder: Path, convert: Convert) -> tuple[OwnModel | None, Converted | Ending]:
    """Return the user's model that the case is about, and what the stages before the board gave."""
    link, case, files = trial.link, trial.case, trial.files
    if link.lost is not None:
        return None, Ending(Outcome.INFRA_ERROR, Stage.BOARD, f"{GIVEN_UP}{link.lost}")
    own = None
    if case.kind == "own" and files.models is not None:
        try:
            own = kept_model(files.models / str(case.source), trust_pickle=files.trust_pickle)
        except OwnModelError as error:
            return None, Ending(Outcome.INFRA_ERROR, Stage.SKLEARN, str(error))
    if trial.toolkit is not None:
        return own, convert(trial, folder, own)
    assert own is not None
    return own, open_own_bundle(own, trial.clock)


def _run_with_retries(trial: Trial, converted: Converted) -> BoardRun | Ending:
    link, facts = trial.link, converted.facts
    while True:
        try:
            with trial.clock(Phase.CONNECT):
                link.session()
            if trial.toolkit is not None:
                with trial.clock(Phase.HEALTH):
                    link.prove(trial.toolkit)
            return run_on_board(trial, attrs.evolve(converted, facts=facts))
        except InfraError as error:
            link.drop()
            # A lease has been waited for already.
            is_last = isinstance(error, LeaseError) or facts.attempts >= ATTEMPTS
            if isinstance(error, LeaseError) or (is_last and not link.revive(error)):
                link.give_up(error)
                return Ending(Outcome.INFRA_ERROR, Stage.BOARD, str(error), facts.with_note(link.power))
            facts = facts.with_note(f"Attempt {facts.attempts} did not reach the board: {error}")
            facts = facts.with_note(link.power if is_last else "")
            facts = attrs.evolve(facts, attempts=facts.attempts + 1)


def _judge(trial: Trial, converted: Converted, board: BoardRun, baseline: Latency | None) -> Verdict:
    verdict = judge(
        converted.reference,
        {**converted.answers, Stage.BOARD: board.answer},
        converted.limits,
        again=board.again,
        board_is_virtual=trial.link.board.virtual,
        step=converted.step,
        lanes=None if trial.link.board.virtual or not converted.files else converted.lanes,
        placement=converted.layers_required_on_npu,
    ).with_findings([*converted.findings, *board.findings])
    if baseline is not None:
        error = latency_baseline(board.times.latency, baseline)
        slower = Finding("latency_baseline", Stage.BOARD, error, Outcome.PASS)
        verdict = verdict.with_findings([slower])
    # A bound that wide is no praise either.
    if trial.case.kind == "corpus" or not converted.refusal or verdict.stage not in _STAGES_OFF_BOARD:
        return verdict
    return attrs.evolve(
        verdict,
        outcome=Outcome.UNSUPPORTED,
        cause=Cause.COARSE,
        stage=verdict.stage or Stage.VIRTUAL_NPU,
        reason=f"The converter hands over no such file by default: {converted.refusal}",
        properties={name: error for name, error in verdict.properties.items() if not error},
    )

"""The board's stage."""

from __future__ import annotations

import attrs

import scirknn
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.conformance.convert_stage import Converted
from rknn_harness.conformance.properties import (
    Bits,
    batch_latency,
    cores_agree,
    input_forms,
    repeat_predictions,
    rows_independent,
)
from rknn_harness.conformance.timing import Times, add_cpu_times, time_on_board
from rknn_harness.conformance.trial import CaseFacts, Ending, Trial
from rknn_harness.errors import BoardError
from rknn_harness.records.latency import summarize
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.verdicts.judge import Finding
from rknn_harness.verdicts.lane_events import BitComparison
from rknn_harness.verdicts.reference import Answer, answer_from_output
from scirknn.arrays import Array

_OUTCOMES = {"load_error": Outcome.LOAD_ERROR, "timeout": Outcome.TIMEOUT}


@attrs.frozen(eq=False)
class BoardRun:
    """A board's answers, its times, and the properties that they show.

    `again` is the output for the same rows a second time.
    """

    answer: Answer
    again: Array
    times: Times
    findings: tuple[Finding, ...]
    facts: CaseFacts


def run_on_board(trial: Trial, converted: Converted) -> BoardRun | Ending:
    """Run a converted case on the board.

    Raises
    ------
    InfraError
        The connection to the board failed.
    """
    try:
        return _run(trial, converted)
    except BoardError as error:
        outcome = _OUTCOMES.get(error.kind, Outcome.RUN_ERROR)
        with trial.clock(Phase.HEALTH):
            facts = converted.facts.with_note(trial.link.examine())
        return Ending(outcome, Stage.BOARD, f"{error.type}: {error}", facts)
    except scirknn.BundleError as error:
        return Ending(Outcome.LOAD_ERROR, Stage.BOARD, str(error), converted.facts)


def _run(trial: Trial, converted: Converted) -> BoardRun:
    reference, clock = converted.reference, trial.clock
    session = trial.link.session()
    with clock(Phase.LOAD):
        session.models.load(converted.bundle.path)
    with clock(Phase.PREDICT):
        prediction = session.models.predict(reference.X)
    times, findings = _time(trial, converted, session)
    with clock(Phase.PROPERTIES):
        again = repeat_predictions(session, reference.X, has_forms=reference.takes_numbers)
        is_exact = trial.link.board.virtual or not converted.files  # a host's sums have no lanes
        bits = BitComparison() if is_exact else converted.lanes
        findings += _compare_repeated(converted, prediction.output, again, bits)
    with clock(Phase.CORES):
        compared = cores_agree(bits, session, reference.X, prediction.output)
        findings.append(Finding.compared("cores_agree", compared))
    with clock(Phase.TIME):
        if converted.bundle.cpu is not None:
            times = add_cpu_times(times, session, reference.X[: converted.batch_size], trial.timing)
    probabilities = prediction.probabilities
    if probabilities is None and not reference.has_chances:
        probabilities = answer_from_output(reference, prediction.output).probabilities
    answer = Answer(prediction.output, prediction.predictions, probabilities)
    facts = converted.facts.with_note(times.note)
    return BoardRun(answer, again["again"], times, tuple(findings), facts)


def _time(trial: Trial, converted: Converted, session: BoardSession) -> tuple[Times, list[Finding]]:
    X, timing = converted.reference.X, trial.timing
    batch = X[: converted.batch_size]
    with trial.clock(Phase.TIME):
        times = time_on_board(session, batch, timing)
    if len(batch) < 2 or trial.link.board.virtual:
        return times, []
    with trial.clock(Phase.BATCH_LATENCY):
        timed = session.timing.time_model(X[:1], timing.bounds)
    single = summarize(timed.samples, rows=1, warmup=timing.bounds.warmup)
    error = batch_latency(times.latency, single)
    return times, [Finding("batch_latency", Stage.BOARD, error, Outcome.PASS)]


def _compare_repeated(
    converted: Converted, output: Array, again: dict[str, Array], bits: Bits
) -> list[Finding]:
    X, findings = converted.reference.X, list[Finding]()
    if len(converted.bundle.variants) < 2 and len(X) > 1:
        # Files of several sizes are calibrated apart, and a row's place decides which one it takes.
        compared = rows_independent(bits, X, output, again)
        findings.append(Finding.compared("rows_independent", compared))
    # What a pipeline looks up need not be there in another dtype.
    # The output of a model without files is its input, and 0 may have a sign.
    if converted.reference.takes_numbers and converted.files:
        findings.append(Finding.compared("input_forms", input_forms(bits, X, again, converted.model)))
    return findings

"""The way of one model: estimator, conversion, stages, board, verdict, time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.conformance.board_stage import run_on_board
from rknn_harness.conformance.convert_stage import (
    compare_own_model,
    convert_case,
    open_own_bundle,
    read_kept_model,
)
from rknn_harness.conformance.outcome import (
    STAGES_OFF_BOARD,
    CaseAborted,
    PhaseClock,
    harness_failure,
    refused_verdict,
    with_properties,
)
from rknn_harness.conformance.properties import (
    latency_baseline,
)
from rknn_harness.conformance.timing import (
    QUICK,
    THOROUGH,
    Timing,
    keep_samples,
)
from rknn_harness.conformance.unguarded_case import run_unguarded_case
from rknn_harness.errors import InfraError, LeaseError
from rknn_harness.models.datasets import REFUSED
from rknn_harness.records.case import Case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.latency import Latency
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.verdicts.judge import judge

__all__ = ["ATTEMPTS", "run_case"]

ATTEMPTS = 2
"""Times that a case is tried at most; only trouble on the way gives it another, a power cycle one more."""


def run_case(
    case: Case,
    toolkit: sklearn2rknn.Toolkit | None,
    link: BoardLink,
    *,
    timing: Timing | None = None,
    run_folder: Path | None = None,
    corpus: Path | None = None,
    models: Path | None = None,
    baseline: Latency | None = None,
    trust_pickle: bool = False,
    tamper: Callable[[Path], None] | None = None,
) -> CaseResult:
    """Try one case to its end; whatever goes wrong is its outcome, not an exception.

    Parameters
    ----------
    case : Case
    toolkit : Toolkit or None
        Of the case's version; None for a bundle that was converted before.
    link : BoardLink
    timing : Timing, optional
        By default `QUICK` on a virtual board and `THOROUGH` on another.
    run_folder : pathlib.Path, optional
        Where the raw timing samples are kept, below ``samples``.
    corpus : pathlib.Path, optional
        Where the files of a case of the corpus lie; without, it is built from its spec.
    models : pathlib.Path, optional
        Where a run keeps its user's own models.
    baseline : Latency, optional
        Of the last accepted run, which a call is held to.
    trust_pickle : bool
        Load a user's pickle whatever it names.
    tamper : callable, optional
        Called with the bundle's path once it is written: tests plant faults by it.

    Returns
    -------
    CaseResult
    """
    if ("guard", "off") in case.options:
        assert toolkit is not None
        return run_unguarded_case(case, toolkit, link)
    clock = PhaseClock()
    notes: list[str] = []
    known: dict[str, Any] = {}
    attempts = 1
    if timing is None:
        timing = QUICK if link.board.virtual else THOROUGH
    try:
        if link.lost is not None:
            raise CaseAborted(
                Outcome.INFRA_ERROR, Stage.BOARD, f"The board was given up earlier: {link.lost}"
            )
        with tempfile.TemporaryDirectory(prefix="rknn-harness-") as name, np.errstate(all="ignore"):
            own = None
            if case.kind == "own" and models is not None:
                own = read_kept_model(models / str(case.source), trust_pickle)
            if toolkit is None:
                assert own is not None
                converted = open_own_bundle(own, clock, notes, known)
            else:
                converted = convert_case(case, toolkit, Path(name), clock, notes, known, corpus, own, tamper)
            while True:
                try:
                    with clock("connect"):
                        link.session()
                    with clock("health"):
                        if toolkit is not None:
                            link.prove(toolkit)
                    answer, again, times, more = run_on_board(converted, link, timing, notes, clock)
                    break
                except InfraError as error:
                    link.drop()
                    hopeless = isinstance(error, LeaseError)  # it has been waited for
                    if hopeless or (attempts >= ATTEMPTS and not link.revive(error)):
                        link.give_up(error)
                        raise CaseAborted(Outcome.INFRA_ERROR, Stage.BOARD, error) from error
                    notes.append(f"Attempt {attempts} ended on the way to the board: {error}")
                    attempts += 1
            with clock("judge"):
                verdict = judge(
                    converted.reference,
                    {**converted.answers, Stage.BOARD: answer},
                    converted.limits,
                    rows=converted.rows,
                    again=again,
                    board_is_virtual=link.board.virtual,
                    step=converted.step,
                    placement=converted.charged,
                )
                if baseline is not None:
                    more["latency_baseline"] = Stage.BOARD, latency_baseline(times.latency, baseline)
                verdict = with_properties(verdict, {**converted.properties, **more})
                # A bound that wide is no praise either.
                if case.kind != "corpus" and converted.refused and verdict.stage in STAGES_OFF_BOARD:
                    verdict = refused_verdict(verdict, converted.refused[0])
                if own is not None:
                    verdict, known["score"] = compare_own_model(own, verdict, converted, answer, notes)
    except Exception as error:
        # An error that nobody foresaw is the harness's own: it is recorded, and the run goes on.
        end = (
            error
            if isinstance(error, CaseAborted)
            else CaseAborted(Outcome.INFRA_ERROR, None, harness_failure(error))
        )
        return CaseResult(
            case,
            _outcome(case, end.outcome),
            end.stage,
            str(end),
            notes=tuple(notes),
            attempts=attempts,
            seconds=clock.seconds,
            board=link.board.name,
            **known,
        )
    return CaseResult(
        case,
        _outcome(case, verdict.outcome),
        verdict.stage,
        verdict.reason,
        metrics=verdict.metrics,
        properties=verdict.properties,
        notes=tuple(notes),
        latency=times.latency,
        cpu=times.cpu,
        clocks=times.clocks,
        samples=keep_samples(run_folder, case, link.board.name, times.samples) if run_folder else "",
        attempts=attempts,
        seconds=clock.seconds,
        board=link.board.name,
        **known,
    )


def _outcome(case: Case, outcome: Outcome) -> Outcome:
    """Return the outcome of a case; a fixed model that is refused has failed, but for those known to be.

    A toolkit or a converter that got worse would otherwise be excused.
    """
    is_known = case.kind != "dataset" or (case.source, case.precision) in REFUSED
    return outcome if is_known or outcome is not Outcome.UNSUPPORTED else Outcome.MISMATCH

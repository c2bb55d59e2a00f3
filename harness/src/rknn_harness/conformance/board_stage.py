"""The board's stage."""

from __future__ import annotations

from typing import Any

import numpy as np

import scirknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.conformance.convert_stage import Converted, PropertyFindings
from rknn_harness.conformance.outcome import CaseAborted, PhaseClock
from rknn_harness.conformance.properties import (
    asked_again,
    batch_latency,
    cores_agree,
    input_forms,
    rows_independent,
)
from rknn_harness.conformance.timing import (
    Times,
    Timing,
    time_on_board,
    with_cpu,
)
from rknn_harness.errors import BoardError
from rknn_harness.records.latency import summarize
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.verdicts.reference import Answer

Array = np.ndarray[Any, Any]


def run_on_board(
    converted: Converted, link: BoardLink, timing: Timing, notes: list[str], clock: PhaseClock
) -> tuple[Answer, Array, Times, PropertyFindings]:
    """Run a converted case on the board."""
    reference, bundle = converted.reference, converted.bundle
    X = reference.X
    session = link.session()
    more: PropertyFindings = {}
    try:
        with clock("load"):
            session.models.load(converted.path)
        with clock("predict"):
            said = session.models.predict(X)
            answer = Answer(said.output, said.predictions, said.probabilities)
        with clock("time"):
            batch = X[: bundle.variants[-1].samples]
            times = time_on_board(session, batch, timing)
            if len(batch) > 1 and not link.board.virtual:
                timed = session.timing.time_model(X[:1], timing.bounds)
                single = summarize(timed.samples, rows=1, warmup=timing.warmup)
                more["batch_latency"] = Stage.BOARD, batch_latency(times.latency, single)
        with clock("properties"):
            again = asked_again(session, X, forms=reference.takes_numbers)
            if len(bundle.variants) == 1 and len(X) > 1:
                # Files of several sizes are calibrated apart, and a row's place decides which one it takes.
                more["rows_independent"] = Stage.BOARD, rows_independent(answer.output, again)
            if reference.takes_numbers:  # what a pipeline looks up need not be there in another dtype
                more["input_forms"] = Stage.BOARD, input_forms(again, converted.model, X)
            more["cores_agree"] = Stage.BOARD, cores_agree(session, X, answer.output)
        with clock("time"):
            if reference.layers:
                inputs = reference.inputs[: bundle.variants[-1].samples]
                times = with_cpu(times, session, inputs, reference, timing, notes)
    except BoardError as error:
        outcome = {"load_error": Outcome.LOAD_ERROR, "timeout": Outcome.TIMEOUT}.get(
            error.kind, Outcome.RUN_ERROR
        )
        with clock("health"):
            found = link.examine()
        if found:
            notes.append(found)
        raise CaseAborted(outcome, Stage.BOARD, f"{error.type}: {error}") from error
    except scirknn.BundleError as error:
        raise CaseAborted(Outcome.LOAD_ERROR, Stage.BOARD, error) from error
    return answer, again["again"], times, more

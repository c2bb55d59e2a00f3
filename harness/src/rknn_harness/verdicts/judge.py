"""The verdict on one model: each stage's answer against scikit-learn's.

The first error is the verdict, of the stages in their order, and of each in this one:

1. shapes, and that numbers are finite;
2. the output before the output activation against the derived bound;
3. probabilities, or a regressor's predictions, against that bound carried through the output activation
   (`rknn_harness.verdicts.head_bounds`), and against the promised tolerance;
4. labels, on every row whose margin is larger than the limits;
5. the answer of each method in form and numbers (`rknn_harness.verdicts.method_bounds`);
6. the share of equal labels and R2, on at least 32 rows that the file was not built from;
7. the board against the virtual NPU run here: a virtual one bit for bit, and another too where all that a
   file computes follows measured rules, but for events on lane 0; otherwise within `BOARD_STEPS`;
8. the board against its own second answer, and the placement of each layer.

Each is a property of the case too, examined at every stage, so that no fault hides one of a later stage.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence

import attrs
import numpy as np

from rknn_harness.records.outcomes import Cause, Outcome, Stage
from rknn_harness.records.stage_metrics import StageMetrics
from rknn_harness.verdicts.comparisons import (
    ErrorLimit,
    beyond_limit,
    difference,
    finite_or_none,
    label_text,
    same_rows,
)
from rknn_harness.verdicts.head_bounds import HeadBound, bound_through_head
from rknn_harness.verdicts.lane_events import BitComparison, Compared, LaneComparison
from rknn_harness.verdicts.limits import Limits
from rknn_harness.verdicts.method_bounds import answers_to, method_errors
from rknn_harness.verdicts.reference import Answer, Reference
from scirknn.arrays import Array, Floats
from sklearn2rknn.checking.comparisons import are_clear, decision_margins, worst_r2

BOARD_STEPS = 8
"""Steps of the output's own format that a real board may lie from the virtual NPU where not all that a file
computes was measured on its chip: lookups, integers, chips other than the RK3588. To be made 0 when a board
has shown it.
"""

_FLAT = 0.01
"""A column that scatters by less, as a share of its largest magnitude, is constant to an integer format."""


@attrs.frozen
class Finding:
    """A property that was examined at a stage.

    Attributes
    ----------
    name : str
        One of `rknn_harness.records.case.PROPERTIES`.
    stage : Stage
    error : str or None
        How it failed, as a sentence.
    outcome : Outcome
        The case's, if this fails first; `Outcome.PASS` where the property says nothing of the numbers.
    note : str
        What was admitted in the comparison, as a sentence.
    cause : str
        Why it failed, where `name` does not say it.
    """

    name: str
    stage: Stage
    error: str | None
    outcome: Outcome = Outcome.MISMATCH
    note: str = ""
    cause: str = ""

    @classmethod
    def compared(cls, name: str, found: Compared, outcome: Outcome = Outcome.MISMATCH) -> Finding:
        """Return what a comparison of the board's answers found."""
        return cls(name, Stage.BOARD, found.error, outcome, found.note and f"{name}: {found.note}")


@attrs.frozen
class Verdict:
    """The end of a case: its outcome, the first stage that fails, and why as a sentence.

    `properties` holds what was examined: empty text, or a sentence that begins with the stage's name; `notes`
    what was admitted; `cause` is that of a `CaseResult`.
    """

    outcome: Outcome
    stage: Stage | None
    reason: str
    metrics: Mapping[Stage, StageMetrics] = attrs.field(factory=dict)
    properties: Mapping[str, str] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()
    cause: str = ""

    def with_findings(self, findings: Sequence[Finding]) -> Verdict:
        """Add properties; the first that failed ends a pass."""
        properties = dict(self.properties)
        for each in findings:
            if not properties.get(each.name):
                properties[each.name] = "" if each.error is None else f"{each.stage.value}: {each.error}"
        notes = (*self.notes, *(each.note for each in findings if each.note))
        verdict = attrs.evolve(self, properties=properties, notes=notes)
        failed = [each for each in findings if each.error is not None and each.outcome is not Outcome.PASS]
        if self.outcome is not Outcome.PASS or not failed:
            return verdict
        first = failed[0]
        return attrs.evolve(
            verdict,
            outcome=first.outcome,
            stage=first.stage,
            reason=str(first.error),
            cause=first.cause or first.name,
        )


def judge(
    reference: Reference,
    answers: Mapping[Stage, Answer],
    limits: Mapping[Stage, Limits],
    *,
    again: Array | None = None,
    board_is_virtual: bool = False,
    step: Floats | None = None,
    lanes: LaneComparison | None = None,
    placement: Sequence[tuple[str, str, str]] = (),
) -> Verdict:
    """Judge one model.

    Parameters
    ----------
    reference : Reference
        scikit-learn's answer.
    answers : mapping of Stage to Answer
        Of the later stages; one that could not answer is left out.
    limits : mapping of Stage to Limits
        One for each stage in `answers`.
    again : numpy.ndarray, shape (n, n_outputs), optional
        The board's second output for the same rows.
    board_is_virtual : bool
    step : numpy.ndarray, shape (n_outputs,), optional
        One step of the output's format, in the output's units; a real board is held to `BOARD_STEPS` of them
        where `lanes` is not exact.
    lanes : LaneComparison, optional
        Compares a real board's answers; not for a virtual one.
    placement : sequence of (layer, type, where)
        The layers that must be on the NPU.
    """
    metrics: dict[Stage, StageMetrics] = {}
    findings: list[Finding] = []
    # Stages on the NPU share their limits.
    head_bound = functools.cache(lambda shared: _head_bound(reference, shared))
    for stage in filter(answers.__contains__, Stage):
        answer, held_to = answers[stage], limits[stage]
        if answer.rows is None:
            trial = _Trial(stage, reference, answer, held_to, head_bound(held_to))
        else:
            truth, held_to = reference.take(answer.rows), held_to.take(answer.rows)
            trial = _Trial(stage, truth, answer, held_to, _head_bound(truth, held_to))
        error = _shape_or_numbers(trial)
        if error is not None:
            findings.append(Finding(trial.name_of("bound"), stage, error, cause=Cause.NO_NUMBERS))
            continue
        metrics[stage] = measure(trial.reference, answer, trial.limits)
        findings += _stage_findings(trial, metrics[stage])
        if stage is Stage.BOARD and Stage.VIRTUAL_NPU in answers:
            findings.append(_beside_virtual_npu(reference.X, answers, board_is_virtual, step, lanes))
    if again is not None:
        bits = lanes or BitComparison()
        whose = "its own first answer to the same rows"
        compared = bits.compare(reference.X, answers[Stage.BOARD].output, again, whose)
        findings.append(Finding.compared("deterministic", compared, Outcome.NONDETERMINISTIC))
    on_cpu = [f"{name} ({kind})" for name, kind, where in placement if where == "CPU"]
    if placement:
        error = f"On the CPU instead of the NPU: {', '.join(on_cpu)}." if on_cpu else None
        findings.append(Finding("all_on_npu", Stage.VIRTUAL_NPU, error, Outcome.CPU_FALLBACK))
    return Verdict(Outcome.PASS, None, "", metrics).with_findings(findings)


@attrs.frozen(eq=False)
class _Trial:
    """A stage's answer and what it is held to."""

    stage: Stage
    reference: Reference
    answer: Answer
    limits: Limits
    head_bound: HeadBound | None

    def name_of(self, name: str) -> str:
        """Return the property that a comparison at this stage counts under."""
        return "onnx_equals_sklearn" if self.stage is Stage.ONNX else name


def _head_bound(reference: Reference, limits: Limits) -> HeadBound | None:
    return None if limits.output is None else bound_through_head(reference, limits.output)


def _stage_findings(trial: _Trial, metrics: StageMetrics) -> Iterator[Finding]:
    cause, error = _numbers(trial, metrics)
    yield Finding(trial.name_of("bound"), trial.stage, error, cause=cause)
    if trial.reference.answer.probabilities is not None:
        cause, error = _labels(trial)
        yield Finding(trial.name_of("labels"), trial.stage, error, cause=cause)
    if trial.reference.methods and trial.head_bound is not None:
        yield Finding(trial.name_of("methods"), trial.stage, _methods(trial, trial.head_bound))


def _methods(trial: _Trial, head_bound: HeadBound) -> str | None:
    assert trial.limits.output is not None
    answered = answers_to(trial.reference, trial.answer.output)
    return next(method_errors(trial.reference, trial.limits.output, head_bound, answered), None)


def _beside_virtual_npu(
    X: Array,
    answers: Mapping[Stage, Answer],
    is_virtual: bool,
    step: Floats | None,
    lanes: LaneComparison | None,
) -> Finding:
    name, whose = "board_equals_virtual_npu", "the virtual NPU run here"
    here, board = answers[Stage.VIRTUAL_NPU].output, answers[Stage.BOARD].output
    if is_virtual:
        return Finding(name, Stage.BOARD, difference(here, board, whose))
    if lanes is not None and lanes.is_exact:
        return Finding.compared(name, lanes.compare(X, here, board, whose, of=1))
    if step is None:
        return Finding(name, Stage.BOARD, None)
    limit = np.broadcast_to(BOARD_STEPS * step, here.shape)
    basis = f"{BOARD_STEPS} steps of its format"
    error = beyond_limit("output", here, board, ErrorLimit(limit, basis, "the virtual NPU's"))
    return Finding(name, Stage.BOARD, error)


def measure(reference: Reference, answer: Answer, limits: Limits) -> StageMetrics:
    """Measure a stage whose shapes are right and whose numbers are finite."""
    theirs, counted = reference.answer, limits.rows_to_count(len(reference.X))
    error = np.abs(answer.output - theirs.output)
    share = None if limits.output is None else finite_or_none((error / limits.output).max())
    if theirs.probabilities is None:
        probability_error, agreement = None, None
        r2 = worst_r2(theirs.predictions[counted], answer.predictions[counted], flat=_FLAT)
    else:
        assert answer.probabilities is not None
        probability_error = finite_or_none(np.abs(answer.probabilities - theirs.probabilities).max())
        same = same_rows(theirs.predictions, answer.predictions)[counted]
        agreement, r2 = float(same.mean()) if len(same) else None, None
    return StageMetrics(
        rows=len(theirs.output),
        output_error=finite_or_none(error.max()),
        output_size=float(np.abs(theirs.output).max()),
        output_share=share,
        probability_error=probability_error,
        agreement=agreement,
        r2=r2,
        basis=limits.basis,
        limits=limits.recorded(),
    )


def _shape_or_numbers(trial: _Trial) -> str | None:
    theirs, answer = trial.reference.answer, trial.answer
    pairs = [("output", theirs.output, answer.output), ("prediction", theirs.predictions, answer.predictions)]
    if theirs.probabilities is not None:
        if answer.probabilities is None:
            return "No probabilities came back from a classifier."
        pairs.append(("probability", theirs.probabilities, answer.probabilities))
    for name, expected, values in pairs:
        if expected.shape != values.shape:
            return f"The {name} has shape {values.shape}, scikit-learn's {expected.shape}."
        if name == "prediction" and trial.reference.head == "exp" and trial.head_bound is not None:
            continue  # what a wide bound lets through may pass the range of exp; the bound says whether
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            place = tuple(np.argwhere(~np.isfinite(values))[0])
            return f"The {name} of row {place[0]} holds {values[place]}."
    return None


def _numbers(trial: _Trial, metrics: StageMetrics) -> tuple[str, str | None]:
    """Return how numbers are wrong as a sentence, if they are, behind its cause where it is not the bound."""
    theirs, answer, limits = trial.reference.answer, trial.answer, trial.limits
    name, expected, values = "prediction", theirs.predictions, answer.predictions
    if theirs.probabilities is not None and answer.probabilities is not None:
        name, expected, values = "probability", theirs.probabilities, answer.probabilities
    cause, error = "", None
    if limits.output is not None and trial.head_bound is not None:
        limit = ErrorLimit(limits.output, limits.basis)
        error = beyond_limit("output", theirs.output, answer.output, limit)
        limit = ErrorLimit(trial.head_bound.error, f"{limits.basis}, through the output activation")
        error = error or beyond_limit(name, expected, values, limit)
    if error is None and limits.probability is not None and theirs.probabilities is not None:
        limit = ErrorLimit(np.full(expected.shape, limits.probability), "the tolerance")
        cause, error = Cause.TOLERANCE, beyond_limit(name, expected, values, limit)
    if error is None and limits.r2 is not None and metrics.r2 is not None and metrics.r2 < limits.r2:
        cause = Cause.R2
        error = f"R2 against scikit-learn's predictions is {metrics.r2:.4f}; it must be {limits.r2} at least."
    return cause, error


def _labels(trial: _Trial) -> tuple[str, str | None]:
    """Return how labels are wrong as a sentence, if they are, behind its cause where that is their share."""
    theirs, answer, limits = trial.reference.answer, trial.answer, trial.limits
    one_of_them = trial.reference.task != "multilabel"
    same = same_rows(theirs.predictions, answer.predictions)
    settled = np.zeros(len(same), bool) if trial.head_bound is None else trial.head_bound.settled.copy()
    if limits.margin is not None:
        margins = decision_margins(theirs.deciding, one_of_them=one_of_them)
        settled |= margins.reshape(len(same), -1).min(axis=1) > limits.margin
    wrong = settled & ~same
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        return "", (
            f"Row {row} is labelled {label_text(answer.predictions[row])}, by scikit-learn "
            f"{label_text(theirs.predictions[row])}, and the margin is larger than the allowed error; "
            f"{int(wrong.sum())} of {len(same)} rows are so."
        )
    if limits.agreement is None:
        return "", None
    clear = are_clear(theirs.deciding, one_of_them=one_of_them)
    equal: Array = np.equal(theirs.predictions, answer.predictions).reshape(clear.shape)
    right = (equal | ~clear)[limits.rows_to_count(len(same))]
    if right.size and right.mean() < limits.agreement:
        what = "labels are scikit-learn's" if right.ndim > 1 else "rows have scikit-learn's label"
        return Cause.LABEL_SHARE, (
            f"{right.mean():.2%} of {right.size} {what}, ties counted as equal; at least "
            f"{limits.agreement:.4g} must."
        )
    return "", None

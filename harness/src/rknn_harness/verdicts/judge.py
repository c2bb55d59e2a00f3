"""The verdict on one model: what each stage said, against what scikit-learn said.

Pure functions of arrays. A stage is judged in this order, and the stages in theirs; the first thing wrong is
the verdict:

1. its shape, and that its numbers are finite;
2. its output before the head against the derived bound (`rknn_harness.verdicts.head_bounds`), where the case
has one;
3. its probabilities, or a regressor's predictions, against the bound carried through the head, and against
   the promised tolerance, where the case has one;
4. its labels, on every row whose margin is larger than what the limits leave open;
5. the share of equal labels and R2, where the case has such limits, on rows that the file was not
   built from: of fewer than 32 neither is stated;
6. the board against the virtual NPU run here: a virtual one bit for bit, another within `BOARD_STEPS`.

Then the board against itself (the same rows twice), and where each layer was placed. Each of these is a
property of the case too (`rknn_harness.records.case.PROPERTIES`): examined at every stage that spoke, so that
a fault at one stage hides none at another.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.stage_metrics import StageMetrics
from rknn_harness.verdicts.comparisons import (
    beyond_limit,
    difference,
    finite_or_none,
    label_margins,
    label_text,
    r2_score,
    same_rows,
)
from rknn_harness.verdicts.head_bounds import head_bounds
from rknn_harness.verdicts.reference import Answer, Floats, Reference
from sklearn2rknn.tolerances import FEWEST_ROWS, are_clear

__all__ = ["BOARD_STEPS", "Limits", "Verdict", "judge", "measure"]

BOARD_STEPS = 8
"""Steps of the output's own format that a real board may lie from the virtual NPU: how silicon rounds sums
that are longer than float32 holds is not known. To be made 0 when a board has shown it.
"""


@attrs.frozen(eq=False)
class Limits:
    """What a stage is held to; None where a limit does not apply.

    Attributes
    ----------
    basis : str
        Where the limits come from, for people.
    output : numpy.ndarray or None, shape (n, n_outputs)
        Largest error of each entry of the output before the head.
    probability : float or None
        Largest error of any probability.
    margin : float or None
        Labels must be equal where the top two probabilities differ by more; for several labels at once, where
        each probability is further than half of it from 0.5. With `output` alone the margin is derived from
        it.
    agreement : float or None
        Least share of equal labels, near ties counted as equal.
    r2 : float or None
        Least coefficient of determination of the predictions, scikit-learn's own taken as the truth.
    counted : numpy.ndarray of bool or None, shape (n,)
        Rows that shares and R2 are counted on: those that the file was not built from. None for all.
    """

    basis: str
    output: Floats | None = None
    probability: float | None = None
    margin: float | None = None
    agreement: float | None = None
    r2: float | None = None
    counted: np.ndarray[Any, np.dtype[np.bool_]] | None = None

    def take(self, rows: np.ndarray[Any, Any]) -> Limits:
        """Return the limits of some of the rows."""
        return attrs.evolve(
            self,
            output=None if self.output is None else self.output[rows],
            counted=None if self.counted is None else self.counted[rows],
        )

    def rows_to_count(self, count: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which of `count` rows shares and R2 are counted on: none where there are too few."""
        if self.counted is None:
            return np.ones(count, bool)
        enough = bool(self.counted.sum() >= FEWEST_ROWS)
        return self.counted if enough else np.zeros(count, bool)


@attrs.frozen
class Verdict:
    """The end of a case: its outcome, the first stage that departs, and why as a sentence.

    `properties` holds what was examined: empty text, or a sentence that begins with the stage's name.
    """

    outcome: Outcome
    stage: Stage | None
    reason: str
    metrics: Mapping[Stage, StageMetrics]
    properties: Mapping[str, str]


def judge(
    reference: Reference,
    answers: Mapping[Stage, Answer],
    limits: Mapping[Stage, Limits],
    *,
    rows: Mapping[Stage, np.ndarray[Any, Any]] | None = None,
    again: np.ndarray[Any, Any] | None = None,
    board_is_virtual: bool = False,
    step: Floats | None = None,
    placement: Sequence[tuple[str, str, str]] = (),
) -> Verdict:
    """Judge one model.

    Parameters
    ----------
    reference : Reference
        scikit-learn's answer.
    answers : mapping of Stage to Answer
        What the later stages said; a stage that could not speak is left out.
    limits : mapping of Stage to Limits
        One for each stage in `answers`.
    rows : mapping of Stage to numpy.ndarray of int, optional
        The rows that a stage answered, where it did not answer all.
    again : numpy.ndarray, shape (n, n_outputs), optional
        The board's second output for the same rows.
    board_is_virtual : bool
    step : numpy.ndarray, shape (n_outputs,), optional
        One step of the output's format, in the output's units; a real board is held to `BOARD_STEPS` of them.
    placement : sequence of (layer, type, where)

    Returns
    -------
    Verdict
    """
    metrics: dict[Stage, StageMetrics] = {}
    properties: dict[str, str] = {}
    found: tuple[Outcome, Stage, str] | None = None
    # Stages on the NPU share their limits.
    carried = functools.lru_cache(lambda held_to: _carried(reference, held_to))

    def examined(name: str, stage: Stage, wrong: str | None, outcome: Outcome = Outcome.MISMATCH) -> None:
        nonlocal found
        if not properties.get(name):
            properties[name] = "" if wrong is None else f"{stage.value}: {wrong}"
        if wrong is not None and found is None:
            found = outcome, stage, wrong

    for stage in Stage:
        if stage not in answers:
            continue
        answer, truth, held_to = answers[stage], reference, limits[stage]
        if rows and stage in rows:
            truth, held_to = reference.take(rows[stage]), held_to.take(rows[stage])
            through = _carried(truth, held_to)
        else:
            through = carried(held_to)
        name = "onnx_equals_sklearn" if stage is Stage.ONNX else "bound"
        wrong = _shape_or_numbers(truth, answer, bounded=through is not None)
        if wrong is not None:
            examined(name, stage, wrong)
            continue
        metrics[stage] = measure(truth, answer, held_to)
        examined(name, stage, _numbers(truth, answer, held_to, metrics[stage], through))
        if truth.answer.probabilities is not None:
            name = "onnx_equals_sklearn" if stage is Stage.ONNX else "labels"
            examined(name, stage, _labels(truth, answer, held_to, metrics[stage], through))
        if stage is Stage.BOARD and Stage.VIRTUAL_NPU in answers:
            here = answers[Stage.VIRTUAL_NPU].output
            if board_is_virtual:
                wrong = difference(here, answer.output, "the virtual NPU run here")
            elif step is not None:
                limit = np.broadcast_to(BOARD_STEPS * step, here.shape)
                wrong = beyond_limit(
                    "output",
                    here,
                    answer.output,
                    limit,
                    f"{BOARD_STEPS} steps of its format",
                    "the virtual NPU's",
                )
            examined("board_equals_virtual_npu", stage, wrong)
    if again is not None:
        wrong = difference(answers[Stage.BOARD].output, again, "its own first answer to the same rows")
        examined("deterministic", Stage.BOARD, wrong, Outcome.NONDETERMINISTIC)
    on_cpu = [f"{name} ({kind})" for name, kind, where in placement if where == "CPU"]
    if placement:
        wrong = f"On the CPU instead of the NPU: {', '.join(on_cpu)}." if on_cpu else None
        examined("all_on_npu", Stage.VIRTUAL_NPU, wrong, Outcome.CPU_FALLBACK)
    if found is None:
        return Verdict(Outcome.PASS, None, "", metrics, properties)
    outcome, stage, reason = found
    return Verdict(outcome, stage, reason, metrics, properties)


_Through = tuple[Floats, np.ndarray[tuple[int], np.dtype[np.bool_]]] | None


def _carried(reference: Reference, limits: Limits) -> _Through:
    return None if limits.output is None else head_bounds(reference, limits.output)


def measure(reference: Reference, answer: Answer, limits: Limits) -> StageMetrics:
    """Measure a stage whose shapes are right and whose numbers are finite."""
    theirs, counted = reference.answer, limits.rows_to_count(len(reference.X))
    error = np.abs(answer.output - theirs.output)
    share = None if limits.output is None else finite_or_none((error / limits.output).max())
    if theirs.probabilities is None:
        probability_error, agreement = None, None
        r2 = r2_score(theirs.predictions[counted], answer.predictions[counted])
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
    )


def _shape_or_numbers(reference: Reference, answer: Answer, *, bounded: bool) -> str | None:
    theirs = reference.answer
    pairs = [("output", theirs.output, answer.output), ("prediction", theirs.predictions, answer.predictions)]
    if theirs.probabilities is not None:
        if answer.probabilities is None:
            return "No probabilities came back from a classifier."
        pairs.append(("probability", theirs.probabilities, answer.probabilities))
    for name, expected, found in pairs:
        if expected.shape != found.shape:
            return f"The {name} has shape {found.shape}, scikit-learn's {expected.shape}."
        if name == "prediction" and reference.head == "exp" and bounded:
            continue  # what a wide bound lets through may pass the range of exp; the bound says whether
        if found.dtype.kind == "f" and not np.isfinite(found).all():
            place = tuple(np.argwhere(~np.isfinite(found))[0])
            return f"The {name} of row {place[0]} holds {found[place]}."
    return None


def _numbers(
    reference: Reference, answer: Answer, limits: Limits, metrics: StageMetrics, through: _Through
) -> str | None:
    theirs = reference.answer
    if limits.output is not None and through is not None:
        wrong = beyond_limit("output", theirs.output, answer.output, limits.output, limits.basis)
        if wrong is not None:
            return wrong
        name, expected, found = (
            ("prediction", theirs.predictions, answer.predictions)
            if theirs.probabilities is None
            else ("probability", theirs.probabilities, answer.probabilities)
        )
        assert found is not None
        wrong = beyond_limit(name, expected, found, through[0], f"{limits.basis}, through the head")
        if wrong is not None:
            return wrong
    if limits.probability is not None and theirs.probabilities is not None:
        assert answer.probabilities is not None
        limit = np.full(theirs.probabilities.shape, limits.probability)
        wrong = beyond_limit(
            "probability", theirs.probabilities, answer.probabilities, limit, "the tolerance"
        )
        if wrong is not None:
            return wrong
    if limits.r2 is not None and metrics.r2 is not None and metrics.r2 < limits.r2:
        return f"R2 against scikit-learn's predictions is {metrics.r2:.4f}; it must be {limits.r2} at least."
    return None


def _labels(
    reference: Reference, answer: Answer, limits: Limits, metrics: StageMetrics, through: _Through
) -> str | None:
    theirs = reference.answer
    same = same_rows(theirs.predictions, answer.predictions)
    settled = np.zeros(len(same), bool)
    if through is not None:
        settled |= through[1]
    if limits.margin is not None:
        settled |= label_margins(reference) > limits.margin
    if not same[settled].all():
        row = int(np.flatnonzero(settled & ~same)[0])
        return (
            f"Row {row} is labelled {label_text(answer.predictions[row])}, by scikit-learn "
            f"{label_text(theirs.predictions[row])}, and the margin is larger than the allowed error; "
            f"{int((settled & ~same).sum())} of {len(same)} rows are so."
        )
    if limits.agreement is not None:
        right = _right_or_tie(reference, answer, limits.rows_to_count(len(same)))
        if right.size and right.mean() < limits.agreement:
            what = "labels are scikit-learn's" if right.ndim > 1 else "rows have scikit-learn's label"
            return (
                f"{right.mean():.2%} of {right.size} {what}, ties counted as equal; at least "
                f"{limits.agreement:.4g} must."
            )
    return None


def _right_or_tie(
    reference: Reference, answer: Answer, counted: np.ndarray[Any, np.dtype[np.bool_]]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which labels of the counted rows are equal or near a tie: of each row, or of each column too."""
    theirs = reference.answer
    assert theirs.probabilities is not None
    clear = are_clear(theirs.probabilities, one_of_them=reference.task != "multilabel")
    equal = np.equal(theirs.predictions, answer.predictions).reshape(clear.shape)
    return np.asarray((equal | ~clear)[counted])

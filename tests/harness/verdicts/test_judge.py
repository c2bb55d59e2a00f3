"""The judge sees each planted fault, names its stage, and passes what is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import MultiOutputClassifier

from rknn_harness.models.random_mlp import has_poisson
from rknn_harness.models.strategies import specs
from rknn_harness.records.outcomes import Cause, Outcome, Stage
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.judge import Finding, Verdict, judge
from rknn_harness.verdicts.limits import Limits
from rknn_harness.verdicts.reference import Answer, Reference, answer_from_output, reference
from sklearn2rknn.checking.arithmetic import FLOAT16
from sklearn2rknn.checking.float_bounds import output_bound
from tests.converter.estimators.families.emulation import scaled
from tests.harness.emulated import float16_forward
from tests.harness.samples import SPEC, truth_of

REGRESSOR = attrs.evolve(SPEC, task="regressor", n_outputs=3)
BINARY = attrs.evolve(SPEC, task="binary", n_outputs=1, labels="bool")
MULTILABEL = attrs.evolve(SPEC, task="multilabel", n_outputs=4)


def derived(truth: Reference) -> Limits:
    return Limits("derived, float16", output=output_bound(truth.layers, truth.X, FLOAT16))


def emulated(truth: Reference) -> Answer:
    return answer_from_output(truth, float16_forward(truth.layers, truth.X, bias16=False, tables=True))


def board_says(truth: Reference, answer: Answer, limits: Limits | None = None, **more: Any) -> Verdict:
    return judge(truth, {Stage.BOARD: answer}, {Stage.BOARD: limits or derived(truth)}, **more)


@settings(max_examples=40, deadline=None)
@given(specs(extreme=False))
def test_a_right_answer_passes(spec: MlpSpec) -> None:
    truth = truth_of(spec)
    verdict = board_says(truth, emulated(truth))
    assert (verdict.outcome, verdict.stage, verdict.reason) == (Outcome.PASS, None, "")
    share = verdict.metrics[Stage.BOARD].output_share
    assert share is not None
    assert share <= 1


def swapped_labels(truth: Reference, answer: Answer) -> Answer:
    predictions = answer.predictions.copy()
    assert truth.classes is not None
    first, second = truth.classes[:2]
    predictions[answer.predictions == first], predictions[answer.predictions == second] = second, first
    return attrs.evolve(answer, predictions=predictions)


def one_row_late(truth: Reference, answer: Answer) -> Answer:
    return answer_from_output(truth, np.roll(answer.output, 1, axis=0))


def without_bias(truth: Reference, answer: Answer) -> Answer:
    last = attrs.evolve(truth.layers[-1], bias=np.zeros_like(truth.layers[-1].bias))
    return answer_from_output(
        truth, float16_forward([*truth.layers[:-1], last], truth.X, bias16=False, tables=True)
    )


def without_activation(truth: Reference, answer: Answer) -> Answer:
    layers = [attrs.evolve(layer, activation="identity") for layer in truth.layers]
    return answer_from_output(truth, float16_forward(layers, truth.X, bias16=False, tables=True))


def head_twice(truth: Reference, answer: Answer) -> Answer:
    assert answer.probabilities is not None
    return attrs.evolve(answer, probabilities=answer_from_output(truth, answer.probabilities).probabilities)


def columns_swapped(truth: Reference, answer: Answer) -> Answer:
    return answer_from_output(truth, answer.output[:, ::-1])


def padding_left_in(truth: Reference, answer: Answer) -> Answer:
    # Rows that a run was padded with come back as rows.
    return attrs.evolve(answer, predictions=np.concatenate([answer.predictions, answer.predictions[:1]]))


def not_a_number(truth: Reference, answer: Answer) -> Answer:
    output = answer.output.copy()
    output[5, 0] = np.nan
    return attrs.evolve(answer, output=output)


def one_last_row_zero(truth: Reference, answer: Answer) -> Answer:
    output = answer.output.copy()
    output[-1] = 0
    return answer_from_output(truth, output)


@pytest.mark.parametrize(
    ("spec", "fault", "says"),
    [
        (SPEC, swapped_labels, "is labelled"),
        (BINARY, swapped_labels, "is labelled"),
        (SPEC, one_row_late, "The output of row"),
        (REGRESSOR, one_row_late, "The output of row"),
        (SPEC, without_bias, "The output of row"),
        (REGRESSOR, without_bias, "The output of row"),
        (MULTILABEL, without_activation, "The output of row"),
        (SPEC, head_twice, "The probability of row"),
        (SPEC, columns_swapped, "The output of row"),
        (MULTILABEL, columns_swapped, "The output of row"),
        (SPEC, padding_left_in, r"The prediction has shape \(65,\), scikit-learn's \(64,\)"),
        (REGRESSOR, not_a_number, "The output of row 5 holds nan"),
        (SPEC, one_last_row_zero, "The output of row 63"),
    ],
)
def test_a_planted_fault_is_a_mismatch(
    spec: MlpSpec, fault: Callable[[Reference, Answer], Answer], says: str
) -> None:
    truth = truth_of(spec)
    verdict = board_says(truth, fault(truth, emulated(truth)))
    assert (verdict.outcome, verdict.stage) == (Outcome.MISMATCH, Stage.BOARD)
    assert re.search(says, verdict.reason), verdict.reason


def test_labels_and_chances_of_several_targets_are_judged_target_by_target() -> None:
    X, y = scaled("wine")
    targets = np.where(np.stack([y > 0, y > 1], axis=1), "yes", "no")
    truth = reference(MultiOutputClassifier(LogisticRegression()).fit(X, targets), X)
    limits = attrs.evolve(derived(truth), probability=1e-2, margin=2e-2, agreement=0.99)
    answer = answer_from_output(truth, truth.answer.output)
    assert board_says(truth, answer, limits).outcome is Outcome.PASS
    row, predictions = int(np.flatnonzero(y == 1)[0]), answer.predictions.copy()
    predictions[row] = ["no", "yes"]
    verdict = board_says(truth, attrs.evolve(answer, predictions=predictions), limits)
    assert verdict.reason.startswith(f"Row {row} is labelled ['no', 'yes']")
    assert answer.probabilities is not None
    first_is_last = attrs.evolve(answer, probabilities=answer.probabilities[:, [2, 3, 0, 1]])
    assert board_says(truth, first_is_last, limits).reason.startswith("The probability of row")


@pytest.mark.parametrize(
    ("spec", "fault", "limits", "cause"),
    [
        (SPEC, without_bias, None, "bound"),
        (SPEC, swapped_labels, None, "labels"),
        (REGRESSOR, not_a_number, None, Cause.NO_NUMBERS),
        (SPEC, without_bias, Limits("promised", probability=1e-3, margin=2e-3), Cause.TOLERANCE),
        (REGRESSOR, without_bias, Limits("promised", r2=0.999999), Cause.R2),
        (SPEC, columns_swapped, Limits("promised", agreement=0.99), Cause.LABEL_SHARE),
    ],
)
def test_a_verdict_names_its_cause_and_records_its_limits(
    spec: MlpSpec, fault: Callable[[Reference, Answer], Answer], limits: Limits | None, cause: str
) -> None:
    truth = truth_of(spec)
    verdict = board_says(truth, fault(truth, emulated(truth)), limits)
    assert (verdict.outcome, verdict.cause) == (Outcome.MISMATCH, cause)
    held_to = limits or derived(truth)
    for metrics in verdict.metrics.values():
        assert metrics.limits is not None
        assert metrics.limits == held_to.recorded()
        assert metrics.limits.probability == held_to.probability
        if held_to.output is not None:
            assert metrics.limits.output == (held_to.output.min(), held_to.output.max())


@pytest.mark.skipif(not has_poisson(), reason="this scikit-learn's MLPRegressor has no Poisson loss")
@pytest.mark.filterwarnings("ignore:overflow")
def test_an_exponential_may_overflow_where_the_bound_lets_it() -> None:
    truth = truth_of(MlpSpec(4, (8,), "relu", "poisson", 1, "int", None, 32, 1))
    far = answer_from_output(truth, truth.answer.output + 800.0)
    assert np.isinf(far.predictions).all()
    for bound, outcome in ((900.0, Outcome.PASS), (1.0, Outcome.MISMATCH)):
        limits = Limits("made up", output=np.full_like(truth.answer.output, bound))
        assert judge(truth, {Stage.BOARD: far}, {Stage.BOARD: limits}).outcome is outcome
    coarse = judge(truth, {Stage.BOARD: far}, {Stage.BOARD: Limits("coarse", r2=0.5)})
    assert "The prediction of row 0 holds inf" in coarse.reason
    none = attrs.evolve(truth.answer, predictions=np.full_like(truth.answer.predictions, np.nan))
    limits = Limits("made up", output=np.full_like(truth.answer.output, 900.0))
    assert "The prediction of row 0 is nan" in judge(truth, {Stage.BOARD: none}, {Stage.BOARD: limits}).reason


def test_the_first_stage_that_departs_is_named() -> None:
    truth = truth_of(SPEC)
    right, wrong = emulated(truth), without_bias(truth, emulated(truth))
    stages = [Stage.ONNX, Stage.SIMULATOR, Stage.VIRTUAL_NPU, Stage.BOARD]
    for place, first in enumerate(stages):
        answers = {stage: right if index < place else wrong for index, stage in enumerate(stages)}
        verdict = judge(truth, answers, {stage: derived(truth) for stage in stages}, board_is_virtual=True)
        assert (verdict.outcome, verdict.stage) == (Outcome.MISMATCH, first)
        assert set(verdict.metrics) == set(stages)


def test_what_is_only_recorded_ends_no_pass() -> None:
    slow = Finding("batch_latency", Stage.BOARD, "slower", Outcome.PASS)
    verdict = Verdict(Outcome.PASS, None, "").with_findings([slow])
    assert (verdict.outcome, verdict.properties) == (Outcome.PASS, {"batch_latency": "board: slower"})
    failed = verdict.with_findings([Finding("deterministic", Stage.BOARD, "other", Outcome.NONDETERMINISTIC)])
    assert (failed.outcome, failed.cause) == (Outcome.NONDETERMINISTIC, "deterministic")
    assert failed.with_findings([Finding("bound", Stage.ONNX, "far")]).cause == "deterministic"


def test_a_virtual_board_must_repeat_the_virtual_npu_to_the_bit() -> None:
    truth = truth_of(SPEC)
    right = emulated(truth)
    near = attrs.evolve(right, output=np.nextafter(right.output.astype(np.float32), np.float32(np.inf)))
    answers = {Stage.VIRTUAL_NPU: right, Stage.BOARD: near}
    limits = dict.fromkeys(answers, derived(truth))
    verdict = judge(truth, answers, limits, board_is_virtual=True)
    assert (verdict.outcome, verdict.stage) == (Outcome.MISMATCH, Stage.BOARD)
    assert "differs from the virtual NPU run here" in verdict.reason
    assert judge(truth, answers, limits, board_is_virtual=False).outcome is Outcome.PASS


@pytest.mark.parametrize(("steps", "outcome"), [(7.9, Outcome.PASS), (8.1, Outcome.MISMATCH)])
def test_a_real_board_is_held_to_eight_steps_of_its_output(steps: float, outcome: Outcome) -> None:
    truth = truth_of(SPEC)
    here, step = truth.answer, np.array([0.5, 1, 2, 4, 8]) * 1e-3
    output = here.output.copy()
    output[9] += steps * step * [1, -1, 1, -1, 1]
    answers = {Stage.VIRTUAL_NPU: here, Stage.BOARD: attrs.evolve(here, output=output)}
    limits = dict.fromkeys(answers, Limits("made up", output=np.ones_like(output)))
    verdict = judge(truth, answers, limits, step=step)
    assert verdict.outcome is outcome
    if outcome is Outcome.MISMATCH:
        assert verdict.reason.startswith("The output of row 9, column ")
        assert verdict.reason.endswith("(8 steps of its format); 1 of 64 rows are beyond it.")
        assert verdict.cause == "board_equals_virtual_npu"


def test_a_later_stage_s_failure_is_the_property_s_though_it_held_before() -> None:
    truth = truth_of(SPEC)
    answers = {Stage.VIRTUAL_NPU: emulated(truth), Stage.BOARD: without_bias(truth, emulated(truth))}
    verdict = judge(truth, answers, dict.fromkeys(answers, derived(truth)))
    assert verdict.properties["bound"].startswith("board: The output of row")
    again = verdict.with_findings([Finding("deterministic", Stage.BOARD, "Two.", Outcome.NONDETERMINISTIC)])
    assert (again.outcome, again.reason) == (verdict.outcome, verdict.reason)
    assert again.properties["deterministic"] == "board: Two."


def test_a_stage_that_answers_some_rows_is_judged_by_these() -> None:
    truth, rows = truth_of(SPEC), np.arange(60, 10, -2)
    limits = attrs.evolve(derived(truth), agreement=1.0, counted=np.isin(np.arange(64), rows))
    right = answer_from_output(truth, emulated(truth).output[rows], rows)
    for answer, outcome in ((right, Outcome.PASS), (without_row_8(truth, right), Outcome.MISMATCH)):
        verdict = judge(truth, {Stage.SIMULATOR: answer}, {Stage.SIMULATOR: limits})
        assert (verdict.outcome, verdict.metrics[Stage.SIMULATOR].rows) == (outcome, len(rows))
    assert verdict.reason.startswith("The output of row 8, column ")


def without_row_8(truth: Reference, answer: Answer) -> Answer:
    output = answer.output.copy()
    output[8] = output[9]
    return answer_from_output(truth, output, answer.rows)


def test_a_classifier_without_probabilities_is_a_mismatch() -> None:
    truth = truth_of(SPEC)
    verdict = board_says(truth, attrs.evolve(emulated(truth), probabilities=None))
    assert (verdict.reason, verdict.cause) == (
        "No probabilities came back from a classifier.",
        Cause.NO_NUMBERS,
    )


def test_two_answers_to_the_same_rows() -> None:
    truth = truth_of(SPEC)
    right = emulated(truth)
    assert board_says(truth, right, again=right.output).outcome is Outcome.PASS
    near = attrs.evolve(right, output=np.nextafter(right.output.astype(np.float32), np.float32(np.inf)))
    verdict = board_says(truth, right, again=near.output)
    assert (verdict.outcome, verdict.stage) == (Outcome.NONDETERMINISTIC, Stage.BOARD)


def test_a_layer_on_the_cpu() -> None:
    truth = truth_of(SPEC)
    placement = [("conv", "ConvRelu", "NPU"), ("last", "Reshape", "CPU")]
    verdict = board_says(truth, emulated(truth), placement=placement)
    assert verdict.outcome is Outcome.CPU_FALLBACK
    assert "last (Reshape)" in verdict.reason


def test_the_fixed_limits() -> None:
    truth = truth_of(attrs.evolve(SPEC, rows=100))
    right = truth.answer
    margins = np.sort(right.probabilities, axis=1)  # type: ignore[arg-type]
    clear = int((margins[:, -1] - margins[:, -2]).argmax())
    assert truth.classes is not None
    flipped = right.predictions.copy()
    flipped[clear] = truth.classes[0] if flipped[clear] != truth.classes[0] else truth.classes[1]
    one_off = attrs.evolve(right, predictions=flipped)

    assert board_says(truth, one_off, Limits("agreement", agreement=0.99)).outcome is Outcome.PASS
    verdict = board_says(truth, one_off, Limits("agreement", agreement=0.995))
    assert "99.00% of 100 rows" in verdict.reason
    assert board_says(truth, one_off, Limits("margin", margin=0.005)).outcome is Outcome.MISMATCH

    assert right.probabilities is not None
    near = attrs.evolve(right, probabilities=right.probabilities + 3e-3)
    assert board_says(truth, near, Limits("fixed", probability=2e-3)).outcome is Outcome.MISMATCH
    assert board_says(truth, near, Limits("fixed", probability=1e-2)).outcome is Outcome.PASS


def test_a_near_tie_may_change_its_label() -> None:
    truth = truth_of(SPEC)
    output = truth.answer.output.copy()
    first, second = np.argsort(output[0])[-2:][::-1]
    output[0, second] = output[0, first] - 1e-9
    tie = attrs.evolve(truth, answer=answer_from_output(truth, output))
    moved = output.copy()
    moved[0, second] += 1e-6
    answer = answer_from_output(tie, moved)
    assert answer.predictions[0] != tie.answer.predictions[0]
    assert (
        board_says(tie, answer, Limits("derived", output=np.full(moved.shape, 1e-5))).outcome is Outcome.PASS
    )

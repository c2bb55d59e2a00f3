"""Known defects of a conversion without guards are named by what they lose, and nothing else is."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from rknn_harness.conformance.unguarded import UnguardedConversion, defect_of, judge_unguarded
from rknn_harness.models.random_mlp import feature_scales
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.judge import Verdict
from rknn_harness.verdicts.reference import answer_from_output
from scirknn.arrays import Floats
from tests.harness.emulated import float16_forward
from tests.harness.samples import truth_of

NARROW = MlpSpec(1, (8,), "relu", "regressor", 2, "int", 1.0, 30, 3)
SCALED = MlpSpec(6, (8,), "relu", "regressor", 2, "int", 1.0, 30, 3, decades=2)
MISMATCH = Verdict(Outcome.MISMATCH, Stage.SIMULATOR, "far off")


def conversion(spec: MlpSpec, fault: str = "") -> UnguardedConversion:
    """Return a conversion each stage of which computes a network with a fault."""
    truth = truth_of(spec)
    scales = feature_scales(spec) if spec.decades else None
    layers, X = list(truth.layers), truth.X
    if scales is not None:
        layers[0] = attrs.evolve(layers[0], weights=layers[0].weights * scales[:, None])
        X = X / scales
    meant = tuple(layers)
    if fault == "no first bias":
        layers[0] = attrs.evolve(layers[0], bias=np.zeros_like(layers[0].bias))
    elif fault == "no last bias":
        layers[-1] = attrs.evolve(layers[-1], bias=np.zeros_like(layers[-1].bias))
    output: Floats = float16_forward(
        layers, truth.X if fault == "not scaled" else X, bias16=False, tables=True
    )
    if fault == "overflow":
        output[3] = np.inf
    answers = dict.fromkeys(
        (Stage.ONNX, Stage.SIMULATOR, Stage.VIRTUAL_NPU), answer_from_output(truth, output)
    )
    answers[Stage.ONNX] = truth.answer
    return UnguardedConversion(truth, meant, scales, np.zeros((1, 1, 1)), b"", answers)


@pytest.mark.parametrize(
    ("spec", "fault", "defect"),
    [
        (NARROW, "no first bias", "gemm-bias"),
        (NARROW, "no last bias", ""),
        (NARROW, "overflow", "float16-overflow"),
        (SCALED, "not scaled", "mean-std"),
        (SCALED, "", ""),
        (SCALED, "overflow", "float16-overflow"),
        (attrs.evolve(SCALED, decades=0), "overflow", "float16-overflow"),
        (SCALED, "no first bias", ""),  # of several features: no defect that is known
        (attrs.evolve(SCALED, n_features=1), "not scaled", "mean-std"),
    ],
)
def test_a_defect_is_named_by_what_it_loses(spec: MlpSpec, fault: str, defect: str) -> None:
    assert defect_of(conversion(spec, fault), MISMATCH) == defect


def test_a_pass_and_a_mismatch_of_a_later_stage_have_no_defect() -> None:
    for verdict in (Verdict(Outcome.PASS, None, ""), attrs.evolve(MISMATCH, stage=Stage.BOARD)):
        for fault in ("", "no first bias"):
            assert defect_of(conversion(NARROW, fault), verdict) == ""
            assert defect_of(conversion(SCALED, fault), verdict) == ""


@pytest.mark.parametrize("spec", [NARROW, SCALED])
@pytest.mark.parametrize("fault", ["", "no last bias"])
def test_every_stage_is_held_to_what_float16_can_do_to_the_network(spec: MlpSpec, fault: str) -> None:
    wrong = conversion(spec, fault)
    board = wrong.answers[Stage.SIMULATOR]
    verdict = judge_unguarded(wrong, board, board.output, board_is_virtual=True)
    assert verdict.outcome is (Outcome.MISMATCH if fault else Outcome.PASS), verdict.reason
    assert verdict.stage is (Stage.SIMULATOR if fault else None)
    other = board.output + np.spacing(board.output.astype(np.float32))
    again = judge_unguarded(
        conversion(spec), conversion(spec).answers[Stage.SIMULATOR], other, board_is_virtual=True
    )
    assert again.outcome is Outcome.NONDETERMINISTIC

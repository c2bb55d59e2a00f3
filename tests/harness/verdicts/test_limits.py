"""What each stage is held to: the derived bound, the promise, and on which rows shares are counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from rknn_harness.records.outcomes import Stage
from rknn_harness.verdicts.limits import Limits, given_limits, limits_for

ROWS, EXACT, BOUND = 400, 0.25, 2.0
PROMISED = {
    "float16": (0.002, 0.005, 0.995, 0.9994),
    "int16": (None, None, 0.995, 0.9994),
    "int8": (None, None, 0.98, 0.97),
}


def reference(activation: str = "relu") -> Any:
    X = np.zeros((ROWS, 3))
    return SimpleNamespace(X=X, inputs=X, activation=activation)


def bundle(precision: str, stated: float | None = None) -> Any:
    return SimpleNamespace(
        precision=precision, details={"promise": {"probability": stated}} if stated else {}
    )


def on_npu(
    precision: str = "float16",
    *,
    bound: float | None = BOUND,
    is_promised: bool = True,
    judged: int = ROWS,
    stated: float | None = None,
) -> Limits:
    """Return the limits of the board's stage, and check those of float32."""
    graph = SimpleNamespace(
        bundle=bundle(precision, stated),
        float32_bound=lambda X: np.full((len(X), 2), EXACT),
        file_bound=lambda X, files: None if bound is None else np.full((len(X), 2), bound),
    )
    limits = limits_for(reference(), cast(Any, graph), (), np.arange(judged), is_promised=is_promised)
    exact = limits[Stage.ONNX]
    assert exact.output is not None
    assert (exact.output == EXACT).all()
    assert tolerances(exact) == (None, None, None, None)
    assert limits[Stage.SIMULATOR] is limits[Stage.VIRTUAL_NPU] is limits[Stage.BOARD]
    return limits[Stage.BOARD]


def tolerances(limits: Limits) -> tuple[float | None, ...]:
    return limits.probability, limits.margin, limits.agreement, limits.r2


@pytest.mark.parametrize("precision", PROMISED)
def test_a_file_is_held_to_its_bound_and_on_rows_like_its_own_to_its_promise(precision: str) -> None:
    derived = on_npu(precision, is_promised=False)
    assert (derived.basis, tolerances(derived)) == (f"derived, {precision}", (None,) * 4)
    both = on_npu(precision)
    assert both.basis == f"derived and promised, {precision}"
    assert tolerances(both) == pytest.approx(PROMISED[precision])
    for limits in (derived, both):
        assert limits.output is not None
        assert (limits.output == EXACT + BOUND).all()


def test_where_nothing_is_derived_the_promise_holds_for_any_rows() -> None:
    limits = on_npu("int8", bound=None, is_promised=False)
    assert (limits.basis, limits.output) == ("promised, int8", None)
    assert tolerances(limits) == PROMISED["int8"]


@pytest.mark.parametrize(("stated", "margin"), [(0.002, 0.005), (0.01, 0.025), (0.5, 0.005)])
def test_the_promise_is_the_one_that_the_bundle_states_or_the_best(stated: float, margin: float) -> None:
    assert on_npu(stated=stated).margin == pytest.approx(margin)


def test_of_few_rows_one_wrong_label_is_no_share() -> None:
    assert on_npu(judged=40).agreement == 1 - 1 / 40


@pytest.mark.parametrize(("judged", "counted"), [(31, 0), (32, 32), (400, 400)])
def test_shares_are_counted_on_32_rows_of_its_own_or_on_none(judged: int, counted: int) -> None:
    limits = on_npu(judged=judged)
    assert np.flatnonzero(limits.rows_to_count(ROWS)).tolist() == list(range(counted))
    # Of a part of the rows those are counted that are the file's own no more than of all.
    part = limits.take(np.arange(90))
    assert part.output is not None
    assert len(part.output) == 90
    assert np.flatnonzero(part.rows_to_count(90)).tolist() == list(range(min(counted, 90)))


def test_a_bundle_of_before_is_held_to_its_promise_on_all_rows() -> None:
    limits = given_limits(reference("tanh"), bundle("float16"))
    assert limits.keys() == {Stage.SIMULATOR, Stage.VIRTUAL_NPU, Stage.BOARD}
    held_to = limits[Stage.BOARD]
    assert (held_to.basis, held_to.output) == ("promised, float16", None)
    assert tolerances(held_to) == pytest.approx((0.01, 0.025, 0.995, 0.9994))
    assert held_to.rows_to_count(ROWS).all()

"""Which of several precisions is on the front, and which is taken."""

from __future__ import annotations

import attrs
import pytest

from sklearn2rknn.candidates.candidate import Candidate, choose, pareto_front
from sklearn2rknn.checking.agreement import Agreement
from sklearn2rknn.checking.check_result import CheckResult


def candidate(name: str, seconds: float, size: int, labels: float, falls_short: str = "") -> Candidate:
    stages = {"virtual_npu": Agreement(0.1, 0.1, labels, None)}
    return Candidate(
        name=name,
        precision=name,
        accuracy="auto",
        size=size,
        check=CheckResult(input="held_out", rows=64, held_out=64, stages=stages),
        estimate=(seconds / 2, seconds),
        falls_short=falls_short,
    )


FLOAT16 = candidate("float16", 2.0, 20, 1.0)
PAIRS = candidate("float16 pairs", 3.0, 40, 1.0)
INT8 = candidate("int8", 1.0, 10, 0.9, "0.9 of the labels")
REFUSED = Candidate(name="int16", precision="int16", accuracy="auto", refusal="too large")


def test_what_another_matches_in_all_and_beats_in_one_is_not_on_the_front() -> None:
    assert pareto_front([FLOAT16, PAIRS, REFUSED, INT8]) == [FLOAT16, INT8]
    assert pareto_front([FLOAT16, attrs.evolve(FLOAT16, name="twin")]) != []


def test_equals_are_both_on_the_front() -> None:
    twin = attrs.evolve(FLOAT16, name="twin")
    assert pareto_front([FLOAT16, twin]) == [FLOAT16, twin]


def test_the_fastest_that_keeps_the_promise_is_taken() -> None:
    assert choose([PAIRS, INT8, FLOAT16, REFUSED]) is FLOAT16
    good = attrs.evolve(INT8, falls_short="")
    assert choose([PAIRS, good, FLOAT16]) is good


def test_where_none_keeps_the_promise_the_most_exact_is_taken() -> None:
    short = [attrs.evolve(each, falls_short="short") for each in (INT8, PAIRS, FLOAT16)]
    chosen = choose(short)
    assert chosen is not None
    assert chosen.name == "float16"  # as exact as pairs, and smaller


@pytest.mark.parametrize("candidates", [[], [REFUSED]])
def test_nothing_is_taken_where_all_are_refused(candidates: list[Candidate]) -> None:
    assert choose(candidates) is None
    assert pareto_front(candidates) == []


def test_without_an_estimate_size_decides() -> None:
    unknown = [attrs.evolve(each, estimate=None) for each in (PAIRS, FLOAT16)]
    assert choose(unknown) == unknown[1]

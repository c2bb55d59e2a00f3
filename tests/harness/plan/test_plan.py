"""The plan of a run: which models of families it tries beside networks."""

from __future__ import annotations

import pytest

from rknn_harness.errors import HarnessError
from rknn_harness.models.family import chosen_families, families, family_names, find_kind
from rknn_harness.plan.drawing import Draw, draw_cases, smallest_case
from rknn_harness.plan.plan import known_ids, make_plan
from rknn_harness.records.case import Case
from rknn_harness.records.specs.family_spec import FamilySpec


def planned(draw: Draw) -> list[Case]:
    entries = make_plan(toolkits=["2.3.2"], boards=["virtual"], draw=draw)
    return [entry.case for entry in entries if entry.case.kind == "family"]


def test_a_run_tries_one_model_of_each_family_by_default() -> None:
    cases = planned(Draw(("float16",), 0, 0, families=chosen_families(()), is_sample=True))
    assert [case.group for case in cases] == list(family_names())
    assert all(case.is_of_data_set for case in cases)


def test_a_chosen_family_has_its_data_sets_and_drawn_models() -> None:
    draw = Draw(("float16", "int8"), 0, 0, families=chosen_families(("kernels",)), family_count=5)
    cases = planned(draw)
    assert {case.group for case in cases} == {"kernels"}
    fixed = [case for case in cases if case.is_of_data_set]
    assert [case.source for case in fixed] == list(families()["kernels"].fixed)
    assert {case.precision for case in fixed} == {"float16"}
    assert 1 <= len(cases) - len(fixed) <= 5
    assert {case.id for case in cases} <= known_ids(draw, [])


@pytest.mark.parametrize(
    "draw",
    [
        Draw(("int8",), 0, 0, families=("linear",)),
        Draw(("float16",), 0, 0, families=chosen_families(("none",))),
        Draw(("float16",), 0, 0, guard=False, families=("linear",), family_count=3),
    ],
    ids=["another precision", "none", "without the guard"],
)
def test_a_run_without_families_has_none(draw: Draw) -> None:
    assert planned(draw) == []


def test_models_of_families_are_drawn_in_the_precisions_that_the_support_table_names() -> None:
    draw = Draw(("float16", "int8", "int16"), 0, 0, families=("kernels", "linear", "trees"), family_count=60)
    drawn = [case for case in draw_cases(draw) if isinstance(case.source, FamilySpec)]
    assert len(drawn) > 50
    assert all(case.precision in find_kind(case.source).precisions for case in drawn)  # type: ignore[arg-type]
    assert {(case.group, case.precision) for case in drawn} == {
        *(("linear", precision) for precision in draw.precisions),
        ("kernels", "float16"),
        ("kernels", "int16"),
        ("trees", "float16"),
    }


def test_a_family_that_has_none_of_the_precisions_has_no_drawn_models() -> None:
    draw = Draw(("int8",), 0, 0, families=("nearest_rows", "trees"), family_count=5)
    assert draw_cases(draw) == []


def test_an_unknown_family_is_named() -> None:
    with pytest.raises(HarnessError, match=r"There is no family .forests.\. Families are bayes, "):
        chosen_families(("kernels", "forests"))


def test_a_failing_model_of_a_family_shrinks_to_plain_rows() -> None:
    draw = Draw(("float16",), 0, 0, families=("linear",), family_count=30)
    first = planned(draw)[-1]
    smallest = smallest_case(first, draw, lambda case: True).source
    assert isinstance(smallest, FamilySpec)
    assert (smallest.decades, smallest.oddity, smallest.labels) == (0, "", "int")

"""Which cases are built a second time: by seed and id alone, and of every toolkit and precision."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from rknn_harness.plan.drawing import Draw
from rknn_harness.plan.plan import make_plan
from rknn_harness.plan.second_builds import AT_LEAST, draw_second_builds
from rknn_harness.records.case import Case, dataset_case, own_case
from rknn_harness.records.entry import Entry
from rknn_harness.records.run_folder import FORMAT, RunFolder

TOOLKITS = ("2.2.0", "2.3.2")
PLAN = make_plan(
    toolkits=TOOLKITS, boards=["virtual", "desk"], draw=Draw(("float16", "int8", "int16"), 60, 0)
)


def entries(cases: Iterable[Case]) -> list[Entry]:
    return [Entry(case, "virtual") for case in cases]


def made_up(count: int, precision: str = "int8") -> list[Entry]:
    return entries(dataset_case(f"model{n}", precision, "2.3.2", (64,)) for n in range(count))


def drawn(plan: Iterable[Entry]) -> set[str]:
    return {entry.case.id for entry in plan if entry.case.second_build}


def test_a_seed_draws_these_cases() -> None:
    plan = made_up(24)
    expected = {0: (0, 1, 2, 4, 7, 12, 13, 22), 1: (1, 2, 7, 13, 16, 21)}
    for seed, numbers in expected.items():
        assert drawn(draw_second_builds(plan, seed, 0.25)) == {f"model{n}-int8-n64" for n in numbers}
    assert drawn(draw_second_builds(plan, 0, 0.001)) == {f"model{n}-int8-n64" for n in (0, 2, 4, 22)}


def test_a_draw_does_not_depend_on_the_order_nor_on_what_else_is_tried() -> None:
    by_key = {entry.key: entry.case.second_build for entry in draw_second_builds(PLAN, 5, 0.25)}
    reverse = draw_second_builds(PLAN[::-1], 5, 0.25)
    assert {entry.key: entry.case.second_build for entry in reverse} == by_key
    part = [entry for entry in PLAN if (entry.case.toolkit, entry.board) == ("2.3.2", "desk")]
    part = [entry for entry in part if entry.case.precision == "int16"]
    assert all(entry.case.second_build == by_key[entry.key] for entry in draw_second_builds(part, 5, 0.25))


@pytest.mark.parametrize("seed", range(5))
def test_every_toolkit_and_precision_has_cases_that_are_drawn(seed: int) -> None:
    for share in (0.25, 0.001):
        plan = draw_second_builds(PLAN, seed, share)
        for toolkit in TOOLKITS:
            for precision in ("float16", "int8", "int16"):
                group = [each for each in plan if each.case.toolkit == toolkit]
                group = [each for each in group if each.case.precision == precision]
                assert AT_LEAST <= len(drawn(group)) < len({each.case.id for each in group})


def test_a_share_of_many_cases_is_drawn() -> None:
    count = len(drawn(draw_second_builds(made_up(4000), 7, 0.25)))
    assert abs(count - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5


def test_all_or_none_are_drawn_by_a_share_of_1_or_0() -> None:
    assert draw_second_builds(PLAN, 3, 1.0) == PLAN
    assert drawn(draw_second_builds(PLAN, 3, 0.0)) == set()


def test_all_of_few_cases_and_of_a_users_own_are_drawn() -> None:
    few = made_up(AT_LEAST)
    own = entries(own_case(f"mine{n}", "int8", "2.3.2", (64,)) for n in range(20))
    assert draw_second_builds(few, 0, 0.001) == tuple(few)
    assert draw_second_builds(own, 0, 0.001) == tuple(own)


def test_a_resumed_run_has_the_draw_of_the_one_that_broke(tmp_path: Path) -> None:
    plan = draw_second_builds(made_up(24), 0, 0.25)
    with RunFolder.begin(tmp_path / "run", {"format": FORMAT, "toolkits": [], "boards": {}}, plan):
        pass
    with RunFolder.resume(tmp_path / "run") as resumed:
        assert resumed.plan() == plan


def test_a_plan_of_before_builds_every_case_a_second_time() -> None:
    (entry,) = made_up(1)
    document = json.loads(json.dumps(entry.to_json()))
    del document["second_build"]
    assert Entry.from_json(document) == entry

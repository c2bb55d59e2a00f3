"""The registry of rules: complete, sourced, shown in the docs, and counted for a file."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import virtual_npu
from tests.virtual_npu.execute.test_virtual_npu import _tanh_table
from tests.virtual_npu.rknn_writer import Chain, Dense, small, write
from virtual_npu import RknnFile, evidence, read, rules_followed
from virtual_npu.evidence import RULES, Kind, Rule
from virtual_npu.program.loader import LoadedTask, load
from virtual_npu.program.memory import Memory
from virtual_npu.program.registers import ENABLE_BITS

PAGE = Path(__file__).parents[2] / "docs" / "virtual-npu.md"


def marked() -> set[Rule]:
    """Return the rules that functions, classes and methods of the package are marked with."""
    rules: set[Rule] = set()
    for module in pkgutil.walk_packages(virtual_npu.__path__, "virtual_npu."):
        if module.name.endswith("__main__"):
            continue
        members = list(vars(importlib.import_module(module.name)).values())
        classes = [member for member in members if inspect.isclass(member)]
        methods = [getattr(each, "__func__", each) for one in classes for each in vars(one).values()]
        for member in [*members, *methods]:
            if inspect.isfunction(member) or inspect.isclass(member):
                rules.update(vars(member).get("rules", ()))
    return rules


def test_every_rule_is_followed_somewhere_and_every_rule_followed_is_in_the_registry() -> None:
    assert marked() == set(RULES)


@pytest.mark.parametrize("module", ["data_processor_stages", "data_processor_operands"])
def test_what_makes_stages_names_its_rules(module: str) -> None:
    """A stage that a new operator brings cannot be left out of the registry."""
    members = vars(importlib.import_module(f"virtual_npu.execute.{module}"))
    makers = {
        name
        for name, member in members.items()
        if inspect.isfunction(member) and "Stage" in str(inspect.signature(member).return_annotation)
    }
    assert makers - {"_in_place"}
    unnamed = {name for name in makers if not getattr(members[name], "rules", ())}
    assert unnamed == ({"_in_place"} & makers), "mark them with @follows"


def test_names_are_unique_and_every_rule_is_a_sentence() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.text.endswith(".") and rule.unit and rule.changes for rule in RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_evidence_names_its_source(rule: Rule) -> None:
    known = rule.evidence
    assert known.source
    if known.kind is Kind.SILICON:
        assert "github.com/" in known.source
        assert known.date
        assert known.extent
    else:
        assert not known.date


def test_the_docs_show_the_registry() -> None:
    """Regenerate: ``python -c "from virtual_npu import evidence; print(evidence.table())"``."""
    assert evidence.table() in PAGE.read_text("utf-8")


def test_questions_are_the_probe_s() -> None:
    asking = pytest.importorskip("rknn_harness.probe.asking", reason="rknn-harness is not installed")
    assert {rule.question for rule in RULES if rule.question} <= asking.QUESTIONS.keys()


def names(file: RknnFile, cores: int = 1) -> list[str]:
    return [rule.name for rule in rules_followed(file, cores)]


FLOAT = ["float16_sums", "lane_zero", "float_addends"]
OUTPUT = ["float_output", "overflow"]
LOOKUP = ["lookup_lines", "lookup_ends", "lookup_index", "lookup_side", "lookup_offset", "lookup_zero"]


def test_a_file_follows_the_rules_of_its_own_units() -> None:
    float16 = read(small())
    assert names(float16) == [*FLOAT, "relu", *OUTPUT]
    for cores in (2, 3):
        assert names(float16, cores) == [*FLOAT, "relu", *OUTPUT, "cores_wait"]
    integers = ["integer_sums", "channel_scaling", "kernel_offsets", "output_conversion"]
    assert names(read(small("int8"))) == integers
    tanh = Dense(np.eye(8), np.zeros(8), table=_tanh_table(), factor=5424.0)
    followed = names(read(write(Chain([tanh], samples=8))))
    assert followed == [*FLOAT, "float_factors", *LOOKUP, *OUTPUT]


EW = 1 << 9 | 1 << 7 | 1 << 6
"""EW_CFG of a second operand from memory, without lookup and ReLU; the algorithm is in bits 16 to 19."""

EDITS: list[tuple[str, dict[int, int], str, str]] = [
    # dtype, registers, rules that come and that go
    ("float16", {0x100C: 2 << 7 | 2 << 4 | 3}, "spread_point", "float16_sums lane_zero"),
    ("int8", {0x301C: 1}, "shortened_sums", ""),
    ("int8", {0x4050: 0x127}, "", "kernel_offsets"),
    ("float16", {0x4040: 0x20160}, "negative_factors", ""),
    ("float16", {0x4040: 0x20152}, "", "float_addends"),
    ("int8", {0x4060: 0x42}, "integer_norm", ""),
    ("int8", {0x4060: 0xD2}, "relu", ""),
    ("float16", {0x4070: EW}, "larger_of_two", ""),
    ("float16", {0x4070: EW | 3 << 16}, "division", ""),
    ("float16", {0x4070: EW | 2 << 16}, "elementwise fused_addition", ""),
    ("float16", {0x4070: EW | 1 << 2}, "elementwise fused_addition", ""),
    ("float16", {0x4070: EW & ~(1 << 6)}, "larger_of_constant", ""),
    ("int8", {0x4070: EW}, "integer_elementwise", ""),
    ("float16", {0x4070: 1 << 7 | 1 << 1}, "relu", ""),
    ("int8", {0x4070: 0x302}, "lookup_lines lookup_ends lookup_side integer_lookup", ""),
    ("float16", {0x4070: 0x302, 0x4120: 1}, " ".join([*LOOKUP, "lookup_slopes"]), ""),
    ("float16", {0x4034: 7 << 22 | 3}, "largest_channel", ""),
    ("float16", {0x4010: 3 << 29 | 2 << 26 | 2}, "bfloat16_output", "float_output overflow"),
    ("float16", {0x4010: 1 << 29 | 1 << 26 | 2, 0x5044: 1 << 15 | 0x810}, "unconverted", ""),
    ("float16", {0x400C: 1 << 31 | 0x1E5}, "shared_surfaces", ""),
]


@pytest.mark.parametrize(("dtype", "edit", "more", "fewer"), EDITS)
def test_a_task_calls_for_the_rules_of_what_its_registers_switch_on(
    dtype: str, edit: dict[int, int], more: str, fewer: str
) -> None:
    ones = np.ones(3, np.int16)
    layer = Dense(np.ones((3, 8)), np.zeros(3), multipliers=ones)
    usual, edited = (
        set(names(read(write(Chain([layer], 4, dtype, edit={0: registers}))))) for registers in ({}, edit)
    )
    assert (edited - usual, usual - edited) == (set(more.split()), set(fewer.split()))


def test_units_that_stand_still_follow_no_rule_and_factors_of_pooling_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edit = {0x4010: 1 << 29 | 1 << 26 | 2, 0x5044: 1 << 15 | 0x810}
    file = read(write(Chain([Dense(np.ones((3, 8)), np.zeros(3))], 4, edit={0: edit})))
    (task,) = load(file, Memory(file), 1)
    followed = set(names(file))
    for changed, more, fewer in (
        (without(task, "DPU_RDMA"), {"output_conversion"}, {*OUTPUT, "unconverted"}),
        (without(task, "DPU"), set(), {*OUTPUT, "unconverted", "float_addends"}),
        (without(task, "CNA"), set(), {"float16_sums", "lane_zero"}),
        (dataclasses.replace(task, factors=(0.5, 0.5)), {"pooling_factors"}, set()),
    ):
        monkeypatch.setattr("virtual_npu.program.rules_followed.load", lambda *_, task=changed: [task])
        edited = set(names(file))
        assert (edited - followed, followed - edited) == (more, fewer)


def without(task: LoadedTask, unit: str) -> LoadedTask:
    return dataclasses.replace(task, enable_mask=task.enable_mask & ~(1 << ENABLE_BITS[unit]))


def test_a_lookup_of_a_softmax_has_an_offset_of_its_own() -> None:
    tanh = Dense(np.eye(8), np.zeros(8), table=_tanh_table(), factor=5424.0)
    file = read(write(Chain([tanh], samples=8)))
    nodes = tuple(dataclasses.replace(node, type="exSoftmax13") for node in file.nodes)
    assert "softmax_offset" not in names(file)
    assert "softmax_offset" in names(dataclasses.replace(file, nodes=nodes))


@pytest.mark.filterwarnings("ignore::virtual_npu.OverWideFieldWarning")
def test_more_lines_than_their_register_holds_are_an_assumption() -> None:
    assert "input_height" in names(read(write(Chain([Dense(np.ones((3, 8)), np.zeros(3))], samples=2048))))


def test_rules_are_counted_by_kind() -> None:
    counts = evidence.count_by_kind(rules_followed(read(small("int8"))))
    assert counts == {Kind.SILICON: 4, Kind.SIMULATOR: 0, Kind.ASSUMED: 0}
    assert evidence.sentence(rules_followed(read(small("int8")))) == (
        "4 rules of arithmetic: 4 measured on silicon, 0 as the vendor's simulator has them, 0 assumed"
    )

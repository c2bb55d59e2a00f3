"""Which rules of arithmetic a file's program calls for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from virtual_npu import evidence
from virtual_npu.evidence import Rule
from virtual_npu.program import registers as r
from virtual_npu.program.field_widths import over_wide_fields
from virtual_npu.program.layout_layers import LAYOUT_LAYERS
from virtual_npu.program.loader import LoadedTask, load
from virtual_npu.program.memory import Memory
from virtual_npu.rknn_file.model_file import Node, RknnFile

_OF_ALGORITHM: Final = {0: evidence.LARGER_OF_TWO, 3: evidence.DIVISION}  # EW_ALU_ALGO, of floats


def rules_followed(file: RknnFile, cores: int = 1) -> tuple[Rule, ...]:
    """Return the rules that the silicon arithmetic follows in a file, in the order of `evidence.RULES`.

    Parameters
    ----------
    file : RknnFile
    cores : {1, 2, 3}
        Which of the file's programs.

    Raises
    ------
    UnsupportedProgram
        The program cannot be loaded.
    """
    tasks = load(file, Memory(file), cores)
    nodes = [node for node in file.nodes if node.type not in LAYOUT_LAYERS]
    followed = {rule for node in nodes for rule in _of_node(node, tasks)}
    if cores > 1:
        followed.add(evidence.CORES_WAIT)
    if over_wide_fields(file):
        followed.add(evidence.INPUT_HEIGHT)
    return tuple(rule for rule in evidence.RULES if rule in followed)


def _of_node(node: Node, tasks: Iterable[LoadedTask]) -> set[Rule]:
    rules = {rule for task in tasks if task.node == node.index for rule in _of_task(task)}
    if evidence.LOOKUP_OFFSET in rules and "Softmax" in node.type:
        rules.add(evidence.SOFTMAX_OFFSET)
    return rules


def _of_task(task: LoadedTask) -> Iterator[Rule]:
    if not task.runs("DPU_RDMA"):
        task = task.without_reads()
    if task.runs("CNA"):
        yield from _of_convolution(task)
    if task.runs("DPU"):
        is_float = task[r.PROC_PRECISION] == r.FLOAT16
        yield from _of_scaling(task, r.BS_CFG, evidence.CHANNEL_SCALING, is_float)
        yield from _of_scaling(task, r.BN_CFG, evidence.INTEGER_NORM, is_float)
        if not task[r.EW_BYPASS]:
            yield from _of_elementwise(task, is_float)
        yield from _of_output(task, is_float)
    if task.factors:
        yield evidence.POOLING_FACTORS


def _of_convolution(task: LoadedTask) -> Iterator[Rule]:
    if task[r.CONV_MODE] == r.DEPTHWISE:
        yield evidence.SPREAD_POINT
    elif task[r.CNA_PROC_PRECISION] == r.FLOAT16:
        yield evidence.FLOAT16_SUMS
        yield evidence.LANE_ZERO
    else:
        yield evidence.INTEGER_SUMS
        if not task[r.OD_BYPASS]:
            yield evidence.KERNEL_OFFSETS
    if task[r.CLIP_TRUNCATE]:
        yield evidence.SHORTENED_SUMS


def _of_scaling(task: LoadedTask, register: int, integer: Rule, is_float: bool) -> Iterator[Rule]:
    config = task.registers.get(register, 0)
    bypass, no_addend, no_factor, no_relu = (config >> bit & 1 for bit in (0, 1, 4, 6))
    if bypass:
        return
    only_negatives = config >> 5 & 1 and not no_factor
    if only_negatives:
        yield evidence.NEGATIVE_FACTORS
    if not is_float and not (no_addend and (no_factor or only_negatives)):
        yield integer
    if is_float and not no_addend:
        yield evidence.FLOAT_ADDENDS
    if is_float and not (no_factor or only_negatives):
        yield evidence.FLOAT_FACTORS
    if not no_relu or config >> 7 & 1:
        yield evidence.RELU


def _of_elementwise(task: LoadedTask, is_float: bool) -> Iterator[Rule]:
    has_operand = not task[r.EW_OP_BYPASS]
    if has_operand and not task[r.EW_OP_SRC]:
        yield evidence.LARGER_OF_CONSTANT
    elif has_operand and not is_float:
        yield evidence.INTEGER_ELEMENTWISE
    elif has_operand:
        by_algorithm = {} if task[r.EW_OP_TYPE] else _OF_ALGORITHM
        rule = by_algorithm.get(task[r.EW_ALU_ALGO], evidence.ELEMENTWISE)
        yield rule
        if rule is evidence.ELEMENTWISE and task.runs("CNA"):
            yield evidence.FUSED_ADDITION
    if not task[r.EW_RELU_BYPASS]:
        yield evidence.RELU
    if not task[r.EW_LUT_BYPASS]:
        yield evidence.LOOKUP_LINES
        yield evidence.LOOKUP_ENDS
        if task[r.LUT_LE_SLOPE_UFLOW_SCALE] or task[r.LUT_LO_SLOPE_OFLOW_SCALE]:
            yield evidence.LOOKUP_SLOPES
        yield evidence.LOOKUP_SIDE
        if is_float:
            yield evidence.LOOKUP_INDEX
            yield evidence.LOOKUP_OFFSET
            yield evidence.LOOKUP_ZERO
        else:
            yield evidence.INTEGER_LOOKUP


def _of_output(task: LoadedTask, is_float: bool) -> Iterator[Rule]:
    if task[r.MINMAX_CTL]:
        yield evidence.LARGEST_CHANNEL
    precision = task[r.OUT_PRECISION]
    if task.is_unconverted:
        yield evidence.UNCONVERTED
    if precision == r.FLOAT16 or task.is_unconverted:
        yield evidence.FLOAT_OUTPUT
        yield evidence.OVERFLOW
    elif precision == r.BFLOAT16:
        yield evidence.BFLOAT16_OUTPUT
    elif precision < r.FLOAT16:
        yield evidence.OUTPUT_CONVERSION
    if task[r.FLYING_MODE] and task[r.COMB_USE]:
        yield evidence.SHARED_SURFACES

"""Join tasks that share a layer.

The compiler cuts a layer into tasks where it outgrows the NPU's buffer, and deals it out to cores: by lines,
or by kernels. Such tasks differ in where they start and how much they take, in nothing else, and are
independent of each other. Joined, the programs for one, two and three cores become the same operations and
give the same bits, in whatever order a sum is formed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from virtual_npu.program import registers as r
from virtual_npu.program.loader import LoadedTask
from virtual_npu.program.registers import Field

# How the buffer is filled and which group of registers is next: not what is computed.
_MECHANICS: Final = {0x1004, 0x1010, 0x102C, 0x1040, 0x1044, 0x1084, 0x3004, 0x4004, 0x5004}
_BASES: Final = (
    r.FEATURE_BASE_ADDR,
    r.DECOMPRESS_ADDR0,
    r.DST_BASE_ADDR,
    r.BS_BASE_ADDR,
    r.SRC_BASE_ADDR,
    r.EW_BASE_ADDR,
    r.BN_BASE_ADDR,
)
_LINES: Final = (r.DATAIN_HEIGHT, r.DATAOUT_HEIGHT, r.CUBE_HEIGHT, r.HEIGHT_WDMA, r.RDMA_HEIGHT)
_KERNELS: Final = (
    r.WEIGHT_KERNELS,
    r.WEIGHT_BYTES,
    r.DATAOUT_CHANNEL,
    r.CUBE_CHANNEL,
    r.ORIG_CHANNEL,
    r.CHANNEL_WDMA,
    r.RDMA_CHANNEL,
)
_WHOLE_COUNTS: Final = (r.DATAIN_HEIGHT, r.WEIGHT_KERNELS, r.WEIGHT_BYTES)  # the others hold one less


def join_tasks(tasks: list[LoadedTask]) -> list[LoadedTask]:
    """Join tasks of a layer that carry on with the next lines or kernels.

    Within a layer, the PPU's copies come last: with them cores wait until all have done their share.
    """
    joined: list[LoadedTask] = []
    layer: list[LoadedTask] = []
    for task in tasks:
        if layer and layer[0].node != task.node:
            joined += _joined(layer)
            layer = []
        layer.append(task)
    return joined + _joined(layer)


def _joined(layer: list[LoadedTask]) -> list[LoadedTask]:
    work = [task for task in layer if not task.runs("PPU")]
    waiting = [task for task in layer if task.runs("PPU")]
    if all(task.runs("CNA") for task in work):  # shares of one convolution, in the order of what they take
        work.sort(key=lambda task: (task[r.DECOMPRESS_ADDR0], task[r.FEATURE_BASE_ADDR]))
    for split, steps in ((_LINES, _line_steps), (_KERNELS, _kernel_steps)):
        joined: list[LoadedTask] = []
        for task in work:
            both = _join(joined[-1], task, split, steps) if joined else None
            joined[-1:] = [both] if both else [*joined[-1:], task]
        work = joined
    return work + waiting


def _line_steps(task: LoadedTask) -> dict[Field, int]:
    lines = task[r.DATAIN_HEIGHT]
    unit = task.chip.atoms[2] if task[r.GROUP_LINE_OFF] else 4
    line = task.image_line if task[r.ARGB_IN] else task[r.LINE_STRIDE] * unit
    written = (task[r.CUBE_WIDTH] + 1 + task[r.NOTCH_ADDR_0]) * _atom(task)
    return {r.FEATURE_BASE_ADDR: lines * line, r.DST_BASE_ADDR: lines * written}


def _kernel_steps(task: LoadedTask) -> dict[Field, int]:
    channels = task[r.CUBE_CHANNEL] + 1
    use = task[r.BRDMA_DATA_USE] if task.runs("DPU_RDMA") else 0
    group = _atom(task) // (1 if task[r.OUT_PRECISION] == r.INT8 else 2)
    return {
        r.DECOMPRESS_ADDR0: task[r.WEIGHT_BYTES],
        r.DST_BASE_ADDR: channels // group * task[r.DST_SURF_STRIDE] * _atom(task),
        r.BS_BASE_ADDR: channels * ((use & 1) * 4 + (use >> 1 & 1) * 2 + (use >> 2 & 1) * 2),
    }


def _join(
    first: LoadedTask,
    second: LoadedTask,
    split: tuple[Field, ...],
    steps: Callable[[LoadedTask], dict[Field, int]],
) -> LoadedTask | None:
    """Return one task that does both, or None."""
    if not first.runs("CNA") or first.enable_mask != second.enable_mask:
        return None
    fields = [field for field in split if _active(first, field.address)]
    moves = steps(first)
    for base in _BASES:
        if _active(first, base.address) and second[base] != first[base] + moves.get(base, 0):
            return None
    # A share of kernels must end on full groups: none of its channels may be padding.
    last = first[r.CUBE_CHANNEL]
    if r.CUBE_CHANNEL in fields and not last == first[r.ORIG_CHANNEL] == first[r.WEIGHT_KERNELS] - 1:
        return None
    if not _same(first, second, {field.address for field in fields}):
        return None
    if split is _LINES and _overlaps(first, second):
        return None
    registers = dict(first.registers)
    for field in fields:
        total = first[field] + second[field] + (field not in _WHOLE_COUNTS)
        if total >> field.bits:
            return None
        registers[field.address] = registers.get(field.address, 0) + (total - first[field] << field.low)
    return replace(first, registers=registers)


def _overlaps(first: LoadedTask, second: LoadedTask) -> bool:
    """Whether lines run into another surface, so that what is written later lies over it.

    Observation (softmax behind Gemm of several rows): each task writes a row's sixteen channels, of which
    the next row's task takes the second half for its first.
    """
    lines = first[r.CUBE_HEIGHT] + second[r.CUBE_HEIGHT] + 2
    points = lines * (first[r.CUBE_WIDTH] + 1 + first[r.NOTCH_ADDR_0])
    one_atom = (first[r.CHANNEL_WDMA] + 1) * (1 if first[r.OUT_PRECISION] == r.INT8 else 2) <= _atom(first)
    return not one_atom and first[r.DST_SURF_STRIDE] < points


def _same(first: LoadedTask, second: LoadedTask, shares: set[int]) -> bool:
    """Whether two tasks' registers say the same but for place, share and mechanics."""
    if any((a != b).any() for a, b in zip(first.tables, second.tables, strict=False)):
        return False
    free = shares | _MECHANICS | {base.address for base in _BASES}
    return all(
        first.registers.get(address, 0) == second.registers.get(address, 0)
        for address in first.registers.keys() | second.registers.keys()
        if address not in free and _active(first, address)
    )


def _active(task: LoadedTask, address: int) -> bool:
    unit = r.UNITS.get(address >> 12)
    return unit is None or task.runs(unit)  # of a unit that is not known, every difference counts


def _atom(task: LoadedTask) -> int:
    """Return the bytes of an atom that the task writes."""
    return task.chip.atoms[4 if task[r.OUT_PRECISION] in (r.INT32, r.FLOAT32) else 2]

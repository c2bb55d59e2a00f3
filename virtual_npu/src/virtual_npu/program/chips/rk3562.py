"""RK3562: the RK3588's atoms, half its kernels in a group.

Registers of CNA, CORE and DPU have other addresses. Observations (toolkits 2.2.0 to 2.5.0, the same graph
for either chip):

- CNA counts channels as they are.
- A unit at 0x8000 has the same registers in every task.
- Tasks of the graph's output lay it out for the host; the executor leaves them out (see `execute.steps`).
"""

from __future__ import annotations

from typing import Final

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.program import registers as r
from virtual_npu.program.chips import rk3562_family_convolution, rk3562_family_dpu
from virtual_npu.program.chips.chip import Chip, Translation

_LUT: Final = {0: 0, 1: 0, 0x160: r.LOOKUP_PRIORITIES}  # LUT_CFG here: there
_BUFFERS: Final = (0x1004, 0x1010, 0x1018, *range(0x1030, 0x1048, 4), 0x106C, 0x108C, 0x1098)


def _translate(task: Translation) -> None:
    task.require(0x8028, 0, 0xC)
    task.require(0x802C, 0, 0xFFFFFFFF)
    if task.runs("CNA"):
        _convolution(task)
    if task.runs("DPU"):
        _data_processor(task)
    if task.runs("DPU_RDMA"):
        rk3562_family_dpu.reader(task)
        task.copy(0x501C, 0x5028)
        task.move(r.RDMA_COMB_USE, 0x5044, 8)
        task.move(r.RDMA_IN_PRECISION, 0x5044, 15)
        if rk3562_family_dpu.division_of_floats(task):
            task.put(r.RDMA_IN_PRECISION, r.FLOAT16)
        task.ignore(0x5044)


def _convolution(task: Translation) -> None:
    task.ignore(*_BUFFERS)
    task.require(0x100C, 1, low=28, bits=1)
    task.copy(0x1014, 0x1100, 0x1110)
    task.move(r.WEIGHT_BYTES, 0x101C)
    task.move(r.WEIGHT_BYTES_PER_KERNEL, 0x1020)
    task.require(0x1020, 1, low=29, bits=1)
    task.registers[0x1038] = task.take(0x1024)
    channels = task.take(0x1028)
    task.put(r.DATAIN_CHANNEL, -(-channels // 8) * 8)
    task.put(r.DATAIN_CHANNEL_REAL, (channels - 1) % 64)
    width = task.move(r.DATAIN_WIDTH, 0x102C, 16)
    task.move(r.DATAIN_HEIGHT, 0x102C)
    rk3562_family_convolution.translate(task, width)


def _data_processor(task: Translation) -> None:
    config = rk3562_family_dpu.data_processor(task, task.take(0x5014) + 1)
    if rk3562_family_dpu.scales_integers(config):
        factor, shift = task.take(0x4044), config >> 8 & 0x3F
        if factor:
            task.registers[r.BS_MUL_CFG] = factor | shift << 8
        elif shift:
            raise UnsupportedProgram("DPU", "BS_MUL_CFG", factor, "a shift and no factor")
        else:
            task.registers[r.BS_CFG] |= rk3562_family_dpu.NO_FACTOR
    task.put(r.OD_BYPASS, 1 - task.take(0x4054, 31, 1))
    task.put(r.OW_SRC, task.take(0x4050, 0, 1))
    task.require(0x4050, 1 - task.registers[0x4050] & 1, low=1, bits=1)
    task.move(r.OW_OP, 0x4054)
    task.put(r.BS_NEGATIVE_SHIFT, task.take(0x4054, 16, 6))  # [assumed]: BS's shift once more
    bn = task.take(r.BN_CFG)
    clipping = rk3562_family_dpu.clipping(task)
    task.registers[r.BN_CFG] = bn | clipping
    task.copy(0x4064, 0x4068)
    task.registers[r.LUT_CFG.address] = _LUT[task.require(0x4108, *_LUT)]
    task.copy(*range(0x410C, 0x4130, 4))


RK3562: Final = Chip(
    operand_group=4, kernel_groups={1: 16, 2: 8}, translate=_translate, names=rk3562_family_dpu.NAMES
)

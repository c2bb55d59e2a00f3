"""RK3576: the RK3588's atoms and weights.

CNA, CORE and DPU have other addresses, constants lie in memory. Observations (toolkits 2.2.0 to 2.5.0,
the same graph for either chip):

- CNA counts channels, kernels and points less one.
- Constants of BS and BN lie in memory (tensors ``..._BScfgTensor``, ``..._BNcfgTensor``), one after the other
  as a mask says: the addend in 32 bytes, the kernels' offset, the factor and the shifts in 16 each. Each is
  written many times over. A shift's first byte is for products from 0 on, its second for those below
  [silicon: github.com/gregordinary/rockchip-npu-notes, encodings/out-cvt-converter.md at 224b1390, September
  2026: one RK3576, BS].
- There is one lookup table of both halves, with a start and an end for each of four, all the same, and the
  value beyond them at 0x4188 to 0x4194: that of the table's end in three places of four, 0 in the first.
- int8 kernels are of an even number, the last one as padding.
"""

from __future__ import annotations

import struct
from typing import Final

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.program import registers as r
from virtual_npu.program.chips import rk3562_family_convolution, rk3562_family_dpu
from virtual_npu.program.chips.chip import Chip, Translation

_BUFFERS: Final = (0x1004, 0x1010, 0x1018, *range(0x1030, 0x1048, 4), 0x108C, 0x1098)
_TABLE: Final = 0x2000006  # LUT_CFG of a task that looks up
_UPLOADED: Final = 0xFF0000  # and of one that uploads
_FACTORS: Final = 4  # in the mask of what is read for each channel
# BN_CFG here: BN_CFG there.
_BN: Final = {0x903: 0x13, 0x902: 0x12, 0x920: 0x20010, 0x20: 0x20000}


def _translate(task: Translation) -> None:
    if task.runs("CNA"):
        _convolution(task)
    if task.runs("DPU"):
        _data_processor(task)
    if task.runs("DPU_RDMA"):
        rk3562_family_dpu.reader(task)
        task.take(0x5034, 6, 1)  # whether constants are read
        task.put(r.BRDMA_DATA_USE, task.take(0x501C, 8, 3))
        task.move(r.RDMA_IN_PRECISION, 0x5044, 15)
        task.ignore(0x5044)


def _convolution(task: Translation) -> None:
    task.ignore(*_BUFFERS)
    task.copy(0x1100, 0x1110)
    task.registers[0x1014] = task.take(0x1014, 0, 28)
    task.take(0x1014, 28, 1)  # shared with another core
    task.move(r.WEIGHT_BYTES, 0x101C)
    task.move(r.WEIGHT_BYTES_PER_KERNEL, 0x1020)
    task.put(r.WEIGHT_KERNELS, task.take(0x1024, 0, 14) + 1)
    task.put(r.WEIGHT_WIDTH, 1)  # what a larger kernel would write is not known: weights would be too many
    task.put(r.WEIGHT_HEIGHT, 1)
    channels = task.take(0x1028, 0, 16) + 1
    task.take(0x1028, 16, 16)  # of buffers
    task.put(r.DATAIN_CHANNEL, -(-channels // 8) * 8)
    task.put(r.DATAIN_CHANNEL_REAL, (channels - 1) % 64)
    width, height = task.take(0x102C, 16, 16) + 1, task.take(0x102C, 0, 16) + 1
    task.put(r.DATAIN_WIDTH, width)
    task.put(r.DATAIN_HEIGHT, height)
    task.take(0x3018, 28, 1)
    rk3562_family_convolution.translate(task, width)


def _data_processor(task: Translation) -> None:
    task.take(0x400C, 30, 1)
    config = rk3562_family_dpu.data_processor(task, task.take(0x5014) + 1)
    use = task.take(0x501C, 8, 3)
    bs = _constants(task, task.take(0x501C, 1, 4), task.take(0x5024))
    bn = _constants(task, task.take(0x5028, 1, 4), task.take(0x5030))
    if config == rk3562_family_dpu.BS_ADD_CONSTANT:
        task.registers[0x4044] = bs.get("addend", 0) & 0xFFFFFFFF
    elif rk3562_family_dpu.scales_integers(config):
        if task.require(0x4044, 0, 1) and use & _FACTORS:
            shifts = bs.get("shift", 0)
            task.registers[r.BS_MUL_CFG] = 1 | (shifts & 0x3F) << 8
            task.put(r.BS_NEGATIVE_SHIFT, shifts >> 8)
        elif use & _FACTORS or bs.get("shift"):
            raise UnsupportedProgram("DPU", "BS_MUL_CFG", use, "a shift and no factor")
        else:
            task.registers[r.BS_CFG] |= rk3562_family_dpu.NO_FACTOR
    task.ignore(0x4044)
    task.put(r.OD_BYPASS, 1 - task.take(0x4050, 31, 1))
    task.put(r.OW_SRC, task.take(0x4050, 16, 1))
    task.require(0x4050, 1 - r.OW_SRC.of(task.registers[0x4050]), low=17, bits=1)
    task.take(0x4050, 0, 16)  # sizes
    task.put(r.OW_OP, bs.get("offset", 0))
    clipping = rk3562_family_dpu.clipping(task)
    task.registers[r.BN_CFG] = _BN[task.require(r.BN_CFG, *_BN)] | clipping
    task.registers[0x4064] = bn.get("addend", 0) & 0xFFFFFFFF
    task.registers[0x4068] = (bn.get("factor", 0) & 0xFFFF) << 16 | (bn.get("shift", 0) & 0x3F) << 8
    if task.require(0x4108, 0, _TABLE, _UPLOADED) == _TABLE:
        _lookup(task)


def _constants(task: Translation, mask: int, address: int) -> dict[str, int]:
    """Read what the bits of `mask` say is there."""
    values, place = {}, address
    for bit, name, size, form in (
        (1, "addend", 32, "<i"), (2, "offset", 16, "<h"), (4, "factor", 16, "<h"), (8, "shift", 16, "<H"),
    ):  # fmt: skip
        if mask & bit:
            (values[name],) = struct.unpack_from(form, task.constant(place, size))
            place += size
    return values


def _lookup(task: Translation) -> None:
    start = {task.take(address, signed=True) for address in range(0x4110, 0x4120, 4)}
    end = {task.take(address, signed=True) for address in range(0x4140, 0x4150, 4)}
    places = range(0x4188, 0x4198, 4)
    end_values = [task.take(address, low, 16, signed=True) for address in places for low in (0, 16)]
    if len(start) != 1 or len(end) != 1:
        raise UnsupportedProgram("DPU", "LUT_LE_START", min(start), "four tables that differ")
    low, high = start.pop(), end.pop()
    if task.tables and not (
        {*end_values[:4]} <= {0, int(task.tables[0][0])} and {*end_values[4:]} <= {0, int(task.tables[1][-1])}
    ):
        raise UnsupportedProgram("DPU", "0x4188", str(end_values), "not the table's ends beyond them")
    task.registers[r.LUT_CFG.address] = r.LOOKUP_PRIORITIES
    task.copy(0x410C)
    task.put(r.LUT_LE_START, low)
    task.put(r.LUT_LE_END, low + high >> 1)
    task.put(r.LUT_LO_START, low + high >> 1)
    task.put(r.LUT_LO_END, high)


RK3576: Final = Chip(even_kernels=True, translate=_translate, names=rk3562_family_dpu.NAMES)

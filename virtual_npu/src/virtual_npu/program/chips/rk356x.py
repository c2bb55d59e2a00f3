"""RK3566 and RK3568: atoms of 8 bytes, nearly the RK3588's registers.

Observations (toolkits 2.2.0 to 2.5.0, the same graph for either chip):

- A unit at 0x2000, between CNA and CORE, with the precision once more.
- CNA counts lines and surfaces in atoms. Layers of one column lie along the width.
- A table is uploaded in two tasks, one a half.
- The output conversion has no exponent: what a float16 lookup needs of 2**-15 comes after it, as 0.0055237
  times itself. Either the PPU multiplies what it writes by it, as the two reciprocals of an average
  over one point (0x5DA8, a float of 6 bits of exponent and 10 of mantissa, which is what NVDLA's PDP takes:
  nvdla.org, hw/v1/ias/unit_description), or a task of its own reads the lookup back as float32 and has it as
  the factors of BS and BN (0x1DA8 as float16: the same number).
- Division of float16 calls what it reads and writes int16. Taken at its word it would be off by hundreds; as
  float16 it agrees with the simulator.
- Tasks of the graph's output lay it out for the host; the executor leaves them out (see `execute.steps`).
"""

from __future__ import annotations

from typing import Final

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.program import registers as r
from virtual_npu.program.chips.chip import Chip, Translation

_ATOMS: Final = {1: 8, 2: 8, 4: 16}
_DIVIDE: Final = 3
_TO_MEMORY, _TO_PPU = 4, 1
_IDLE_UNIT: Final = (0x2004, 0x200C)  # precision once more
_BUFFERS: Final = (0x1004, 0x1010, 0x1018, 0x1028, 0x102C, 0x1040, 0x1044, 0x1078, 0x1084, 0x1088)


def _translate(task: Translation) -> None:
    task.ignore(*_IDLE_UNIT)
    to_ppu = False
    if task.runs("CNA"):
        _convolution(task)
    if task.runs("DPU"):
        to_ppu = task.require(0x400C, _TO_MEMORY, _TO_PPU, low=1, bits=3) == _TO_PPU
        _data_processor(task)
    if task.runs("DPU_RDMA"):
        _reader(task)
    if to_ppu:
        _average_of_one_point(task)


def _convolution(task: Translation) -> None:
    task.ignore(*_BUFFERS, 0x3004, 0x300C)
    task.move(r.CNA_IN_PRECISION, 0x100C, 4)
    task.move(r.CNA_PROC_PRECISION, 0x100C, 8)
    task.move(r.CONV_MODE, 0x100C, 0)
    task.put(r.CORE_PROC_PRECISION, task.take(0x100C, 8, 3))
    task.put(r.GROUP_LINE_OFF, 1)
    _channels(task)
    task.copy(0x1014, 0x1030, 0x1034, 0x1038, 0x1070, 0x1100, 0x1110)
    # Values are converted with a scale of 1.
    task.require(0x104C, 0xA)
    for address in (0x1050, 0x1054, 0x1058, 0x105C):
        task.require(address, 0x10000)
    task.put(r.CVT_BYPASS, 1)
    task.take(0x1068, 16, 16)  # the value that padding would have
    width = task.move(r.DATAIN_WIDTH, 0x1020, 16)
    task.move(r.DATAIN_HEIGHT, 0x1020)
    task.put(r.LINE_STRIDE, task.take(0x107C, 0, 28))
    task.put(r.SURF_STRIDE, task.take(0x1080, 0, 28) - width)
    task.move(r.DATAOUT_WIDTH, 0x3010)
    task.move(r.DATAOUT_HEIGHT, 0x3010, 16)
    task.move(r.DATAOUT_CHANNEL, 0x3014)
    task.move(r.CLIP_TRUNCATE, 0x302C)


def _channels(task: Translation) -> None:
    """Take the channels, of which the RK3588 counts those past the last full 64."""
    aligned = task.move(r.DATAIN_CHANNEL, 0x1024)
    last = task.take(0x1024, 16, 14)
    if last >= 64 and last // 64 != (max(aligned, 1) - 1) // 64:
        raise UnsupportedProgram("CNA", "DATA_SIZE1", aligned, f"but {last + 1} channels")
    task.put(r.DATAIN_CHANNEL_REAL, last % 64)


def _data_processor(task: Translation) -> None:
    task.ignore(0x4004, 0x40C0)
    task.take(0x400C, 8, 1)  # burst
    if task.take(0x4030, 0, 13) == task.take(0x4034, 0, 13) == 0:
        task.take(0x400C, 25, 1)  # NONALIGN, SURF_LEN: one point's atoms follow each other, padded or not
        task.take(0x400C, 9, 16)
    for low, bits in ((0, 1), (30, 2)):  # FLYING_MODE, TP_EN, COMB_USE
        task.registers[0x400C] = task.registers.get(0x400C, 0) | task.take(0x400C, low, bits) << low
    task.copy(0x4010, 0x4014, 0x4020, 0x4030, 0x4034, 0x4038, 0x403C, 0x4050, 0x4054)
    out = r.OUT_PRECISION.of(task.registers[0x4010])
    task.put(r.DST_SURF_STRIDE, task.take(0x4024) // _ATOMS[4 if out == r.FLOAT32 else 2])
    task.put(r.WIDTH_WDMA, task.take(0x4030, 0, 13))
    task.put(r.HEIGHT_WDMA, task.take(0x4034, 0, 13))
    task.put(r.CHANNEL_WDMA, task.take(0x403C, 0, 13))
    for config in (r.BS_CFG, r.BN_CFG):  # the ALU's algorithm has another place
        task.put(r.Field("ALU_ALGO", config, 16, 4), task.take(config, 2, 2))
        task.registers[config] |= task.take(config) & ~0xC
    task.copy(0x4044, 0x4048, 0x404C, 0x4064, 0x4068, 0x406C)
    task.put(r.EW_ALU_ALGO, task.take(r.EW_CFG, 3, 2))
    task.registers[r.EW_CFG] |= task.take(r.EW_CFG) & ~0x18
    task.copy(0x4074, 0x4078, 0x407C, 0x4080, 0x4084, 0x4088)
    task.copy(*range(0x4090, 0x40B0, 4), *range(0x4108, 0x4130, 4))
    task.ignore(0x4100, 0x4104)  # tables are followed as they are uploaded
    if _is_division(task) and out == r.INT16:
        task.put(r.OUT_PRECISION, r.FLOAT16)


def _is_division(task: Translation) -> bool:
    config = task.registers.get(r.EW_CFG, 1)
    used = not r.EW_BYPASS.of(config) and not r.EW_OP_BYPASS.of(config) and not r.EW_OP_TYPE.of(config)
    floats = r.PROC_PRECISION.of(task.registers.get(0x4010, 0)) == r.FLOAT16
    return used and floats and r.EW_ALU_ALGO.of(config) == _DIVIDE


def _reader(task: Translation) -> None:
    task.ignore(0x5004, 0x5024, 0x5068)
    task.copy(0x500C, 0x5010, 0x5014, 0x5018, 0x5020, 0x502C, 0x5038)
    for address in (0x501C, 0x5028):  # bit 0: nothing is read
        if not task.take(address, 0, 1):
            task.registers[address] = task.take(address)
    task.put(r.ERDMA_DISABLE, task.take(0x5034, 0, 1))
    task.put(r.ERDMA_DATA_SIZE, 1 + task.take(0x5034, 2, 2))
    task.move(r.ERDMA_DATA_MODE, 0x5034, 30)
    task.put(r.EW_SURF_STRIDE, task.take(0x5040) // _ATOMS[2])
    task.ignore(0x503C)
    task.take(0x5044, 14, 1)  # burst
    task.take(0x5044, 5, 2)  # precision once more
    task.take(0x5044, 0, 1)  # FLYING_MODE
    read = task.move(r.RDMA_IN_PRECISION, 0x5044, 15)
    task.put(r.SURF_NOTCH_ADDR, task.take(0x504C, signed=True) // _ATOMS[4 if read == r.FLOAT32 else 2])
    if _is_division(task) and read == r.INT16:
        task.put(r.RDMA_IN_PRECISION, r.FLOAT16)


def _average_of_one_point(task: Translation) -> None:
    task.ignore(0x6004, 0x60DC)
    for size, field in (
        (0x600C, r.CUBE_WIDTH),
        (0x6018, r.CUBE_WIDTH),
        (0x6010, r.CUBE_HEIGHT),
        (0x601C, r.CUBE_HEIGHT),
        (0x6014, r.CUBE_CHANNEL),
        (0x6020, r.CUBE_CHANNEL),
    ):
        task.require(size, field.of(task.registers.get(field.address, 0)))
    for address in (0x6024, 0x6034, 0x6040, 0x6044, 0x6048, 0x604C, 0x6050):  # average, one point, no padding
        task.require(address, 0)
    task.require(0x6084, 2, low=0, bits=3)  # float16
    task.take(0x6084, 3, 29)  # where an index map would be
    task.factors = (_short_float(task.take(0x6038)), _short_float(task.take(0x603C)))
    task.registers[r.DST_BASE_ADDR.address] = task.take(0x6070)
    task.put(r.DST_SURF_STRIDE, task.take(0x607C) // _ATOMS[2])
    task.enable_mask &= ~(1 << r.ENABLE_BITS["PPU"])


def _short_float(bits: int) -> float:
    """Return a normal number of 6 bits of exponent and 10 of mantissa."""
    return (1 + (bits & 0x3FF) / 1024) * 2.0 ** ((bits >> 10 & 0x3F) - 31)


RK356X: Final = Chip(_ATOMS, 4, {1: 16, 2: 8}, {1: 32, 2: 16}, translate=_translate)

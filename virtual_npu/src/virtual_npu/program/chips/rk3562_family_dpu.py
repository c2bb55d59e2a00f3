"""The DPU of RK3562 and RK3576.

It has the RK3588's stages at other addresses, each with bounds of its own. Observations, from programs
for the same graphs (toolkits 2.2.0 to 2.5.0): every stage ends in a lower and an upper bound, which are
the ends of a signed 32-bit integer where nothing is bounded, in float programs too; ReLU is a lower bound
of 0, a clip an upper one besides. BS and EW are known by all bits of their configuration, of which no
more values were seen than are listed here. Only CORE and DPU_RDMA hold the
number of channels with padding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.program import registers as r
from virtual_npu.program.chips.chip import Translation

_LEAST, _MOST = 0x80000000, 0x7FFFFFFF
BS_ADD, BS_ADD_CONSTANT, _BS_OFF = 0x100092, 0x100012, 0x53
_ADDING: Final = 2 << 16  # the RK3588's place of the ALU's algorithm
_MEMORY: Final = 1 << 8  # the addend is read
NO_FACTOR, _NO_RELU, _CLIPPED, _BYPASS = 1 << 4, 1 << 6, 1 << 7, 1  # of the RK3588's BS_CFG and BN_CFG

_DIVISION: Final = 0x10421C8
# EW_CFG here: EW_CFG there. Operands for each element; DPU_RDMA says whether they are.
_ELEMENTWISE: Final = {
    0x10041C1: 0x383,  # nothing
    0x10040C1: 0x383,
    0x1004140: 0x302,  # lookup
    0x1004194: 0x008003C4,  # multiplication
    0x10F4194: 0x008003C4,
    _DIVISION: 0x008303C0,  # division
    0x810021C8: 0x008303C0,
}

_KEPT: Final = {*range(0x1100, 0x1184, 4), *range(0x4100, 0x4114, 4), *range(0x5000, 0x8000, 4)}
_OWN_TABLE: Final = Path(__file__).with_name("rk3562_family_registers.txt")
NAMES: Final = {
    **{a: n for a, n in r.REGISTER_NAMES.items() if a in _KEPT or a & 0xFFF in (0x4, 0xC, 0x10, 0x14)},
    **{address: name for address, name, _ in r.read_registers(_OWN_TABLE)},
}
"""Names of registers, by address, that follow from what they were seen to hold."""


def _idle(task: Translation, *bounds: int) -> None:
    """Make sure that stages bound nothing, given the addresses of their lower bounds."""
    for lower in bounds:
        task.require(lower, _LEAST)
        task.require(lower + 4, _MOST)


def clipping(task: Translation) -> int:
    """Take the two copies of BN's bounds; return the bits of BN_CFG that say the same."""
    lower, upper = task.require(0x406C, _LEAST, 0), task.take(0x4070)
    task.require(0x4074, lower)
    task.require(0x4078, upper)
    if lower:
        if upper != _MOST:
            raise UnsupportedProgram("DPU", "BN_UPPER_BOUND", upper, "and no lower one")
        return _NO_RELU
    if upper == _MOST:
        return 0
    task.put(r.BN_RELUX, upper)
    return _CLIPPED


def data_processor(task: Translation, channels: int) -> int:
    """Translate the DPU but for BN, ``BS_OW`` and BS's factors; return BS_CFG.

    `channels` is the number that runs through it, padding included.
    """
    task.ignore(0x4004, 0x40B8, 0x40C0, 0x40D0)
    for low, bits in ((0, 1), (31, 1)):  # FLYING_MODE, COMB_USE
        task.registers[0x400C] = task.registers.get(0x400C, 0) | task.take(0x400C, low, bits) << low
    task.require(0x400C, 2, low=1, bits=2)  # to memory
    task.take(0x400C, 5, 4)  # burst
    task.move(r.OUT_PRECISION, 0x4010, 29)
    task.move(r.PROC_PRECISION, 0x4010)
    task.take(0x4010, 10, 6)  # BN's shift once more
    task.copy(0x4014)
    task.move(r.DST_BASE_ADDR, 0x4018)
    task.put(r.DST_SURF_STRIDE, task.take(0x401C))
    task.require(0x40CC, 0, 16)  # an atom's bytes, it seems, of what is read from memory in int16
    width = task.move(r.CUBE_WIDTH, 0x4020)
    height = task.move(r.CUBE_HEIGHT, 0x4024)
    task.move(r.NOTCH_ADDR_0, 0x4028)
    real_channels = task.move(r.ORIG_CHANNEL, 0x402C)
    task.put(r.CUBE_CHANNEL, channels - 1)
    task.put(r.CHANNEL_WDMA, channels - 1)
    task.require(0x4030, real_channels, low=16, bits=13)
    task.take(0x4030, 0, 16)  # how much is written at once
    task.require(0x4034, width | height << 16)
    task.put(r.WIDTH_WDMA, width)
    task.put(r.HEIGHT_WDMA, height)
    bs = _bias(task)
    _idle(task, 0x4048, 0x4058, 0x4088, 0x40A4)
    _elementwise(task)
    task.move(r.OUT_CVT_OFFSET, 0x40AC)
    task.registers[0x4084] = task.take(0x40B0)
    task.registers[0x4088] = task.take(0x40B4)
    if division_of_floats(task):
        task.put(r.OUT_PRECISION, r.FLOAT16)
        task.put(r.PROC_PRECISION, r.FLOAT16)
    return bs


def scales_integers(config: int) -> bool:
    """Whether a BS_CFG says that integers are added and multiplied; six of its bits are a shift."""
    return config & ~0x3F00 == 0x120080


def _bias(task: Translation) -> int:
    config = task.take(0x4038)
    if config == _BS_OFF:
        task.registers[r.BS_CFG] = _BYPASS
    elif config in (BS_ADD, BS_ADD_CONSTANT):
        task.registers[r.BS_CFG] = _ADDING | NO_FACTOR | _NO_RELU | (_MEMORY if config == BS_ADD else 0)
        task.move(r.BS_ALU_OPERAND, 0x4040)
    elif scales_integers(config):
        task.registers[r.BS_CFG] = _ADDING | _NO_RELU | _MEMORY
    else:
        raise UnsupportedProgram("DPU", "BS_CFG", config, "not known of this chip")
    return config


def _elementwise(task: Translation) -> None:
    config = task.require(0x407C, *_ELEMENTWISE)
    task.registers[r.EW_CFG] = _ELEMENTWISE[config]
    task.registers[0x4074] = task.take(0x4080)
    task.registers[0x4078] = task.take(0x4084)
    task.ignore(0x4100, 0x4104)  # tables are followed as they are uploaded


def division_of_floats(task: Translation) -> bool:
    """Whether it is a division: of float16, though it calls its values int16."""
    return task.take(0x407C) == _DIVISION


def reader(task: Translation) -> None:
    """Translate DPU_RDMA but for what it reads for BS and BN."""
    task.ignore(0x5004, 0x5064, 0x5068)
    task.copy(0x500C, 0x5010, 0x5014, 0x5018, 0x5020, 0x502C, 0x5038, 0x5048)
    task.put(r.ERDMA_DISABLE, task.take(0x5034, 0, 1))
    task.move(r.ERDMA_DATA_SIZE, 0x5034, 2)
    task.put(r.EW_DATA_MODE, task.move(r.ERDMA_DATA_MODE, 0x5034, 30))
    task.put(r.EW_SURF_STRIDE, task.take(0x5040))
    task.put(r.SURF_NOTCH_ADDR, task.take(0x504C, signed=True))
    task.put(r.EW_SURF_NOTCH, task.take(0x506C, signed=True))

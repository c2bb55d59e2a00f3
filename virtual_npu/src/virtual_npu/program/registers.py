"""The NPU's registers: units, addresses and the fields this package reads.

Names, addresses and bit ranges are those of the public register description in Mesa
(``src/gallium/drivers/rocket/registers.xml``, MIT licence), which follows the RK3588 TRM Part 1, chapter 36.
A command of the register program is ``target << 48 | value << 16 | address``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

UNITS: Final = {1: "CNA", 3: "CORE", 4: "DPU", 5: "DPU_RDMA", 6: "PPU", 7: "PPU_RDMA"}
"""Unit by the top four bits of a register's address; below 0x1000 is the program controller, ``PC``."""

ENABLE_BITS: Final = {"CNA": 0, "CORE": 2, "DPU": 3, "DPU_RDMA": 4, "PPU": 5, "PPU_RDMA": 6}
"""Bit of a task's enable mask that starts each unit (GLOBAL.OPERATION_ENABLE)."""


class Field(NamedTuple):
    """A bit field of one register."""

    name: str
    address: int
    low: int = 0
    bits: int = 32
    signed: bool = False

    def of(self, value: int) -> int:
        """Extract the field from the register's value."""
        part = value >> self.low & ((1 << self.bits) - 1)
        return part - (1 << self.bits) if self.signed and part >> (self.bits - 1) else part


def unit_of(address: int) -> str:
    """Return the unit a register belongs to."""
    return UNITS.get(address >> 12, "PC" if address < 0x1000 else f"unit {address >> 12:#x}")


def running_units(enable_mask: int) -> str:
    """List the units that a task's enable mask starts."""
    return " ".join(unit for unit, bit in ENABLE_BITS.items() if enable_mask >> bit & 1)


def register_name(address: int) -> str:
    """Return a register's public name, or its address where it has none."""
    return REGISTER_NAMES.get(address, f"{address:#06x}")


def decode_commands(
    commands: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split commands into target, register address and 32-bit value."""
    return (
        (commands >> np.uint64(48)).astype(np.int64),
        (commands & np.uint64(0xFFFF)).astype(np.int64),
        (commands >> np.uint64(16) & np.uint64(0xFFFFFFFF)).astype(np.int64),
    )


def read_registers(table: Path) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the address of each register in a table, its name, and what else its line says."""
    for line in table.read_text("ascii").splitlines():
        if not line.startswith("#"):
            address, name, *others = line.split()
            yield int(address, 16), name, others


RK3588_REGISTERS: Final = tuple(read_registers(Path(__file__).with_name("rk3588_registers.txt")))
REGISTER_NAMES: Final = {address: name for address, name, _ in RK3588_REGISTERS}

INT8, INT16, FLOAT16, BFLOAT16, INT32, FLOAT32 = range(6)
"""Codes of the precision fields."""

DEPTHWISE: Final = 3
"""CONV_MODE of a convolution that keeps channels apart."""

LOOKUP_PRIORITIES: Final = 0x68
"""LUT_CFG of every program seen: below LE use LE, above LO use LO, on the seam LO."""

# CNA: what the convolution reads.
CONV_MODE = Field("CONV_MODE", 0x100C, 0, 4)
CNA_IN_PRECISION = Field("IN_PRECISION", 0x100C, 4, 3)
CNA_PROC_PRECISION = Field("PROC_PRECISION", 0x100C, 7, 3)
ARGB_IN = Field("ARGB_IN", 0x100C, 12, 4)
DECONV = Field("DECONV", 0x100C, 16, 1)
GROUP_LINE_OFF = Field("GROUP_LINE_OFF", 0x100C, 29, 1)
CONV_STRIDES_AND_DILATION = Field("CONV_CON3", 0x1014)
# Published with 11 bits; programs for 4,096 samples write 2,816 lines: see `field_widths`.
DATAIN_WIDTH = Field("DATAIN_WIDTH", 0x1020, 16, 13)
DATAIN_HEIGHT = Field("DATAIN_HEIGHT", 0x1020, 0, 13)
DATAIN_CHANNEL_REAL = Field("DATAIN_CHANNEL_REAL", 0x1024, 16, 14)
DATAIN_CHANNEL = Field("DATAIN_CHANNEL", 0x1024, 0, 16)
WEIGHT_BYTES = Field("WEIGHT_BYTES", 0x1030)
WEIGHT_BYTES_PER_KERNEL = Field("WEIGHT_BYTES_PER_KERNEL", 0x1034, 0, 19)
WEIGHT_WIDTH = Field("WEIGHT_WIDTH", 0x1038, 24, 5)
WEIGHT_HEIGHT = Field("WEIGHT_HEIGHT", 0x1038, 16, 5)
WEIGHT_KERNELS = Field("WEIGHT_KERNELS", 0x1038, 0, 14)
CVT_BYPASS = Field("CVT_BYPASS", 0x104C, 0, 1)
FC_SKIP_EN = Field("FC_SKIP_EN", 0x1060, 0, 1)
PADDING = Field("PAD_CON0", 0x1068, 0, 8)
FEATURE_BASE_ADDR = Field("FEATURE_BASE_ADDR", 0x1070)
LINE_STRIDE = Field("LINE_STRIDE", 0x107C, 0, 28)
SURF_STRIDE = Field("SURF_STRIDE", 0x1080, 0, 28, signed=True)
DECOMP_CONTROL = Field("DECOMP_CONTROL", 0x1100, 0, 3)
DECOMPRESS_ADDR0 = Field("DECOMPRESS_ADDR0", 0x1110)

# CORE: what the multipliers hand on.
DW_EN = Field("DW_EN", 0x3010, 1, 1)
CORE_PROC_PRECISION = Field("PROC_PRECISION", 0x3010, 8, 3)
DATAOUT_HEIGHT = Field("DATAOUT_HEIGHT", 0x3014, 16, 16)
DATAOUT_WIDTH = Field("DATAOUT_WIDTH", 0x3014, 0, 16)
DATAOUT_CHANNEL = Field("DATAOUT_CHANNEL", 0x3018, 0, 16)
CLIP_TRUNCATE = Field("CLIP_TRUNCATE", 0x301C, 0, 5)
CLIP_ROUND_TYPE = Field("CLIP_ROUND_TYPE", 0x301C, 6, 1)

# DPU: bias and scale (BS), batch norm (BN), element-wise (EW), lookup (LUT), output conversion, write-back.
FLYING_MODE = Field("FLYING_MODE", 0x400C, 0, 1)
DPU_CONV_MODE = Field("CONV_MODE", 0x400C, 3, 2)
NONALIGN = Field("NONALIGN", 0x400C, 25, 1)
SURF_LEN = Field("SURF_LEN", 0x400C, 9, 16)
COMB_USE = Field("COMB_USE", 0x400C, 31, 1)
TP_EN = Field("TP_EN", 0x400C, 30, 1)
OUT_PRECISION = Field("OUT_PRECISION", 0x4010, 29, 3)
DPU_IN_PRECISION = Field("IN_PRECISION", 0x4010, 26, 3)
MC_SURF_OUT = Field("MC_SURF_OUT", 0x4010, 3, 1)
PROC_PRECISION = Field("PROC_PRECISION", 0x4010, 0, 3)
BS_NEGATIVE_SHIFT = Field("BS_NEGATIVE_SHIFT", 0x4010, 4, 6)
OFFSET_PEND = Field("OFFSET_PEND", 0x4014, 0, 16)
DST_BASE_ADDR = Field("DST_BASE_ADDR", 0x4020)
DST_SURF_STRIDE = Field("DST_SURF_STRIDE", 0x4024, 4, 28)
CUBE_WIDTH = Field("WIDTH", 0x4030, 0, 13)
MINMAX_CTL = Field("MINMAX_CTL", 0x4034, 22, 3)
CUBE_HEIGHT = Field("HEIGHT", 0x4034, 0, 13)
NOTCH_ADDR_0 = Field("NOTCH_ADDR_0", 0x4038, 0, 13)
ORIG_CHANNEL = Field("ORIG_CHANNEL", 0x403C, 16, 13)
CUBE_CHANNEL = Field("CHANNEL", 0x403C, 0, 13)
BS_CFG, BN_CFG, EW_CFG = 0x4040, 0x4060, 0x4070
BS_ALU_OPERAND = Field("BS_ALU_OPERAND", 0x4044, signed=True)
BS_MUL_CFG, BN_MUL_CFG = 0x4048, 0x4068
BS_RELUX = Field("BS_RELUX_CMP_VALUE", 0x404C)
BN_RELUX = Field("BN_RELUX_CMP_VALUE", 0x406C)
BN_ALU_OPERAND = Field("BN_ALU_OPERAND", 0x4064, signed=True)
TP_ORG_EN = Field("TP_ORG_EN", 0x4050, 27, 1)
OD_BYPASS = Field("OD_BYPASS", 0x4050, 1, 1)
OW_SRC = Field("OW_SRC", 0x4050, 0, 1)
OW_OP = Field("OW_OP", 0x4054, 0, 16, signed=True)
CHANNEL_WDMA = Field("CHANNEL_WDMA", 0x4058, 0, 13)
HEIGHT_WDMA = Field("HEIGHT_WDMA", 0x405C, 16, 13)
WIDTH_WDMA = Field("WIDTH_WDMA", 0x405C, 0, 13)
EW_DATA_MODE = Field("EW_DATA_MODE", EW_CFG, 28, 2)
EW_EQUAL_OR_BINARY = Field("EW_EQUAL_EN/EW_BINARY_EN", EW_CFG, 20, 2)
EW_ALU_ALGO = Field("EW_ALU_ALGO", EW_CFG, 16, 4)
EW_RELUX_EN = Field("EW_RELUX_EN", EW_CFG, 10, 1)
EW_RELU_BYPASS = Field("EW_RELU_BYPASS", EW_CFG, 9, 1)
EW_LUT_BYPASS = Field("EW_LUT_BYPASS", EW_CFG, 7, 1)
EW_OP_SRC = Field("EW_OP_SRC", EW_CFG, 6, 1)
EW_MUL_PRELU = Field("EW_MUL_PRELU", EW_CFG, 5, 1)
EW_OP_TYPE = Field("EW_OP_TYPE", EW_CFG, 2, 1)
EW_OP_BYPASS = Field("EW_OP_BYPASS", EW_CFG, 1, 1)
EW_BYPASS = Field("EW_BYPASS", EW_CFG, 0, 1)
EW_OP_CVT_OFFSET = Field("EW_OP_CVT_OFFSET", 0x4074, signed=True)
EW_TRUNCATE = Field("EW_TRUNCATE", 0x4078, 22, 10)
EW_OP_CVT_SHIFT = Field("EW_OP_CVT_SHIFT", 0x4078, 16, 6)
EW_OP_CVT_SCALE = Field("EW_OP_CVT_SCALE", 0x4078, 0, 16, signed=True)
OUT_CVT_OFFSET = Field("OUT_CVT_OFFSET", 0x4080, signed=True)
OUT_CVT_SCALE = Field("OUT_CVT_SCALE", 0x4084, 0, 16)
CVT_TYPE = Field("CVT_TYPE", 0x4088, 31, 1)
CVT_ROUND = Field("CVT_ROUND", 0x4088, 30, 1)
MINUS_EXP = Field("MINUS_EXP", 0x4088, 12, 8)
OUT_CVT_SHIFT = Field("OUT_CVT_SHIFT", 0x4088, 0, 12)
LUT_ACCESS_TYPE = Field("LUT_ACCESS_TYPE", 0x4100, 17, 1)
LUT_TABLE_ID = Field("LUT_TABLE_ID", 0x4100, 16, 1)
LUT_ADDR = Field("LUT_ADDR", 0x4100, 0, 10)
LUT_ACCESS_DATA = Field("LUT_ACCESS_DATA", 0x4104, 0, 16, signed=True)
LUT_CFG = Field("LUT_CFG", 0x4108, 0, 8)
LUT_LO_INDEX_SELECT = Field("LUT_LO_INDEX_SELECT", 0x410C, 16, 8)
LUT_LE_INDEX_SELECT = Field("LUT_LE_INDEX_SELECT", 0x410C, 8, 8)
LUT_LE_START = Field("LUT_LE_START", 0x4110, signed=True)
LUT_LE_END = Field("LUT_LE_END", 0x4114, signed=True)
LUT_LO_START = Field("LUT_LO_START", 0x4118, signed=True)
LUT_LO_END = Field("LUT_LO_END", 0x411C, signed=True)
EW_OP_VALUES = tuple(Field(f"EW_OP_VALUE_{i}", 0x4090 + 4 * i) for i in range(8))
LUT_LE_SLOPE_OFLOW_SCALE = Field("LUT_LE_SLOPE_OFLOW_SCALE", 0x4120, 16, 16, signed=True)
LUT_LE_SLOPE_UFLOW_SCALE = Field("LUT_LE_SLOPE_UFLOW_SCALE", 0x4120, 0, 16, signed=True)
LUT_LE_SLOPE_UFLOW_SHIFT = Field("LUT_LE_SLOPE_UFLOW_SHIFT", 0x4124, 0, 5)
LUT_LO_SLOPE_OFLOW_SCALE = Field("LUT_LO_SLOPE_OFLOW_SCALE", 0x4128, 16, 16, signed=True)
LUT_LO_SLOPE_UFLOW_SCALE = Field("LUT_LO_SLOPE_UFLOW_SCALE", 0x4128, 0, 16, signed=True)
LUT_LO_SLOPE_OFLOW_SHIFT = Field("LUT_LO_SLOPE_OFLOW_SHIFT", 0x412C, 5, 5)

# DPU_RDMA: what the DPU reads from memory.
RDMA_WIDTH = Field("RDMA_DATA_CUBE_WIDTH", 0x500C, 0, 13)
RDMA_HEIGHT = Field("RDMA_DATA_CUBE_HEIGHT", 0x5010, 0, 13)
EW_LINE_NOTCH_ADDR = Field("EW_LINE_NOTCH_ADDR", 0x5010, 16, 13)
RDMA_CHANNEL = Field("RDMA_DATA_CUBE_CHANNEL", 0x5014, 0, 13)
SRC_BASE_ADDR = Field("SRC_BASE_ADDR", 0x5018)
BRDMA_DATA_USE = Field("BRDMA_DATA_USE", 0x501C, 1, 4)
BS_BASE_ADDR = Field("BS_BASE_ADDR", 0x5020)
NRDMA_DATA_USE = Field("NRDMA_DATA_USE", 0x5028, 1, 4)
BN_BASE_ADDR = Field("BN_BASE_ADDR", 0x502C)
ERDMA_DATA_MODE = Field("ERDMA_DATA_MODE", 0x5034, 30, 2)
ERDMA_SURF_MODE = Field("ERDMA_SURF_MODE", 0x5034, 29, 1)
ERDMA_NONALIGN = Field("ERDMA_NONALIGN", 0x5034, 28, 1)
ERDMA_DATA_SIZE = Field("ERDMA_DATA_SIZE", 0x5034, 2, 2)
ERDMA_DISABLE = Field("ERDMA_DISABLE", 0x5034, 0, 1)
EW_BASE_ADDR = Field("EW_BASE_ADDR", 0x5038)
EW_SURF_STRIDE = Field("EW_SURF_STRIDE", 0x5040, 4, 28)
RDMA_IN_PRECISION = Field("RDMA_IN_PRECISION", 0x5044, 15, 3)
RDMA_COMB_USE = Field("RDMA_COMB_USE", 0x5044, 8, 3)
LINE_NOTCH_ADDR = Field("LINE_NOTCH_ADDR", 0x5048, 19, 13)
RDMA_UNPOOLING = Field("RDMA_SRC_DMA_CFG", 0x5048, 0, 14)
SURF_NOTCH_ADDR = Field("SURF_NOTCH_ADDR", 0x504C, 4, 28, signed=True)
EW_SURF_NOTCH = Field("EW_SURF_NOTCH", 0x506C, 4, 28, signed=True)

# PPU and PPU_RDMA: only the copy that cores use to wait for each other.
PPU_IN_WIDTH = Field("CUBE_IN_WIDTH", 0x600C, 0, 13)
PPU_IN_HEIGHT = Field("CUBE_IN_HEIGHT", 0x6010, 0, 13)
PPU_IN_CHANNEL = Field("CUBE_IN_CHANNEL", 0x6014, 0, 13)
PPU_KERNEL = Field("POOLING_KERNEL_CFG", 0x6034)
PPU_PADDING = Field("POOLING_PADDING_CFG", 0x6040)
PPU_DST_BASE_ADDR = Field("DST_BASE_ADDR", 0x6070)
PPU_DST_SURF_STRIDE = Field("DST_SURF_STRIDE", 0x607C, 4, 28)
PPU_SRC_BASE_ADDR = Field("RDMA_SRC_BASE_ADDR", 0x701C)
PPU_SRC_SURF_STRIDE = Field("RDMA_SRC_SURF_STRIDE", 0x7028, 4, 28)

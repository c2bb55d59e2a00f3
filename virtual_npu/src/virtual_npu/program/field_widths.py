"""How many bits each field has: which values of a program do not fit.

A value past its field runs into bits that are unused, and the chip's field holds the rest of it: a wrong
shape, and a run that reports success (rockchip-npu-notes, September 2026). Widths are those of the register
description in Mesa (``src/gallium/drivers/rocket/registers.xml``, MIT licence), which follows the RK3588 TRM.
Of other chips no widths were published; their programs are not held against these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu.errors import OverWideFieldError
from virtual_npu.program.registers import (
    CUBE_CHANNEL,
    CUBE_HEIGHT,
    CUBE_WIDTH,
    Field,
    decode_commands,
    register_name,
    unit_of,
)
from virtual_npu.rknn_file.model_file import RknnFile

_FIELDS: Final = """
    1004 EXECUTER_PP_CLEAR:5+1<16 EXECUTER:16+1<32
    1008 OP_EN:0+1<32
    100c PROC_PRECISION:7+3<12 DECONV:16+1<29 NONALIGN_DMA:30+1<32
    1010 CSC_WO_EN:2+1<4 FEATURE_GRAINS:4+10<16
    1014 CONV_Y_STRIDE:3+3<8 DECONV_Y_STRIDE:11+3<16 ATROUS_Y_DILATION:21+5<28 NN_MODE:28+3<32
    1020 DATAIN_HEIGHT:0+11<16 DATAIN_WIDTH:16+11<32
    1024 DATAIN_CHANNEL_REAL:16+14<32
    1028 DATAOUT_WIDTH:0+11<32
    102c SURF_MODE:22+2<32
    1034 WEIGHT_BYTES_PER_KERNEL:0+19<32
    1038 WEIGHT_KERNELS:0+14<16 WEIGHT_HEIGHT:16+5<24 WEIGHT_WIDTH:24+5<32
    1040 FC_DATA_BANK:8+3<12 WEIGHT_REUSE:13+1<32
    1044 DATA_ENTRIES:0+14<32
    104c CVT_TRUNCATE_3:22+6<32
    1060 FC_SKIP_EN:0+1<16
    1064 DATA_OFFSET:0+17<32
    1068 PAD_LEFT:4+4<32
    1074 WEIGHT_OFFSET:0+17<32
    1078 DATA_BURST_LEN:0+4<16 WEIGHT_BURST_LEN:16+4<31
    107c LINE_STRIDE:0+28<32
    1080 SURF_STRIDE:0+28<32
    1084 DMA_HEIGHT:0+11<16 DMA_WIDTH:16+14<32
    1088 DMA_CHANNEL:0+16<32
    1100 WT_DEC_BYPASS:3+1<32
    3004 EXECUTER_PP_CLEAR:5+1<16 EXECUTER:16+1<32
    3008 OP_EN:0+1<32
    300c SLCG_OP_EN:0+27<32
    3010 DW_EN:1+1<8 PROC_PRECISION:8+3<14 SOFT_GATING:14+6<32
    3018 DATAOUT_CHANNEL:0+16<32
    301c CLIP_TRUNCATE:0+5<6 ROUND_TYPE:6+1<32
    4004 EXECUTER_PP_CLEAR:5+1<16 EXECUTER:16+1<32
    4008 OP_EN:0+1<32
    4014 OFFSET_PEND:0+16<32
    4030 WIDTH:0+13<32
    4034 HEIGHT:0+13<22 MINMAX_CTL:22+3<32
    4038 NOTCH_ADDR_0:0+13<16 NOTCH_ADDR_1:16+13<32
    403c CHANNEL:0+13<16 ORIG_CHANNEL:16+13<32
    4040 BS_ALU_BYPASS:1+1<4 BS_ALU_SRC:8+1<16 BS_ALU_ALGO:16+4<32
    4048 BS_TRUNCATE_SRC:1+1<8 BS_MUL_SHIFT_VALUE:8+6<16
    4050 SIZE_E_2:8+3<27
    4054 OW_OP:0+16<32
    4058 CHANNEL_WDMA:0+13<16 TP_PRECISION:27+1<32
    405c WIDTH_WDMA:0+13<16 HEIGHT_WDMA:16+13<32
    4060 BN_ALU_BYPASS:1+1<4 BN_ALU_SRC:8+1<16 BN_ALU_ALGO:16+4<32
    4068 BN_TRUNCATE_SRC:1+1<8 BN_MUL_SHIFT_VALUE:8+6<16
    4070 EW_OP_TYPE:2+1<5 EW_RELUX_EN:10+1<16 EDATA_SIZE:22+2<28
    4084 FP32TOFP16_EN:16+1<32
    4088 MINUS_EXP:12+8<30
    4100 LUT_ADDR:0+10<16 LUT_ACCESS_TYPE:17+1<32
    4108 LUT_CAL_SEL:7+1<32
    410c LUT_LO_INDEX_SELECT:16+8<32
    4124 LUT_LE_SLOPE_OFLOW_SHIFT:5+5<32
    412c LUT_LO_SLOPE_OFLOW_SHIFT:5+5<32
    5004 EXECUTER_PP_CLEAR:5+1<16 EXECUTER:16+1<32
    5008 OP_EN:0+1<32
    500c WIDTH:0+13<32
    5010 HEIGHT:0+13<16 EW_LINE_NOTCH_ADDR:16+13<32
    5014 CHANNEL:0+13<32
    501c BRDMA_DATA_USE:1+4<32
    5028 NRDMA_DATA_USE:1+4<32
    5034 ERDMA_DATA_SIZE:2+2<28
    5044 IN_PRECISION:15+3<32
    5048 POOLING_METHOD:13+1<19
    5064 PAD_LEFT:0+3<4 PAD_TOP:4+3<16
    6004 EXECUTER_PP_CLEAR:5+1<16 EXECUTER:16+1<32
    6008 OP_EN:0+1<32
    600c CUBE_IN_WIDTH:0+13<32
    6010 CUBE_IN_HEIGHT:0+13<32
    6014 CUBE_IN_CHANNEL:0+13<32
    6018 CUBE_OUT_WIDTH:0+13<32
    601c CUBE_OUT_HEIGHT:0+13<32
    6020 CUBE_OUT_CHANNEL:0+13<32
    6024 POOLING_METHOD:0+2<4 USE_CNT:5+3<16 NOTCH_ADDR:16+13<30 INDEX_EN:30+1<32
    6034 KERNEL_WIDTH:0+4<8 KERNEL_HEIGHT:8+4<16 KERNEL_STRIDE_HEIGHT:20+4<32
    6038 RECIP_KERNEL_WIDTH:0+17<32
    603c RECIP_KERNEL_HEIGHT:0+17<32
    6040 PAD_LEFT:0+3<4 PAD_TOP:4+3<8 PAD_RIGHT:8+3<12 PAD_BOTTOM:12+3<32
    6048 PAD_VALUE_1:0+3<32
    60dc BURST_LEN:0+4<7 MC_SURF_OUT:8+1<16
    7004 EXECUTER_PP_CLEAR:5+1<16 EXECUTER:16+1<32
    7008 OP_EN:0+1<32
    700c CUBE_IN_WIDTH:0+13<32
    7010 CUBE_IN_HEIGHT:0+13<32
    7014 CUBE_IN_CHANNEL:0+13<32
    7030 IN_PRECISION:0+2<32
"""
"""The fields that have unused bits above them: register, then of each
``name:lowest bit+bits<end of the unused bits``. Not listed: the program controller; bits 31:24 of CNA's
CONV_CON2, where programs for several cores count tasks and the description has nothing; LUT_ACCESS_DATA,
whose negative entries have 32 bits (files of 2.2.0 to 2.5.0)."""

_CUBE: Final = (CUBE_WIDTH, CUBE_HEIGHT, CUBE_CHANNEL)
_FULL_CUBE: Final = (1 << CUBE_HEIGHT.bits) - 1

_READ_PAST_WIDTH: Final = {"DATAIN_HEIGHT": 13, "DMA_HEIGHT": 13}
"""Bits that are read of fields which the toolkits fill past their width: files of 2,048 rows and more whose
layers have at most 64 channels (int8: 128) write an input's height of up to 5,632 [toolkits 2.3.2 and 2.5.0,
86 files]. Whether a chip holds more than the 11 bits published is open."""


@dataclass(frozen=True, slots=True)
class OverWideField:
    """A value that its field cannot hold.

    Attributes
    ----------
    field : Field
    value : int
        What the program writes there, the unused bits above the field taken in.
    commands : int
        How many commands of the file write so large a value there; `value` is the largest.
    """

    field: Field
    value: int
    commands: int

    @property
    def is_read(self) -> bool:
        """Whether the executor reads the value all the same, as toolkits write such values."""
        return self.value >> _READ_PAST_WIDTH.get(self.field.name, 0) == 0

    def __str__(self) -> str:
        register = f"{unit_of(self.field.address)} {register_name(self.field.address)}"
        held = self.field.of(self.value << self.field.low)
        return (
            f"{register}: {self.field.name} = {self.value} is more than its {self.field.bits} bits hold; "
            f"a chip whose field is that narrow reads {held}"
        )


def over_wide_fields(file: RknnFile) -> tuple[OverWideField, ...]:
    """List the fields of an RK3588's program that are written with more than they hold.

    Returns
    -------
    tuple of OverWideField
        One a field, with its largest value, by address; empty for other chips.
    """
    if not file.target_platform.startswith("rk3588"):
        return ()
    _, addresses, values = decode_commands(file.registers)
    values[[relocation.command for relocation in file.relocations]] = 0  # addresses, placed by the runtime
    offending = np.flatnonzero(values & _UNUSED_BITS[addresses])
    return tuple(_by_field(addresses[offending], values[offending]))


def layers_with_full_cubes(file: RknnFile) -> tuple[str, ...]:
    """List the layers of an RK3588's program that fill a field of the DPU's cube.

    A lookup over 8,192 lines, 8,191 in the field's 13 bits, was seen to corrupt the last of them; 4,096 are
    clean [silicon: rockchip-npu-notes, September 2026].
    """
    if not file.target_platform.startswith("rk3588"):
        return ()
    _, addresses, values = decode_commands(file.registers)
    full = np.isin(addresses, [field.address for field in _CUBE]) & (values & _FULL_CUBE == _FULL_CUBE)
    nodes = {
        task.node
        for cores in (1, 2, 3)
        for tasks in file.tasks(cores)
        for task in tasks
        if full[task.start : task.start + task.count].any()
    }
    return tuple(file.nodes[node].name for node in sorted(nodes))


def refuse_over_wide(fields: tuple[OverWideField, ...]) -> None:
    """Raise OverWideFieldError for the first that no toolkit writes."""
    for each in fields:
        if not each.is_read:
            field, address = each.field, each.field.address
            register = register_name(address)
            raise OverWideFieldError(unit_of(address), register, field.name, each.value, field.bits)


def _by_field(addresses: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> Iterator[OverWideField]:
    for address in np.unique(addresses).tolist():
        written = values[addresses == address]
        for field, end in _NARROW[address]:
            parts = written >> field.low & (1 << end - field.low) - 1
            wide = parts[parts >> field.bits > 0]
            if len(wide):
                yield OverWideField(field, int(wide.max()), len(wide))


def _narrow_fields() -> dict[int, list[tuple[Field, int]]]:
    """Return fields and the ends of the unused bits above them, by address."""
    fields: dict[int, list[tuple[Field, int]]] = {}
    for line in _FIELDS.split("\n")[1:-1]:
        register, *texts = line.split()
        address = int(register, 16)
        for text in texts:
            name, place = text.split(":")
            bits, end = place.split("<")
            low, width = (int(number) for number in bits.split("+"))
            fields.setdefault(address, []).append((Field(name, address, low, width), int(end)))
    return fields


def _unused_bits() -> npt.NDArray[np.int64]:
    """Return the unused bits above fields, by address."""
    unused = np.zeros(1 << 16, np.int64)
    for address, fields in _NARROW.items():
        for field, end in fields:
            unused[address] |= (1 << end) - (1 << field.low + field.bits)
    return unused


_NARROW: Final = _narrow_fields()
_UNUSED_BITS: Final = _unused_bits()

"""Read a DPU task's operands and its fields."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.arrays import Array
from virtual_npu.errors import UnsupportedProgram
from virtual_npu.evidence import follows
from virtual_npu.execute.convolution import DTYPES
from virtual_npu.execute.half_precision import BFLOAT16, widened
from virtual_npu.program import registers as r
from virtual_npu.program.loader import LoadedTask
from virtual_npu.program.memory import Cube, Memory
from virtual_npu.program.registers import Field

Stage = Callable[[Array, Array | None], Array]
"""Takes the values, shape (points, channels), which it may overwrite, and the second cube's."""

Operands = Mapping[str, Array]
"""Of a unit that scales: ``addend``, ``offset`` and ``factor`` as far as memory has them, one a channel."""

_FLOAT32: Final[np.dtype[Any]] = np.dtype(np.float32)
OUTPUT_DTYPES: Final[dict[int, np.dtype[Any]]] = {**DTYPES, r.INT32: np.dtype(np.int32), r.FLOAT32: _FLOAT32}
ALU_MAX, ALU_ADD, ALU_DIVIDE, ALU_SUBTRACT = 0, 2, 3, 4  # ALU algorithms, as the TRM numbers them
_PER_CHANNEL, _PER_ELEMENT = 0, 1  # data modes of the element-wise operand
MAX_OF_CHANNELS: Final = 7  # MINMAX_CTL in softmax: the largest channel of each point, one atom a point
BOTH_READERS: Final = 5  # RDMA_COMB_USE: the idle main reader helps to fetch the second operand
SHARED_SOURCE: Final = 3  # RDMA_COMB_USE: the second operand's reader helps to fetch the main one


@dataclass(frozen=True, slots=True)
class ScalingUnit:
    """The registers of BS or of BN, which have the same layout."""

    name: str
    config: int
    addend: Field
    factor: int
    limit: Field
    operand_mask: Field
    operand_address: Field


BS: Final = ScalingUnit(
    name="BS",
    config=r.BS_CFG,
    addend=r.BS_ALU_OPERAND,
    factor=r.BS_MUL_CFG,
    limit=r.BS_RELUX,
    operand_mask=r.BRDMA_DATA_USE,
    operand_address=r.BS_BASE_ADDR,
)
BN: Final = ScalingUnit(
    name="BN",
    config=r.BN_CFG,
    addend=r.BN_ALU_OPERAND,
    factor=r.BN_MUL_CFG,
    limit=r.BN_RELUX,
    operand_mask=r.NRDMA_DATA_USE,
    operand_address=r.BN_BASE_ADDR,
)


def is_integer(task: LoadedTask) -> bool:
    """Whether the DPU computes in integers."""
    return DTYPES.get(task.require(r.PROC_PRECISION, *DTYPES, r.FLOAT32), _FLOAT32).kind == "i"


def short_float(task: LoadedTask) -> np.dtype[Any]:
    """Return the type of the 16-bit factors of a float program."""
    return BFLOAT16 if task[r.PROC_PRECISION] == r.BFLOAT16 else np.dtype(np.float16)


def read_operands(task: LoadedTask, memory: Memory, unit: ScalingUnit, channels: int) -> Operands:
    """Read the operands that a unit has for each channel.

    Observation: a mask says what a channel has (1 addend of 32 bits, 2 kernel offset and 4 factor of 16
    bits); eight channels' addends (four's on some chips) come first, then offsets, then factors.
    """
    use, integer = task[unit.operand_mask], is_integer(task)
    candidates = (
        (1, "addend", "<i4" if integer else "<f4"),
        (2, "offset", "<i2"),
        (4, "factor", "<i2" if integer else short_float(task).str),
    )
    parts = [(name, dtype) for bit, name, dtype in candidates if use & bit]
    if not parts:
        return {}
    if use > 7:
        raise UnsupportedProgram("DPU_RDMA", "BRDMA_DATA_USE", use)
    layout = np.dtype([(name, dtype, (task.chip.operand_group,)) for name, dtype in parts])
    groups = -(-channels // task.chip.operand_group)
    blob = memory.constant(task[unit.operand_address], groups * layout.itemsize, np.uint8).view(layout)
    return {name: widened(blob[name].reshape(-1)[:channels]) for name, _ in parts}


@follows(evidence.KERNEL_OFFSETS)
def read_kernel_offsets(task: LoadedTask, operands: Operands, channels: int) -> npt.NDArray[np.int64] | None:
    """Return what is added to every weight of a kernel, or None."""
    if task[r.OW_SRC]:
        if "offset" not in operands:
            raise UnsupportedProgram("DPU", "OW_SRC", 1, "DPU_RDMA reads no offsets")
        return operands["offset"].astype(np.int64)
    return np.full(channels, task[r.OW_OP], np.int64)


def float32_of_bits(bits: int) -> float:
    """Read a float32 from its bits."""
    value: float = struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0]
    return value


def short_float_of_bits(bits: int, dtype: np.dtype[Any]) -> float:
    """Read a float16 or bfloat16 from its bits."""
    return float(widened(np.array([bits & 0xFFFF], np.uint16).view(dtype))[0])


def pick_operand(operands: Operands, name: str, from_memory: int, unit: str) -> Any:
    """Return an operand that lies in memory, or None where a register holds it."""
    if not from_memory:
        return None
    if name not in operands:
        raise UnsupportedProgram("DPU", f"{unit} {name} source", 1, "DPU_RDMA reads none")
    return operands[name]


@follows(
    evidence.ELEMENTWISE,
    evidence.FUSED_ADDITION,
    evidence.DIVISION,
    evidence.LARGER_OF_TWO,
    evidence.INTEGER_ELEMENTWISE,
)
def decode_second_operand(task: LoadedTask, channels: int, shape: Cube) -> tuple[Cube, Stage]:
    """Return the element-wise stage's second cube and what it does with it."""
    integer = is_integer(task)
    dtype = DTYPES[task.require(r.PROC_PRECISION, *DTYPES)]
    task.require(r.EW_OP_SRC, 1)
    task.require(r.ERDMA_DISABLE, 0)
    task.require(r.ERDMA_DATA_SIZE, dtype.itemsize)
    for field in (r.ERDMA_SURF_MODE, r.ERDMA_NONALIGN, r.EW_LINE_NOTCH_ADDR):
        task.require(field, 0)
    offset, scale = task[r.EW_OP_CVT_OFFSET], np.ldexp(task[r.EW_OP_CVT_SCALE], -task[r.EW_OP_CVT_SHIFT])
    task.require(r.EW_TRUNCATE, 0)
    if not integer and (offset or scale != 1):
        raise UnsupportedProgram("DPU", "EW_OP_CVT_OFFSET", offset, "of float16")
    mode = task.require(r.EW_DATA_MODE, _PER_CHANNEL, _PER_ELEMENT)
    task.require(r.ERDMA_DATA_MODE, mode)
    width, height = (shape.width, shape.height) if mode == _PER_ELEMENT else (1, 1)
    address = _shared_start(task) if task[r.RDMA_COMB_USE] else task[r.EW_BASE_ADDR]
    size, surface = (width, height, channels), task[r.EW_SURF_STRIDE]
    cube = Cube.of_atoms(task.chip, address, size, (width, surface), dtype)
    functions = {
        ALU_MAX: np.maximum,
        ALU_ADD: np.add,
        ALU_DIVIDE: np.divide,
        ALU_SUBTRACT: np.subtract,
    }
    function: Any = np.multiply if task[r.EW_OP_TYPE] else functions[task.require(r.EW_ALU_ALGO, *functions)]

    def stage(values: Array, operand: Array | None) -> Array:
        assert operand is not None
        if integer:  # all bits kept
            second = (operand.astype(np.float64) + offset) * scale
            result: Array = function(values.astype(np.float64), second)
            return result
        result = function(values.astype(np.float32), operand.astype(np.float32))
        return result

    return cube, stage


def _shared_start(task: LoadedTask) -> int:
    """Return the start of an operand whose surfaces two readers fetch in turn."""
    apart = task[r.EW_BASE_ADDR] - task[r.SRC_BASE_ADDR]
    stride = task[r.EW_SURF_STRIDE]
    skipped = 2 * stride - (task[r.RDMA_WIDTH] + 1) * (task[r.RDMA_HEIGHT] + 1)
    if (
        apart != stride * task.chip.atoms[2]
        or not skipped == task[r.SURF_NOTCH_ADDR] == task[r.EW_SURF_NOTCH]
    ):
        raise UnsupportedProgram("DPU_RDMA", "RDMA_COMB_USE", BOTH_READERS, "surfaces not taken in turn")
    return task[r.SRC_BASE_ADDR]

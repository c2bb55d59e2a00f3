"""Load the register program.

It is relocated, and each unit's registers are followed from task to task.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu import evidence
from virtual_npu.errors import OverWideFieldWarning, UnsupportedProgram
from virtual_npu.evidence import follows
from virtual_npu.program import registers as r
from virtual_npu.program.chips import RK3588, Chip, Translation, chip_of
from virtual_npu.program.field_widths import over_wide_fields, refuse_over_wide
from virtual_npu.program.layout_layers import LAYOUT_LAYERS
from virtual_npu.program.memory import Memory
from virtual_npu.program.registers import Field
from virtual_npu.rknn_file.model_file import GRAPH_ENDS, RknnFile, Task

_TABLE_SIZE: Final = 513
_OTHER: Final = "others"  # units of other chips, whose registers do not bear on what is computed


@dataclass(frozen=True, slots=True)
class LoadedTask:
    """A task with the registers its units see.

    Attributes
    ----------
    registers : dict of int to int
        Value by address, for all units.
    tables : tuple of two int64 arrays of 513
        The lookup tables LE and LO as last uploaded; empty when nothing was.
    chip : Chip
    factors : tuple of float
        What the PPU multiplies with what the DPU gives it; empty where it does not run behind the DPU.
    """

    node: int
    enable_mask: int
    registers: dict[int, int]
    tables: tuple[npt.NDArray[np.int64], ...]
    chip: Chip = RK3588
    factors: tuple[float, ...] = ()

    def __getitem__(self, field: Field) -> int:
        """Return a field's value; a register never written holds 0."""
        return field.of(self.registers.get(field.address, 0))

    def without_reads(self) -> LoadedTask:
        """Return the task as it is while DPU_RDMA stands still."""
        registers = {a: v for a, v in self.registers.items() if a >> 12 != 5}
        return replace(self, registers=registers)

    def runs(self, unit: str) -> bool:
        """Whether the task starts a unit."""
        return bool(self.enable_mask >> r.ENABLE_BITS[unit] & 1)

    @property
    def looks_up(self) -> bool:
        """Whether the DPU looks floats up."""
        is_lookup = self.runs("DPU") and not (self[r.EW_BYPASS] or self[r.EW_LUT_BYPASS])
        return is_lookup and self[r.PROC_PRECISION] >= r.FLOAT16

    @property
    def is_unconverted(self) -> bool:
        """Whether 16 bits that the formats call integers go in and out as float16, untouched.

        Sqrt divides so in each step of Heron's method: int16 in and out, float16 between. Converted, its
        quotients would be cut to integers and then read as float16's bits.
        """
        fields = (r.PROC_PRECISION, r.DPU_IN_PRECISION, r.OUT_PRECISION, r.RDMA_IN_PRECISION)
        return [self[field] for field in fields] == [r.FLOAT16, r.INT16, r.INT16, r.INT16]

    @property
    def image_line(self) -> int:
        """Bytes of a line of packed points of the model's input: filled up to full atoms of one channel."""
        item = 1 if self[r.CNA_IN_PRECISION] == r.INT8 else 2
        in_atom = self.chip.atoms[2] // item
        return -(-self[r.LINE_STRIDE] // in_atom) * in_atom * (self[r.ARGB_IN] - 7) * item

    def require(self, field: Field, *allowed: int) -> int:
        """Return a field's value that is one of `allowed`, else raise UnsupportedProgram."""
        value = self[field]
        if value not in allowed:
            raise UnsupportedProgram(r.unit_of(field.address), field.name, value)
        return value


@follows(evidence.CORES_WAIT)
def load(file: RknnFile, memory: Memory, cores: int) -> list[LoadedTask]:
    """Load the program for `cores` cores, in an order that one core alone can follow.

    Cores share a layer's work and wait for each other where a layer needs what another core made, so layer
    by layer, core by core, is one of the orders the hardware may take.

    Raises
    ------
    OverWideFieldError
        A value is more than its field holds.
    UnsupportedProgram
        There is no such program, or it writes a register that is not known.

    Warns
    -----
    OverWideFieldWarning
        An input's height is more than its field holds, as toolkits write it for 2,048 rows and more.
    """
    _check_widths(file)
    _, addresses, values = r.decode_commands(file.registers)
    for relocation in file.relocations:
        values[relocation.command] = memory.address(relocation.tensor) + relocation.addend & 0xFFFFFFFF
    chip = chip_of(file.target_platform)
    programs = file.tasks(cores)
    left_out = {node.index for node in file.nodes if node.type in (*GRAPH_ENDS, *LAYOUT_LAYERS)}
    if cores > 1 and not any(programs) and any(file.tasks()):
        note = f"a program for so many is not in a file for {file.target_platform}"
        raise UnsupportedProgram("PC", "cores", cores, note)
    loaded = [
        task
        for tasks in programs
        for task in _Core(chip, memory).follow(tasks, addresses.tolist(), values.tolist(), left_out)
        if task.enable_mask
    ]
    return sorted(loaded, key=lambda task: task.node)


@follows(evidence.INPUT_HEIGHT)
def _check_widths(file: RknnFile) -> None:
    fields = over_wide_fields(file)
    refuse_over_wide(fields)
    for each in fields:
        advice = "No board has answered yet whether it does: convert again with at most 2,047 rows of a run."
        warnings.warn(f"{each}. {advice}", OverWideFieldWarning, stacklevel=4)


class _Core:
    """One core's register groups and lookup tables.

    Every unit has two groups of registers and takes them in turn, so that one can be filled while the other
    runs (``POINTER_PP_MODE`` and ``EXECUTER_PP_EN`` of S_POINTER, on in every program seen). A task may
    write few registers and rely on what its unit's group held two tasks before.
    """

    def __init__(self, chip: Chip, memory: Memory) -> None:
        self._chip, self._memory = chip, memory
        self._groups: dict[str, tuple[dict[int, int], dict[int, int]]] = {
            unit: ({}, {}) for unit in (*r.UNITS.values(), _OTHER)
        }
        self._turn = dict.fromkeys(self._groups, 0)
        self._tables = np.zeros((2, _TABLE_SIZE), np.int64)
        self._filled = 0

    def follow(
        self, tasks: tuple[Task, ...], addresses: list[int], values: list[int], left_out: set[int]
    ) -> list[LoadedTask]:
        """Return the tasks but those of `left_out` layers, which fill registers too."""
        followed = []
        for task in tasks:
            first, end = task.start, task.start + task.count
            registers = self._filled_by(task, addresses[first:end], values[first:end])
            if task.node not in left_out:
                followed.append(self._loaded(task, registers))
        return followed

    def _filled_by(self, task: Task, addresses: list[int], values: list[int]) -> dict[int, int]:
        table, entry = None, 0
        for address, value in zip(addresses, values, strict=False):
            if address == r.LUT_ADDR.address:
                table = r.LUT_TABLE_ID.of(value) if r.LUT_ACCESS_TYPE.of(value) else None
                entry = r.LUT_ADDR.of(value)
            elif address == r.LUT_ACCESS_DATA.address:
                if table is not None and entry < _TABLE_SIZE:
                    self._tables[table, entry] = r.LUT_ACCESS_DATA.of(value)
                    self._filled |= 1 << table
                    entry += 1
            elif value or address in r.REGISTER_NAMES or self._chip.translate is not None:
                unit = r.UNITS.get(address >> 12, _OTHER)
                is_known = unit in self._groups and address in r.REGISTER_NAMES
                if self._chip.translate is None and not is_known:
                    name = r.register_name(address)
                    raise UnsupportedProgram(r.unit_of(address), name, value, "not a register known")
                self._groups[unit][self._turn[unit]][address] = value
        registers = {}
        for unit, groups in self._groups.items():
            registers.update(groups[self._turn[unit]])
            if unit != _OTHER:
                self._turn[unit] ^= task.enable_mask >> r.ENABLE_BITS[unit] & 1
        return registers

    def _loaded(self, task: Task, registers: dict[int, int]) -> LoadedTask:
        tables = tuple(self._tables.copy()) if self._filled == 3 else ()
        if self._chip.translate is None:
            return LoadedTask(task.node, task.enable_mask, registers, tables, self._chip)
        seen = Translation(
            registers,
            task.enable_mask,
            tables,
            lambda address, size: self._memory.constant(address, size, np.uint8).tobytes(),
        )
        self._chip.translate(seen)
        seen.finish()
        return LoadedTask(task.node, seen.enable_mask, seen.registers, tables, self._chip, seen.factors)

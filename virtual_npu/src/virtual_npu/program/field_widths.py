"""How many bits each field has: which values of a program do not fit.

A value past its field runs into bits that are unused, and the chip's field holds the rest of it: a wrong
shape, and a run that reports success (rockchip-npu-notes, September 2026). Widths are those of the register
description in Mesa (``src/gallium/drivers/rocket/registers.xml``, MIT licence), which follows the RK3588 TRM.
Of other chips no widths were published; their programs are not held against these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu.errors import OverWideFieldError
from virtual_npu.program import registers as r
from virtual_npu.program.registers import Field
from virtual_npu.rknn_file.model_file import RknnFile

_CUBE: Final = (r.CUBE_WIDTH, r.CUBE_HEIGHT, r.CUBE_CHANNEL)
_CUBE_BITS: Final = (1 << r.CUBE_HEIGHT.bits) - 1
_FULL_CUBE: Final = _CUBE_BITS - 1

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
        register = f"{r.unit_of(self.field.address)} {r.register_name(self.field.address)}"
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
    _, addresses, values = r.decode_commands(file.registers)
    values[[relocation.command for relocation in file.relocations]] = 0  # addresses, placed by the runtime
    offending = np.flatnonzero(values & _UNUSED_BITS[addresses])
    return tuple(_by_field(addresses[offending], values[offending]))


def layers_with_full_cubes(file: RknnFile) -> tuple[str, ...]:
    """List the layers of an RK3588's program that all but fill a field of the DPU's cube.

    A lookup over 8,191 columns, 8,190 in the field's 13 bits, was seen to corrupt some of them; 4,096 are
    clean [silicon: rockchip-npu-notes, September 2026].
    """
    if not file.target_platform.startswith("rk3588"):
        return ()
    _, addresses, values = r.decode_commands(file.registers)
    full = np.isin(addresses, [field.address for field in _CUBE]) & (values & _CUBE_BITS >= _FULL_CUBE)
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
            register = r.register_name(address)
            raise OverWideFieldError(r.unit_of(address), register, field.name, each.value, field.bits)


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
    for address, _, texts in r.RK3588_REGISTERS:
        for text in texts:
            name, low, bits, end = re.split("[:+<]", text)
            fields.setdefault(address, []).append((Field(name, address, int(low), int(bits)), int(end)))
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

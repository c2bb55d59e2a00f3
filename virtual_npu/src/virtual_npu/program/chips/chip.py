"""A chip, and the reading of one of its tasks in the RK3588's registers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.program.registers import ENABLE_BITS, UNITS, Field, register_name, unit_of

RK3588_ATOM: Final = 16


@dataclass(frozen=True, slots=True)
class Chip:
    """One NPU, or several that read the same programs.

    Attributes
    ----------
    atoms : mapping of int to int
        By an element's bytes, those of an atom: the channels of one point that lie together.
    operand_group : int
        Channels whose addends, offsets and factors lie together.
    kernel_groups, channel_blocks : mapping of int to int
        By an element's bytes, how many kernels lie together, and how many channels of each at a time.
    even_kernels : bool
        Whether a padding kernel is added where their number is odd.
    translate : function or None
        Reads a task; None where the registers are the RK3588's.
    names : mapping of int to str, or None
        Registers by address; None where they bear the RK3588's names.
    """

    atoms: Mapping[int, int] = field(default_factory=lambda: dict.fromkeys((1, 2, 4), RK3588_ATOM))
    operand_group: int = 8
    kernel_groups: Mapping[int, int] = field(default_factory=lambda: {1: 32, 2: 16})
    channel_blocks: Mapping[int, int] = field(default_factory=lambda: {1: 32, 2: 32})
    even_kernels: bool = False
    translate: Callable[[Translation], None] | None = None
    names: Mapping[int, str] | None = None

    def name(self, address: int) -> str:
        """Return a register's name, or its address where its meaning is not known."""
        if self.names is None:
            return register_name(address)
        return self.names.get(address, f"{address:#06x}")


RK3588: Final = Chip()


class Translation:
    """One task: its registers as the chip has them, and in those of the RK3588.

    Attributes
    ----------
    registers : dict of int to int
        The RK3588's, by address.
    enable_mask : int
        Units that run, in the RK3588's bits.
    factors : tuple of float
        What the PPU multiplies the DPU's output by.
    tables : sequence of int64 arrays
        The lookup tables last uploaded, if they were.
    constant : function
        Reads a constant from memory: address and size to bytes.
    """

    def __init__(
        self,
        given: Mapping[int, int],
        enable_mask: int,
        tables: Sequence[npt.NDArray[np.int64]],
        constant: Callable[[int, int], bytes],
    ) -> None:
        self._given = given
        self.tables = tables
        self.constant = constant
        self._left = dict(given)
        self.registers: dict[int, int] = {}
        self.enable_mask = enable_mask
        self.factors: tuple[float, ...] = ()

    def runs(self, unit: str) -> bool:
        """Whether the task starts a unit."""
        return bool(self.enable_mask >> ENABLE_BITS[unit] & 1)

    def take(self, address: int, low: int = 0, bits: int = 32, *, signed: bool = False) -> int:
        """Return a bit field of the chip's, which is thereby accounted for."""
        mask = (1 << bits) - 1 << low
        self._left[address] = self._left.get(address, 0) & ~mask
        return Field("", address, low, bits, signed).of(self._given.get(address, 0))

    def require(self, address: int, *allowed: int, low: int = 0, bits: int = 32) -> int:
        """Return a bit field that is one of `allowed`, else raise UnsupportedProgram."""
        value = self.take(address, low, bits)
        if value not in allowed:
            name = f"{address:#06x}"
            raise UnsupportedProgram(unit_of(address), name, value << low, "not known of this chip")
        return value

    def ignore(self, *addresses: int) -> None:
        """Account for registers that do not bear on what is computed."""
        for address in addresses:
            self._left[address] = 0

    def put(self, target: Field, value: int) -> None:
        """Write a field of the RK3588's."""
        mask = (1 << target.bits) - 1
        if not (-(mask + 1 >> 1) if target.signed else 0) <= value <= mask:
            raise UnsupportedProgram(unit_of(target.address), target.name, value, "more than the field holds")
        self.registers[target.address] = (
            self.registers.get(target.address, 0) & ~(mask << target.low) | (value & mask) << target.low
        )

    def move(self, target: Field, address: int, low: int = 0) -> int:
        """Copy a field as wide as the RK3588's."""
        value = self.take(address, low, target.bits, signed=target.signed)
        self.put(target, value)
        return value

    def copy(self, *addresses: int) -> None:
        """Copy registers that read as the RK3588's."""
        for address in addresses:
            self.registers[address] = self.take(address)

    def finish(self) -> None:
        """Raise UnsupportedProgram if a unit that runs has a bit that was not taken."""
        for address, bits in self._left.items():
            unit = UNITS.get(address >> 12)
            if bits and (unit is None or self.runs(unit)):
                name, value = f"{address:#06x}", self._given[address]
                raise UnsupportedProgram(unit_of(address), name, value, "not known of this chip")

"""Chips by the names that files give them."""

from __future__ import annotations

from typing import Final

from virtual_npu.errors import UnsupportedProgram
from virtual_npu.program.chips.chip import RK3588, Chip
from virtual_npu.program.chips.rk356x import RK356X
from virtual_npu.program.chips.rk3562 import RK3562
from virtual_npu.program.chips.rk3576 import RK3576

_CHIPS: Final = {"rk3562": RK3562, "rk3566": RK356X, "rk3568": RK356X, "rk3576": RK3576, "rk3588": RK3588}


def chip_of(platform: str) -> Chip:
    """Return the chip of a file's target platform.

    Raises
    ------
    UnsupportedProgram
        Its programs are not known.
    """
    chip = _CHIPS.get(platform.lower().removesuffix("s"))
    if chip is None:
        note = f"programs of {', '.join(sorted(_CHIPS))} are read"
        raise UnsupportedProgram("PC", "target platform", platform, note)
    return chip

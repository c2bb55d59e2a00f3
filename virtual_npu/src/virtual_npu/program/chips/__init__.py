"""The differences of other chips' NPUs from the RK3588's.

They are in how registers read and how data lie. The executor speaks the RK3588's registers, which are
described in public. The others' are not; they were read off programs that the toolkits write for the same
graph on either chip. A module here says for one chip which of its bits mean what there, bit by bit, so
that no bit with a meaning that is not known is passed over.
"""

from __future__ import annotations

from virtual_npu.program.chips.by_name import chip_of
from virtual_npu.program.chips.chip import RK3588, Chip, Translation

__all__ = ["RK3588", "Chip", "Translation", "chip_of"]

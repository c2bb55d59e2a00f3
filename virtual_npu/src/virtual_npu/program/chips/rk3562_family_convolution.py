"""CNA and CORE of RK3562 and RK3576, as far as they are alike.

They have the RK3588's fields at other addresses. Observations, from programs for the same graphs
(toolkits 2.2.0 to 2.5.0): surfaces are counted in atoms from one to the next; CLIP_TRUNCATE is used by
every int16 layer that would else pass 32 bits; it is written twice, as the precision is.
"""

from __future__ import annotations

from virtual_npu.program import registers as r
from virtual_npu.program.chips.chip import Translation


def translate(task: Translation, width: int) -> None:
    """Translate what both chips have alike, for an input that many points wide."""
    task.ignore(0x3004)
    task.move(r.CNA_IN_PRECISION, 0x100C, 4)
    precision = task.move(r.CNA_PROC_PRECISION, 0x100C, 7)
    task.move(r.CONV_MODE, 0x100C)
    task.require(0x100C, precision, low=20, bits=3)
    task.require(0x118C, 0, (width - 1) * 0x10001)
    task.require(0x1048, 0xB)  # values are not converted
    task.put(r.CVT_BYPASS, 1)
    task.ignore(0x104C, 0x1050, 0x1084)  # by what they would be; the value that padding would have
    task.ignore(0x1078, 0x107C)  # sizes once more
    task.move(r.FEATURE_BASE_ADDR, 0x1088)
    line = task.move(r.LINE_STRIDE, 0x1090)
    task.put(r.SURF_STRIDE, task.take(0x1094) - line)
    task.move(r.CORE_PROC_PRECISION, 0x3018, 8)
    task.take(0x3018, 0, 1)  # integers
    task.move(r.DW_EN, 0x3018, 1)
    task.registers[0x3014] = task.take(0x301C)
    task.move(r.DATAOUT_CHANNEL, 0x3020)
    shortened = task.move(r.CLIP_TRUNCATE, 0x3024)
    task.require(0x3024, shortened, low=5, bits=5)

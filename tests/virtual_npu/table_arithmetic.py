"""A second evaluation of float16 lookups that the toolkit wrote: fractions, one value at a time, no numpy.

It shares no code with the executor, and takes from the package the raw commands only. It knows one layer that
looks up what comes out of identity weights and no bias, or of memory, and on an RK3566 the PPU's two factors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from math import floor

from virtual_npu import LookupRules, RknnFile

Registers = dict[int, int]


def evaluate(file: RknnFile, values: Iterable[float], rules: LookupRules) -> list[int]:
    """Look up finite float16 values; give the bits of float16 results."""
    registers, low, high = _program(file)
    scale = Fraction(struct.unpack("<e", struct.pack("<H", registers[0x4068] >> 16))[0])
    out = Fraction(registers[0x4084] & 0xFFFF, 1) / Fraction(2) ** (registers[0x4088] >> 12 & 0xFF)
    offset = _signed(registers[0x4080], 32) if rules.adds_offset else 0
    spike = Fraction(1 << 17) if rules.spikes_at_zero and registers[0x4088] >> 12 & 0xFF else Fraction(0)

    def converted(value: float) -> Fraction:
        index = _single(Fraction(value) * scale)
        result = _look_up(registers, low, high, Fraction(round(index)) if rules.rounds else index)
        return ((round(result) if rules.rounds else result) + offset or spike) * out

    found = [converted(value) for value in values]
    factors = [_short_float(registers[address]) for address in (0x6038, 0x603C) if registers.get(address)]
    for factor in factors:  # what the PPU is handed is float16
        found = [
            _single(_rounded(v, 11, -24) * factor) if factor is factors[0] else v * factor for v in found
        ]
    return [_half(v) for v in found]


def _program(file: RknnFile) -> tuple[Registers, list[int], list[int]]:
    """Read the tables last uploaded and the registers of the task that looks up."""
    tables: list[list[int]] = [[], []]
    groups: list[Registers] = [{}, {}]
    found: Registers = {}
    current: list[int] = []
    for task in file.tasks(1)[0]:
        for place in range(task.start, task.start + task.count):
            command = int(file.registers[place])
            address, value = command & 0xFFFF, command >> 16 & 0xFFFFFFFF
            if address == 0x4100 and value >> 17 & 1:
                tables[value >> 16 & 1] = current = []
            elif address == 0x4104 and len(current) < 513:
                current.append(_signed(value & 0xFFFF, 16))
            elif address >> 12 in (4, 6):
                groups[0][address] = value
        if task.enable_mask >> 3 & 1:
            if not groups[0].get(0x4070, 1) & 1 and not groups[0][0x4070] >> 7 & 1:
                found = dict(groups[0])
            groups.reverse()
    return found, tables[0], tables[1]


def _short_float(bits: int) -> Fraction:
    """Return a number of 6 bits of exponent and 10 of mantissa."""
    return Fraction(1024 + (bits & 1023), 1024) * Fraction(2) ** ((bits >> 10) - 31)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


def _look_up(registers: Registers, low: list[int], high: list[int], x: Fraction) -> Fraction:
    start, seam = _signed(registers[0x4110], 32), _signed(registers.get(0x4114, 0), 32)
    step = 1 << (registers[0x410C] >> 8 & 0xFF)
    if x < start:
        scale, shift = _signed(registers[0x4120] & 0xFFFF, 16), registers[0x4124] & 0x1F
        result = low[0] + (x - start) * scale / (1 << shift)
    elif x >= _signed(registers[0x411C], 32):
        result = Fraction(high[512])
    else:
        table, origin = (low, start) if x < seam else (high, seam)
        entry = floor((x - origin) / step)
        result = table[entry] + (x - origin - entry * step) * (table[entry + 1] - table[entry]) / step
    if not registers[0x4070] >> 1 & 1:  # the larger of it and a register
        result = max(result, Fraction(struct.unpack("<f", struct.pack("<I", registers.get(0x4090, 0)))[0]))
    return result


def _single(x: Fraction) -> Fraction:
    """Round to float32's 24 bits."""
    return _rounded(x, 24, -149)


def _half(x: Fraction) -> int:
    value = float(_rounded(x, 11, -24))
    return int.from_bytes(struct.pack("<e", value), "little")


def _rounded(x: Fraction, bits: int, lowest: int) -> Fraction:
    """Round to the nearest number of so many bits, halves to even, with steps of at least ``2**lowest``."""
    size = abs(x)
    power = size.numerator.bit_length() - size.denominator.bit_length()  # 2**power is within a factor of 2
    power -= size < Fraction(2) ** power
    step = Fraction(2) ** max(power - bits + 1, lowest)
    return round(x / step) * step

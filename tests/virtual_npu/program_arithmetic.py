"""A second evaluation of programs that the toolkit wrote: integers and fractions, one value at a time.

It shares no code with the executor, and takes from the package the raw commands and tensors only. It knows
chains of 1x1 convolutions on one core, samples on the height axis: enough to say whose arithmetic differs
where executor and simulator do.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.virtual_npu.float_arithmetic import grouped_sum, to_float16, to_float32
from virtual_npu import RknnFile

Array = npt.NDArray[Any]
Registers = dict[int, int]


def evaluate_floats(file: RknnFile, rows: Array) -> Array:
    """Run a float16 chain, shape (samples, channels)."""
    values = [[float(v) for v in row] for row in rows]
    for registers, weights, operands in _layers(file):
        values = [_float_layer(row, registers, weights.view(np.float16), operands) for row in values]
    return np.array(values, np.float32)


def _float_layer(row: list[float], registers: Registers, weights: Array, operands: Array) -> list[float]:
    """Sums in groups of 32, the bias, the ReLU; float32 after each, float16 at the end."""
    kernels, stored = registers[0x1038] & 0x3FFF, registers[0x1034] // 2
    assert registers[0x4084] & 0xFFFF == 1, "no factor"
    assert not registers[0x4088], "no shift"
    outputs = []
    for kernel in range(kernels):
        places = [_place(kernel, channel, kernels, stored, 16) for channel in range(len(row))]
        total = grouped_sum(row, weights[places])
        bias = operands[_operand(registers, kernel, 0) :][:4].view("<f4")[0]
        total = to_float32(total + Fraction(float(bias)))
        if not registers[0x4060] & 1 and not registers[0x4060] >> 6 & 1:
            total = max(total, Fraction(0))
        outputs.append(to_float16(total))
    return outputs


def evaluate(file: RknnFile, rows: Array) -> Array:
    """Run an integer chain on stored values, shape (samples, channels)."""
    values = [[int(v) for v in row] for row in rows]
    for registers, weights, operands in _layers(file):
        values = [_layer(row, registers, weights, operands) for row in values]
    return np.array(values)


def _layers(file: RknnFile) -> Iterator[tuple[Registers, Array, Array]]:
    places = {r.command: r.tensor for r in file.relocations}
    content = {t.name: file.buffers[t.buffer] for t in file.tensors if t.buffer}
    groups: dict[int, list[Registers]] = {unit: [{}, {}] for unit in (1, 3, 4, 5)}
    for task in file.tasks(1)[0]:
        names: dict[int, str] = {}
        for place in range(task.start, task.start + task.count):
            command = int(file.registers[place])
            address, value = command & 0xFFFF, command >> 16 & 0xFFFFFFFF
            if address >> 12 in groups:
                groups[address >> 12][0][address] = value
            if place in places:
                names[address] = places[place]
        assert task.enable_mask & 0b11101 == 0b11101, "a convolution with operands from memory"
        registers = {a: v for unit in groups.values() for a, v in unit[0].items()}
        yield registers, content[names[0x1110]], content[names[0x5020]]
        for unit in groups.values():
            unit.reverse()


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> bits - 1 else value


def _layer(row: list[int], registers: Registers, weights: Array, operands: Array) -> list[int]:
    wide = registers[0x100C] >> 7 & 7 == 1
    width, group = (2, 16) if wide else (1, 32)
    numbers = weights.view(np.int16 if wide else np.int8)
    kernels, stored = registers[0x1038] & 0x3FFF, registers[0x1034] // width
    per_channel = registers[0x4048] & 1 and not registers[0x4040] >> 4 & 1
    shift = registers[0x4048] >> 8 & 63
    out_scale = Fraction(registers[0x4084] & 0xFFFF, 1 << (registers[0x4088] & 0xFFF))
    limit = 1 << 8 * width - 1
    outputs = []
    for kernel in range(kernels):
        total = 0
        for channel in range(min(stored, len(row))):
            weight = int(numbers[_place(kernel, channel, kernels, stored, group)])
            total += row[channel] * (weight + _offset(registers, operands, kernel))
        total = round(Fraction(total, 1 << (registers[0x301C] & 31)))
        total = min(max(total, -(2**31)), 2**31 - 1)
        total += int(operands[_operand(registers, kernel, 0) :][:4].view("<i4")[0])
        value = total
        if per_channel:  # halves to even, then saturation to 32 bits, as silicon was measured
            value *= int(operands[_operand(registers, kernel, 2) :][:2].view("<i2")[0])
            value = round(Fraction(value, 1 << (shift if value >= 0 else registers[0x4010] >> 4 & 63)))
        value = min(max(value, -(2**31)), 2**31 - 1)
        if not registers[0x4060] & 1 and not registers[0x4060] >> 6 & 1:  # BN is there for its ReLU
            value = max(value, 0)
        if not registers[0x4060] & 1 and registers[0x4060] >> 7 & 1:
            value = min(value, _signed(registers[0x406C], 32))
        assert not registers[0x4088] >> 30 & 1, "halves to even"
        rounded = round(value * out_scale) + _signed(registers[0x4080], 32)
        outputs.append(min(max(rounded, -limit), limit - 1))
    return outputs[: (registers[0x403C] >> 16 & 0x1FFF) + 1]  # int8 kernels come in pairs


def _place(kernel: int, channel: int, kernels: int, stored: int, group: int) -> int:
    """Where a weight lies: kernels in groups, blocks of 32 channels within."""
    first, block = kernel // group * group, channel // 32 * 32
    length = min(32, stored - block)
    return first * stored + block * min(group, kernels - first) + (kernel - first) * length + channel - block


def _operand(registers: Registers, kernel: int, part: int) -> int:
    """Where a kernel's addend (0), offset (1) or factor (2) lies: eight of each together."""
    use = registers[0x501C] >> 1 & 15
    sizes = [4, 2 * (use >> 1 & 1), 2 * (use >> 2 & 1)]
    group, place = divmod(kernel, 8)
    return group * 8 * sum(sizes) + 8 * sum(sizes[:part]) + place * sizes[part]


def _offset(registers: Registers, operands: Array, kernel: int) -> int:
    if registers[0x4050] >> 1 & 1:
        return 0
    if registers[0x4050] & 1:
        return int(operands[_operand(registers, kernel, 1) :][:2].view("<i2")[0])
    return _signed(registers[0x4054] & 0xFFFF, 16)

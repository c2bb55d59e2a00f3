"""Write small ``.rknn`` files of format 6 with a register program of our own: a chain of dense layers.

An independent statement of the format: it shares no code with the reader, only field and register names'
meaning, so that reader and executor are tested without any toolkit.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.virtual_npu.flatbuffer_writer import (
    Array,
    Value,
    container,
    flatbuffer,
    ints,
    u8,
    u32,
    u64,
    vector,
)


@dataclass(frozen=True)
class Dense:
    """One layer: weights of shape (kernels, channels), biases, an activation."""

    weights: Array
    biases: Array
    relu: bool = False
    table: tuple[Array, Array] | None = None  # LE and LO: a lookup over +-16384 after a factor
    factor: float = 1.0
    # integers only
    multipliers: Array | None = None
    out_scale: int = 1
    out_shift: int = 0
    zero_point: int = 0


@dataclass
class Chain:
    """What goes into a file; `edit` changes commands (register -> value) of single tasks.

    On one core the PPU copies the outputs of the hidden layers `copied`, and the next layer reads the copy.
    """

    layers: list[Dense]
    samples: int
    dtype: str = "float16"
    cores: int = 1
    scales: tuple[float, float] = (1.0, 1.0)
    edit: dict[int, dict[int, int]] = field(default_factory=dict)
    copied: frozenset[int] = frozenset()


def _round_up(value: int, to: int) -> int:
    return -(-value // to) * to


def pack_weights(weights: Array, group: int, stored: int) -> bytes:
    """Weights in groups of kernels, blocks of 32 channels within: written as loops over single values."""
    out: list[Any] = []
    for first in range(0, len(weights), group):
        kernels = weights[first : first + group]
        for block in range(0, stored, 32):
            for kernel in kernels:
                for channel in range(block, min(block + 32, stored)):
                    out.append(kernel[channel] if channel < len(kernel) else 0)
    return np.array(out, weights.dtype).tobytes()


def _operands(layer: Dense, channels: int, integer: bool) -> bytes:
    biases = np.zeros(channels, np.int32 if integer else np.float32)
    biases[: len(layer.biases)] = layer.biases
    if not integer:
        return biases.tobytes()
    factors = np.zeros(channels, np.int16)
    assert layer.multipliers is not None
    factors[: len(layer.biases)] = layer.multipliers
    offsets = np.zeros(8, np.int16)
    return b"".join(
        biases[i : i + 8].tobytes() + offsets.tobytes() + factors[i : i + 8].tobytes()
        for i in range(0, channels, 8)
    )


def _float_bits(form: str, value: float) -> int:
    return int.from_bytes(struct.pack(form, value), "little")


_UNIT_TARGETS = {1: 0x201, 3: 0x801, 4: 0x1001, 5: 0x2001, 6: 0x4001, 7: 0x8001}
BASES = {0x1070: "in", 0x1110: "weights", 0x4020: "out", 0x5020: "biases"}


def _layer_registers(
    layer: Dense, channels: int, start: int, lines: int, samples: int, dtype: str, first: bool
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the registers of one share of a layer, and the addends of its addresses."""
    code, width = {"int8": (0, 1), "int16": (1, 2), "float16": (2, 2)}[dtype]
    integer = dtype != "float16"
    per_atom = 16 // width
    kernels = len(layer.weights)
    stored = _round_up(channels, per_atom)
    outputs = _round_up(kernels, 32 if width == 1 else 16)
    apart = 1 if samples == 1 else _round_up(samples, 4)  # points from surface to surface, but in the input
    registers = {
        0x100C: code << 7 | code << 4,
        0x1014: 0b001001,
        0x1020: 1 << 16 | lines,
        0x1024: ((channels - 1) % 64) << 16 | stored,
        0x1030: kernels * stored * width,
        0x1034: stored * width,
        0x1038: 1 << 24 | 1 << 16 | kernels,
        0x104C: 0b1011,
        0x107C: 4,
        0x1080: ((samples if first else apart) - 4) & 0xFFFFFFF,
        0x3010: code << 8,
        0x3014: (lines - 1) << 16,
        0x3018: outputs - 1,
        0x400C: 0x1E4,
        0x4010: code << 29 | code << 26 | (0xE0 if integer else 0) | code,
        0x4024: 16 * apart,
        0x4034: lines - 1,
        0x403C: (kernels - 1) << 16 | (outputs - 1),
        0x4040: 0x20140 if integer else 0x20150,
        0x4048: 0xE01 if integer else 0,
        0x4050: 0x125 if integer else 0x126,
        0x4058: outputs - 1,
        0x405C: (lines - 1) << 16,
        0x4060: 0x12 if layer.relu else 0x53,
        0x4070: 0x383,
        0x4080: layer.zero_point & 0xFFFFFFFF,
        0x4084: layer.out_scale if integer else 0x10001,
        0x4088: layer.out_shift,
        0x501C: 0xE if integer else 2,
        0x5034: 1,
        0x5044: code << 15 | 0x810,
    }
    if layer.table is not None:
        registers |= {
            0x4060: 0x20040,
            0x4064: 0 if integer else _float_bits("<f", -0.0),
            0x4068: (int(layer.factor) << 16) if integer else _float_bits("<e", layer.factor) << 16,
            0x4070: 0x302,
            0x4080: layer.zero_point if integer else 1,
            0x4088: layer.out_shift if integer else 0xF000,
            0x4108: 0x68,
            0x410C: 0x50500,
            0x4110: -16384 & 0xFFFFFFFF,
            0x411C: 16384,
        }
    addends = {0x1070: 16 * start, 0x1110: 0, 0x4020: 16 * start, 0x5020: 0}
    return registers, addends


def _upload(table: tuple[Array, Array]) -> list[tuple[int, int]]:
    commands = []
    for number, entries in enumerate(table):
        commands.append((0x4100, 1 << 17 | number << 16))
        commands += [(0x4104, int(entry) & 0xFFFF) for entry in entries]
    return commands


def _copy(channels: int, per_atom: int, samples: int) -> list[tuple[int, int]]:
    """Write a PPU task's registers: all atoms of a tensor, taken for bytes."""
    apart = 1 if samples == 1 else _round_up(samples, 4)
    last = 16 * -(-channels // per_atom) - 1
    return [
        (0x600C, apart - 1),
        (0x6014, last),
        (0x6070, 0),
        (0x607C, apart << 4),
        (0x700C, apart - 1),
        (0x7014, last),
        (0x701C, 0),
        (0x7028, apart << 4),
    ]


def write(chain: Chain) -> bytes:
    """Write the chain as a ``.rknn`` file with programs for one, two and three cores."""
    width = 1 if chain.dtype == "int8" else 2
    per_atom, group = 16 // width, 32 if width == 1 else 16
    dtype = np.dtype(chain.dtype)
    code = {"float16": 10, "int8": 3, "int16": 5}[chain.dtype]
    widths = [chain.layers[0].weights.shape[1], *(len(layer.weights) for layer in chain.layers)]

    buffers: list[bytes] = [b""]
    tensors: list[dict[int, Value]] = []
    names = ["x", *(f"h{i}" for i in range(len(chain.layers) - 1)), "y"]
    pool = 0
    for i, (name, channels) in enumerate(zip(names, widths, strict=True)):
        kind = 1 if name == "x" else 2 if name == "y" else 3
        size = _round_up(channels, 2 * group) * width * _round_up(chain.samples, 4)
        native = [1, -(-channels // per_atom), chain.samples, 1, per_atom]
        tensor = {
            0: u8(code),
            1: u8(64),
            2: u8(kind),
            3: ints(native),
            4: ints([1, channels, chain.samples, 1]),
            5: name,
            12: u32(size),
            13: u32(pool if kind == 3 else 0),
        }
        if chain.dtype != "float16":
            scale = chain.scales[0] if i == 0 else chain.scales[1]
            tensor |= {10: vector(np.array([scale], "<f4")), 11: ints([0])}
        pool += size if kind == 3 else 0
        tensors.append(tensor)
    for i in sorted(chain.copied):
        tensors.append(tensors[i + 1] | {5: f"h{i} copy", 13: u32(pool)})
        pool += _round_up(widths[i + 1], 2 * group) * width * _round_up(chain.samples, 4)

    def constant(name: str, raw: bytes, kind: int, form: int, shape: tuple[int, ...] = ()) -> int:
        buffers.append(raw)
        tensors.append(
            {
                0: u8(form),
                1: u8(65 if form == code else 0),
                2: u8(kind),
                4: ints(shape),
                5: name,
                18: u32(len(buffers) - 1),
            }
        )
        return len(tensors) - 1

    commands: list[tuple[int, int]] = []
    relocations: dict[str, list[tuple[int, int]]] = {}
    tasks: list[list[int]] = []
    nodes: list[dict[int, Value]] = [{1: "InputOperator", 2: "in", 5: ints([0])}]
    counts: list[list[int]] = []
    for i, layer in enumerate(chain.layers):
        packed = pack_weights(layer.weights.astype(dtype), group, _round_up(widths[i], per_atom))
        w = constant(f"w{i}", packed, 4, code, (*layer.weights.shape, 1, 1))
        padded = _round_up(len(layer.weights), 32 if width == 1 else 16)
        b = constant(f"b{i}", _operands(layer, padded, dtype.kind == "i"), 4, 6 if dtype.kind == "i" else 1)
        name = "ConvRelu" if layer.relu else "Conv"
        counts.append([1, 1, 1, 1, 1, 1])
        nodes.append({1: name, 2: f"Conv:{i}", 3: u8(2), 4: ints([i, w, b]), 5: ints([i + 1])})
    nodes.append({1: "OutputOperator", 2: "out", 4: ints([len(chain.layers)])})

    for cores in (1, 2, 3):
        shares = np.array_split(np.arange(chain.samples), cores)
        for core in range(cores):
            for i, layer in enumerate(chain.layers):
                lines = shares[core]
                if layer.table is not None:
                    start = len(commands)
                    commands += _upload(layer.table)
                    tasks.append([0, i + 1, 0, 0x300, 0x1FFFF, 0, len(commands) - start, 0, 8 * start])
                    if cores > 1:
                        counts[i][{2: 1, 3: 3}[cores] + core] += 1
                if not len(lines):
                    counts[i][{1: 0, 2: 1, 3: 3}[cores] + core] -= 1
                    continue
                registers, addends = _layer_registers(
                    layer, widths[i], int(lines[0]), len(lines), chain.samples, chain.dtype, i == 0
                )
                if cores == 1:
                    registers |= chain.edit.get(i, {})
                start = len(commands)
                for address, value in sorted((registers | addends).items()):
                    if address in addends:
                        read = f"h{i - 1} copy" if cores == 1 and i - 1 in chain.copied else names[i]
                        target = {"in": read, "out": names[i + 1], "weights": f"w{i}", "biases": f"b{i}"}
                        entry = (addends[address], len(commands))
                        relocations.setdefault(target[BASES[address]], []).append(entry)
                    commands.append((address, value))
                tasks.append([0, i + 1, 0x1D, 0x300, 0x1FFFF, 0, len(commands) - start, 0, 8 * start])
                if cores == 1 and i in chain.copied:
                    start = len(commands)
                    for address, value in _copy(widths[i + 1], per_atom, chain.samples):
                        if address in (0x6070, 0x701C):
                            name = names[i + 1] if address == 0x701C else f"h{i} copy"
                            relocations.setdefault(name, []).append((0, len(commands)))
                        commands.append((address, value))
                    tasks.append([0, i + 1, 0x60, 0xC00, 0x1FFFF, 0, len(commands) - start, 0, 8 * start])
                    counts[i][0] += 1
    for node, count in zip(nodes[1:-1], counts, strict=True):
        node[10] = ints(count)
    words = [_UNIT_TARGETS[a >> 12] << 48 | (v & 0xFFFFFFFF) << 16 | a for a, v in commands]
    constant("regcmd", np.array(words, "<u8").tobytes(), 9, 13)
    constant("task", b"".join(struct.pack("<8IQ", *task) for task in tasks), 10, 13)

    root = {
        1: "RKNPU v2",
        2: [
            {
                0: tensors,
                1: nodes,
                2: ints([0]),
                3: ints([len(chain.layers)]),
                7: [
                    {
                        0: name,
                        1: vector(np.array(entries, np.dtype([("addend", "<i4"), ("command", "<u4")]))),
                    }
                    for name, entries in relocations.items()
                ],
            }
        ],
        3: "{'attrs': {}}",
        7: "test writer",
        8: "rk3588",
        9: "none",
        11: "written for a test",
        19: {1: u64(pool)},
        20: [{0: vector(np.frombuffer(raw, np.uint8))} for raw in buffers],
    }
    return container(flatbuffer(root))


def small(dtype: str = "float16") -> bytes:
    """Write a file of two float16 layers, or of one int8 layer, always the same."""
    rng = np.random.default_rng(0)
    if dtype == "float16":
        weights = [rng.normal(size=(9, 11)), rng.normal(size=(3, 9))]
        layers = [Dense(w, rng.normal(size=len(w)), relu=w is weights[0]) for w in weights]
    else:
        layers = [
            Dense(
                rng.integers(-100, 100, (5, 11)),
                rng.integers(-500, 500, 5),
                multipliers=rng.integers(8000, 16000, 5),
                out_scale=20000,
                out_shift=22,
            )
        ]
    return write(Chain(layers, samples=4, dtype=dtype, scales=(0.5, 0.25)))

"""Decode a task of the register program into a step: cubes to a cube."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np

from virtual_npu.arrays import Array
from virtual_npu.errors import UnsupportedProgram
from virtual_npu.execute.arithmetic import Rules
from virtual_npu.execute.convolution import Convolution, KernelOperands, SumOrder
from virtual_npu.execute.data_processor import DataProcessor
from virtual_npu.execute.simulator import SIMULATED_LAYERS, SimulatedLayer
from virtual_npu.program import registers as r
from virtual_npu.program.layout_layers import (
    LAYOUT_LAYERS,
    check_layout,
    is_batch,
    is_plain,
    rearranged,
    tensor_cube,
)
from virtual_npu.program.loader import LoadedTask
from virtual_npu.program.memory import ATOM, Cube, Memory
from virtual_npu.rknn_file.model_file import ITEM_BYTES, Node, RknnFile, Tensor

NATIVE_DTYPES: Final = {name: np.dtype(name) for name in ("float16", "float32", "int8", "int16", "int32")}


@dataclass(frozen=True, slots=True)
class Step:
    """Read cubes, compute, write a cube. Rows have shape (points, channels).

    Attributes
    ----------
    compute : function
        The rows of `sources` to those of `destination`.
    convolution : Convolution or None
        The first half of `compute`, where there is one.
    finish : function or None
        The second: sums and the rows of a second source to those of `destination`.
    turn : ndarray or None
        The sums, or values of the first source, at which results turn from falling to rising, or back.
    """

    node: int
    sources: tuple[Cube, ...]
    destination: Cube
    compute: Callable[[Sequence[Array]], Array]
    convolution: Convolution | None = None
    finish: Callable[[Array, Array | None], Array] | None = None
    turn: Array | None = None


def decode_step(
    task: LoadedTask, file: RknnFile, memory: Memory, rules: Rules, parameters: dict[str, Array]
) -> Step:
    """Decode a task, with what CNA, CORE, DPU and PPU do in it."""
    if task.runs("PPU") or task.runs("PPU_RDMA"):
        return _copy(task)
    if not task.runs("DPU"):
        raise UnsupportedProgram("PC", "OPERATION_ENABLE", task.enable_mask)
    task_read = task if task.runs("DPU_RDMA") else task.without_reads()
    processor = DataProcessor.decode(task_read, memory, rules)
    destination = processor.destination
    if not task.runs("CNA"):
        if processor.source is None:
            raise UnsupportedProgram("DPU", "FLYING_MODE", 0, "no unit gives it data")
        _match(processor.source, destination)
        sources = _cubes(processor.source, processor.operand)
        step = Step(task.node, sources, destination, lambda rows: processor.apply(rows[0], _second(rows)))
        return _checked(replace(step, turn=processor.turn), memory)
    if processor.source is not None:
        raise UnsupportedProgram("DPU", "FLYING_MODE", 1, "data from both CORE and memory")
    node = file.nodes[task.node]
    order = SumOrder(rules.arithmetic, _samples(file, node))
    operands = KernelOperands(processor.kernel_offsets, processor.addends)
    convolution = Convolution.decode(task, memory, order, operands)
    stages = processor.without_addends() if convolution.has_addends else processor
    if convolution.outputs != processor.channels:
        raise UnsupportedProgram("CORE", "DATAOUT_CHANNEL", convolution.outputs - 1)
    _match(replace(convolution.source, width=convolution.source.width * convolution.spread), destination)
    simulated = _simulated(task, file, memory, convolution, parameters)

    def compute(rows: Sequence[Array]) -> Array:
        if simulated:
            return simulated.apply(rows[0], destination.channels)
        return stages.apply(convolution.apply(rows[0]), _second(rows))

    sources = _cubes(convolution.source, processor.operand)
    step = Step(task.node, sources, destination, compute, convolution, stages.apply)
    return _checked(replace(step, turn=processor.turn), memory)


def _simulated(
    task: LoadedTask,
    file: RknnFile,
    memory: Memory,
    convolution: Convolution,
    parameters: dict[str, Array],
) -> SimulatedLayer | None:
    node = file.nodes[task.node]
    names = [file.tensors[i].name for i in node.inputs[1:]]
    is_simulated = node.type in SIMULATED_LAYERS and len(names) == 2 and set(names) <= parameters.keys()
    if not is_simulated or convolution.integers is None:
        return None
    first = (task[r.DECOMPRESS_ADDR0] - memory.address(names[0])) // task[r.WEIGHT_BYTES_PER_KERNEL]
    kernels = slice(first, first + len(convolution.integers))
    return SimulatedLayer.make(file, node, convolution.integers, kernels, parameters)


def weights_by_kernel(values: Array) -> Array:
    """Give a MatMul's weights and a Conv's the same shape: (kernels, channels)."""
    return values.T if values.ndim == 2 else values.reshape(len(values), -1) if values.ndim else values


def _samples(file: RknnFile, node: Node) -> int:
    """Return the points of a layer's output, of one row of a batch."""
    return math.prod(file.tensors[node.outputs[0]].shape[2:]) if node.outputs else 1


def layout_steps(file: RknnFile, steps: Sequence[Step], memory: Memory) -> list[Step]:
    """Make steps of layers that only move data; refuse others that the CPU has."""

    def used(tensor: Tensor) -> list[Cube]:
        users = {n.index for n in file.nodes if tensor.index in n.inputs + n.outputs}
        return [c for step in steps if step.node in users for c in (*step.sources, step.destination)]

    layout = []
    for node in file.nodes:
        if node.type not in LAYOUT_LAYERS:
            if node.placement == "CPU":
                raise UnsupportedProgram("CPU", node.type, node.name)
            _check_rows(node, file)
            continue
        if not node.inputs or len(node.outputs) != 1:
            raise UnsupportedProgram(node.placement, node.type, node.name)
        source, target = file.tensors[node.inputs[0]], file.tensors[node.outputs[0]]
        check_layout(node, source, target)
        read, written = (tensor_cube(t, memory, NATIVE_DTYPES[t.dtype], used(t)) for t in (source, target))
        compute = partial(_rearranged, node, source, target)
        layout.append(_checked(Step(node.index, (read,), written, compute), memory))
    return layout


def _check_rows(node: Node, file: RknnFile) -> None:
    """Refuse a layer on the NPU whose rows lie closer to each other than atoms do.

    Observation: 2.2.0 puts Max and the like of several rows on the NPU between two Reshapes that lay rows out
    one after the other; its tasks take each row filled up to atoms.
    """
    for tensor in (file.tensors[index] for index in node.inputs + node.outputs):
        if tensor.kind == "internal" and is_plain(tensor) and len(tensor.shape) == 2:
            rows, width = tensor.shape
            if rows > 1 and width * ITEM_BYTES.get(tensor.dtype, ATOM) % ATOM:
                raise UnsupportedProgram("NPU", node.type, f"rows of '{tensor.name}' are no full atoms")


def _rearranged(node: Node, source: Tensor, target: Tensor, rows: Sequence[Array]) -> Array:
    return rearranged(node, source, target, rows[0])


def _cubes(*cubes: Cube | None) -> tuple[Cube, ...]:
    return tuple(cube for cube in cubes if cube is not None)


def _second(rows: Sequence[Array]) -> Array | None:
    return rows[1] if len(rows) > 1 else None


def _match(source: Cube, destination: Cube) -> None:
    if (source.width, source.height) != (destination.width, destination.height):
        note = "writes another number of points than it is given"
        raise UnsupportedProgram("DPU", "DATA_CUBE_WIDTH", destination.width - 1, note)


def _checked(step: Step, memory: Memory) -> Step:
    for cube in step.sources:
        memory.view(cube)
    memory.view(step.destination)
    return step


def _copy(task: LoadedTask) -> Step:
    """Decode a PPU task: the copy of a few bytes with which cores wait for each other."""
    task.require(r.PPU_KERNEL, 0)
    task.require(r.PPU_PADDING, 0)
    width, height = task[r.PPU_IN_WIDTH] + 1, task[r.PPU_IN_HEIGHT] + 1
    channels = task[r.PPU_IN_CHANNEL] + 1
    size, dtype = (width, height, channels), np.dtype(np.int8)
    source, destination = (
        Cube.of_atoms(task.chip, task[base], size, (width, task[stride]), dtype)
        for base, stride in (
            (r.PPU_SRC_BASE_ADDR, r.PPU_SRC_SURF_STRIDE),
            (r.PPU_DST_BASE_ADDR, r.PPU_DST_SURF_STRIDE),
        )
    )
    return Step(task.node, (source,), destination, lambda rows: rows[0].copy())


def cube_of_tensor(tensor: Tensor, used: Sequence[Cube], memory: Memory) -> Cube:
    """Return how the runtime lays out an input or output.

    Observation: surfaces of an input follow each other closely, those of an output start at multiples of
    four points (one point stays one). Only the task that reads an image shows how its lines are padded.
    """
    address, dtype = memory.address(tensor.name), NATIVE_DTYPES[tensor.dtype]
    if len(tensor.shape) < 4 or is_plain(tensor) or is_batch(tensor):
        return tensor_cube(tensor, memory, dtype, used)
    batch, channels, height, width = (tensor.shape + (1,) * 4)[:4]
    if batch != 1 or len(tensor.shape) > 4 or 0 in tensor.shape:
        raise UnsupportedProgram("CPU", "batch", batch, f"tensor '{tensor.name}' of shape {tensor.shape}")
    image = next((c for c in used if c.address == address and c.packed), None)
    if image is not None:
        return replace(image, width=width, height=height, channels=channels, dtype=dtype)
    points = height * width
    if memory.chip.translate:  # what is fed and fetched lies as the tasks have it
        same = [c for c in used if (c.address, c.dtype, c.width * c.height) == (address, dtype, points)]
        if same:
            return replace(same[-1], channels=channels)
    if tensor.kind == "output" and points > 1:
        points = -(-points // 4) * 4
    return Cube.of_atoms(memory.chip, address, (width, height, channels), (width, points), dtype)

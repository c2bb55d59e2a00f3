"""Execute a file's register program.

The program is decoded once, at construction: weights unpacked, scales folded, every task a `_Step` from
cubes to a cube. Running it is then a handful of array operations a task. Where a step reads exactly what
an earlier one wrote, the rows are handed over as they are; memory is touched only where that is not so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from . import registers as r
from .convolution import Convolution
from .data_processor import DataProcessor
from .errors import InputError, UnsupportedProgram
from .half_precision import round_to_half
from .joining import join_tasks
from .layout import LAYOUT_LAYERS, check_layout, is_batch, rearranged, tensor_cube
from .memory import Cube, Memory
from .model_file import Node, RknnFile, Tensor
from .program import LoadedTask, load
from .quantization import dequantize, quantize
from .simulator import SIMULATED_LAYERS, SimulatedLayer
from .summation import SUMS, SumRule

__all__ = ["VirtualNpu"]

_Array = npt.NDArray[Any]
_NATIVE: Final = {name: np.dtype(name) for name in ("float16", "float32", "int8", "int16", "int32")}


@dataclass(frozen=True, slots=True)
class _Step:
    """Read cubes, compute, write a cube. Rows have shape (points, channels)."""

    node: int
    sources: tuple[Cube, ...]
    destination: Cube
    compute: Callable[[Sequence[_Array]], _Array]


class VirtualNpu:
    """An NPU with one model loaded.

    Parameters
    ----------
    file : RknnFile
        The model, with one input and one output.
    cores : {1, 2, 3}
        Which of the file's programs to execute.
    sums : {"exact", "simulator", "fast"}
        How float16 products are summed. ``"exact"``: the sum, rounded once to float32; a row's result is the
        same whatever the rows beside it, the machine and its threads. ``"simulator"``: in the order in
        which the vendor's simulator does, to compare bits with it: slow. ``"fast"``: in float32, as BLAS
        likes.
    parameters : mapping of str to array_like, optional
        The model's real weights and biases by the names that the file gives them, which are those of its
        ONNX: a Conv's weights (kernels, channels, 1, 1), a MatMul's (channels, kernels). With them integer
        convolutions are computed as the vendor's simulator does, not as the program says, to compare bits
        with it: see `simulator`. The file has no scales to do it without.

    Raises
    ------
    UnsupportedProgram
        The program does what is not modelled here.
    FileFormatError
        The file's tensors cannot all be placed in memory.
    InputError
        A parameter has another shape than the file's.

    Notes
    -----
    A `VirtualNpu` is for one caller at a time: its tensors are its state.
    """

    def __init__(
        self,
        file: RknnFile,
        cores: int = 1,
        *,
        sums: SumRule = "exact",
        parameters: Mapping[str, npt.ArrayLike] | None = None,
    ) -> None:
        if sums not in SUMS:
            raise ValueError(f"sums is one of {', '.join(SUMS)}, not {sums!r}")
        if len(file.inputs) != 1 or len(file.outputs) != 1:
            raise UnsupportedProgram(
                "CPU", "inputs", len(file.inputs), "one input and one output are modelled"
            )
        self._input, self._output = file.inputs[0], file.outputs[0]
        if cores > 1 and any(is_batch(t) for t in file.tensors if t.kind in ("input", "output", "internal")):
            raise UnsupportedProgram(
                "PC",
                "cores",
                cores,
                "rows of a batch: a core's filling runs into another's values, and time decides what is left",
            )
        for tensor in (self._input, self._output):
            if tensor.dtype not in _NATIVE:
                raise UnsupportedProgram("CPU", "input or output type", tensor.dtype)
        self._memory = Memory(file)
        tasks = load(file, self._memory, cores)
        real = {name: _by_kernel(np.asarray(value)) for name, value in (parameters or {}).items()}
        steps = [_step(task, file, self._memory, sums, real) for task in join_tasks(tasks)]
        steps += _layout_steps(file, steps, self._memory)
        steps.sort(key=lambda step: step.node)
        self._feed = _cube(self._input, [s for step in steps for s in step.sources], self._memory)
        self._fetch = _cube(self._output, [step.destination for step in steps], self._memory)
        self._steps = steps
        self._plan()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Logical shape of the input."""
        return self._input.shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Logical shape of the output."""
        return self._output.shape

    def run(self, x: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Run the model on real values.

        Parameters
        ----------
        x : array_like, shape `input_shape`
            Cast to float16, or quantized with the input's scale and zero point, as the runtime does.

        Returns
        -------
        ndarray of float32, shape `output_shape`
            Dequantized where the output is quantized.

        Raises
        ------
        InputError
            `x` has another shape or is not numeric.
        """
        return dequantize(self._execute(_quantized(self._checked(x), self._input)), self._output)

    def run_native(self, x: _Array) -> _Array:
        """Run the model on stored values: float16, int8 or int16 in and out, logical shapes.

        Raises
        ------
        InputError
            `x` has another shape or dtype.
        """
        x = self._checked(x)
        if x.dtype != _NATIVE[self._input.dtype]:
            raise InputError(f"the model stores {self._input.dtype}, the input is {x.dtype}")
        return self._execute(_widened(x)).astype(_NATIVE[self._output.dtype])

    def _execute(self, x: _Array) -> _Array:
        """Run the steps; float16 values are held in float32 on either side."""
        by_row = is_batch(self._input)
        results: list[_Array] = [x.reshape(len(x), -1) if by_row else x.reshape(self._feed.channels, -1).T]
        if self._kept[0]:
            _write(self._memory, self._feed, results[0])
        results[0].flags.writeable = False
        with np.errstate(all="ignore"):  # infinities and NaN are results like others
            for index, step in enumerate(self._steps, 1):
                rows = step.compute(
                    [self._read(c, w, results) for c, w in zip(step.sources, self._from[index], strict=True)]
                )
                if self._kept[index]:
                    _write(self._memory, step.destination, rows)
                rows.flags.writeable = False
                results.append(rows)
            final = self._read(self._fetch, self._from[-1][0], results)
        return np.ascontiguousarray(final if is_batch(self._output) else final.T).reshape(self._output.shape)

    def _checked(self, x: npt.ArrayLike) -> _Array:
        try:
            values = np.asarray(x)
        except ValueError as error:
            raise InputError("the input is no array") from error
        if values.dtype.kind not in "biuf":
            raise InputError(f"the input is {values.dtype}, not numbers")
        if values.shape != self._input.shape:
            raise InputError(f"the model takes shape {self._input.shape}, the input has {values.shape}")
        return values

    def _read(self, cube: Cube, writer: int | None, results: list[_Array]) -> _Array:
        if writer is not None:
            return results[writer][:, : cube.channels]
        return _read(self._memory, cube)

    def _plan(self) -> None:
        """Find which rows can be handed over, and which writes nobody needs to find in memory."""
        written = [self._feed, *(step.destination for step in self._steps)]
        reads = [(), *(step.sources for step in self._steps), (self._fetch,)]
        for cube in written:
            self._memory.view(cube, writable=True)
        self._memory.view(self._fetch)
        self._from: list[tuple[int | None, ...]] = []
        starts = np.array([cube.start for cube in written], np.int64)
        ends = np.array([cube.end for cube in written], np.int64)
        self._kept: npt.NDArray[np.bool_] = np.zeros(len(written), np.bool_)

        def writer(cube: Cube, before: int) -> int | None:
            """Return which write put exactly `cube` there, or None if it takes memory to tell."""
            touched = np.flatnonzero((starts[:before] < cube.end) & (cube.start < ends[:before]))
            if not len(touched):
                return None
            last = written[touched[-1]]
            return int(touched[-1]) if cube.same_place(last) and cube.channels <= last.channels else None

        for index, cubes in enumerate(reads):
            self._from.append(tuple(writer(cube, index) for cube in cubes))
        for cubes, writers in zip(reads, self._from, strict=True):
            for cube, by in zip(cubes, writers, strict=True):
                touched = (starts < cube.end) & (cube.start < ends)
                if by is not None:
                    touched[by] = False
                self._kept |= touched
        self._memory.check_constants(starts, ends)


def _step(
    task: LoadedTask, file: RknnFile, memory: Memory, sums: SumRule, parameters: dict[str, _Array]
) -> _Step:
    if task.runs("PPU") or task.runs("PPU_RDMA"):
        return _copy(task)
    if not task.runs("DPU"):
        raise UnsupportedProgram("PC", "OPERATION_ENABLE", task.enable_mask)
    processor = DataProcessor.decode(task.without_reads() if not task.runs("DPU_RDMA") else task, memory)
    destination = processor.destination
    if not task.runs("CNA"):
        if processor.source is None:
            raise UnsupportedProgram("DPU", "FLYING_MODE", 0, "no unit gives it data")
        _match(processor.source, destination)
        sources = _cubes(processor.source, processor.operand)
        return _checked(
            _Step(task.node, sources, destination, lambda rows: processor.apply(rows[0], _second(rows))),
            memory,
        )
    if processor.source is not None:
        raise UnsupportedProgram("DPU", "FLYING_MODE", 1, "data from both CORE and memory")
    node = file.nodes[task.node]
    convolution = Convolution.decode(
        task, memory, processor.kernel_offsets, sums, _samples(file, node), processor.addends
    )
    behind = processor.without_addends() if convolution.has_addends else processor
    if convolution.outputs != processor.channels:
        raise UnsupportedProgram("CORE", "DATAOUT_CHANNEL", convolution.outputs - 1)
    _match(replace(convolution.source, width=convolution.source.width * convolution.spread), destination)
    simulated = _simulated(task, file, memory, convolution, parameters)

    def compute(rows: Sequence[_Array]) -> _Array:
        if simulated:
            return simulated.apply(rows[0], destination.channels)
        return behind.apply(convolution.apply(rows[0]), _second(rows))

    return _checked(
        _Step(task.node, _cubes(convolution.source, processor.operand), destination, compute), memory
    )


def _simulated(
    task: LoadedTask,
    file: RknnFile,
    memory: Memory,
    convolution: Convolution,
    parameters: dict[str, _Array],
) -> SimulatedLayer | None:
    node = file.nodes[task.node]
    names = [file.tensors[i].name for i in node.inputs[1:]]
    known = node.type in SIMULATED_LAYERS and len(names) == 2 and set(names) <= parameters.keys()
    if not known or convolution.integers is None:
        return None
    first = (task[r.DECOMPRESS_ADDR0] - memory.address(names[0])) // task[r.WEIGHT_BYTES_PER_KERNEL]
    kernels = slice(first, first + len(convolution.integers))
    return SimulatedLayer.make(file, node, convolution.integers, kernels, parameters)


def _by_kernel(values: _Array) -> _Array:
    """Give a MatMul's weights and a Conv's the same shape: (kernels, channels)."""
    return values.T if values.ndim == 2 else values.reshape(len(values), -1) if values.ndim else values


def _samples(file: RknnFile, node: Node) -> int:
    """Return the points of a layer's output, of one row of a batch."""
    return math.prod(file.tensors[node.outputs[0]].shape[2:]) if node.outputs else 1


def _layout_steps(file: RknnFile, steps: Sequence[_Step], memory: Memory) -> list[_Step]:
    """Make steps of the layers that go by the graph; refuse what else is left to the CPU."""

    def used(tensor: Tensor) -> list[Cube]:
        users = {n.index for n in file.nodes if tensor.index in n.inputs + n.outputs}
        return [c for step in steps if step.node in users for c in (*step.sources, step.destination)]

    found = []
    for node in file.nodes:
        if node.type not in LAYOUT_LAYERS:
            if node.placement == "CPU":
                raise UnsupportedProgram("CPU", node.type, node.name)
            continue
        if not node.inputs or len(node.outputs) != 1:
            raise UnsupportedProgram(node.placement, node.type, node.name)
        source, target = file.tensors[node.inputs[0]], file.tensors[node.outputs[0]]
        check_layout(node, source, target)
        ends = [
            tensor_cube(tensor, memory, _NATIVE[tensor.dtype], used(tensor)) for tensor in (source, target)
        ]
        compute = partial(_rearranged, node, source, target)
        found.append(_checked(_Step(node.index, (ends[0],), ends[1], compute), memory))
    return found


def _rearranged(node: Node, source: Tensor, target: Tensor, rows: Sequence[_Array]) -> _Array:
    return rearranged(node, source, target, rows[0])


def _cubes(*cubes: Cube | None) -> tuple[Cube, ...]:
    return tuple(cube for cube in cubes if cube is not None)


def _second(rows: Sequence[_Array]) -> _Array | None:
    return rows[1] if len(rows) > 1 else None


def _match(source: Cube, destination: Cube) -> None:
    if (source.width, source.height) != (destination.width, destination.height):
        raise UnsupportedProgram(
            "DPU",
            "DATA_CUBE_WIDTH",
            destination.width - 1,
            "writes another number of points than it is given",
        )


def _checked(step: _Step, memory: Memory) -> _Step:
    for cube in step.sources:
        memory.view(cube)
    memory.view(step.destination)
    return step


def _copy(task: LoadedTask) -> _Step:
    """Decode a PPU task: the copy of a few bytes with which cores wait for each other."""
    task.require(r.PPU_KERNEL, 0)
    task.require(r.PPU_PADDING, 0)
    width, height = task[r.PPU_IN_WIDTH] + 1, task[r.PPU_IN_HEIGHT] + 1
    channels = task[r.PPU_IN_CHANNEL] + 1
    source, destination = (
        Cube.of_atoms(
            task.chip, task[base], (width, height, channels), width, task[stride], np.dtype(np.int8)
        )
        for base, stride in (
            (r.PPU_SRC_BASE_ADDR, r.PPU_SRC_SURF_STRIDE),
            (r.PPU_DST_BASE_ADDR, r.PPU_DST_SURF_STRIDE),
        )
    )
    return _Step(task.node, (source,), destination, lambda rows: rows[0].copy())


def _cube(tensor: Tensor, used: Sequence[Cube], memory: Memory) -> Cube:
    """Return how the runtime lays out an input or output.

    Observation: surfaces of an input follow each other closely, those of an output start at multiples of
    four points (one point stays one). How an image's lines are padded only the task that reads it tells.
    """
    address, dtype = memory.address(tensor.name), _NATIVE[tensor.dtype]
    if len(tensor.shape) == 2 or is_batch(tensor):
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
    return Cube.of_atoms(memory.chip, address, (width, height, channels), width, points, dtype)


def _read(memory: Memory, cube: Cube) -> _Array:
    view = memory.view(cube)
    rows: _Array = view.transpose(1, 2, 0, 3).reshape(cube.height * cube.width, -1)
    return _widened(rows[:, : cube.channels])


def _write(memory: Memory, cube: Cube, rows: _Array) -> None:
    view = memory.view(cube, writable=True)
    missing = view.shape[0] * view.shape[3] - rows.shape[1]
    if missing < 0:
        raise UnsupportedProgram(
            "DPU", "DATA_CUBE_CHANNEL", cube.channels - 1, "writes fewer channels than it has"
        )
    if missing:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    view[...] = rows.reshape(cube.height, cube.width, cube.groups, -1).transpose(2, 0, 1, 3)


def _widened(stored: _Array) -> _Array:
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored


def _quantized(x: _Array, tensor: Tensor) -> _Array:
    dtype = _NATIVE[tensor.dtype]
    if dtype == np.float16:
        if x.dtype == np.float32:
            return round_to_half(x.copy())
        with np.errstate(over="ignore"):
            return _widened(x.astype(dtype))
    if dtype.kind == "f":
        floats: _Array = x.astype(dtype)
        return floats
    return quantize(x, tensor)

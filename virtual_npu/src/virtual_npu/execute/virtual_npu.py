"""Execute a file's register program.

The program is decoded once, at construction: weights unpacked, scales folded, every task a `Step` from
cubes to a cube. Running it is then a handful of array operations a task. Where a step reads exactly what
an earlier one wrote, the rows are handed over as they are; memory is touched only where that is not so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from virtual_npu.arrays import Array, Float32Array
from virtual_npu.errors import InputError, UnsupportedProgram
from virtual_npu.execute.arithmetic import Arithmetic, LookupRules, arithmetic_of, rules_of
from virtual_npu.execute.half_precision import BFLOAT16, bfloat16_bits, round_to_half, widened
from virtual_npu.execute.quantization import dequantize, quantize
from virtual_npu.execute.steps import (
    NATIVE_DTYPES,
    Step,
    cube_of_tensor,
    decode_step,
    layout_steps,
    weights_by_kernel,
)
from virtual_npu.program.layout_layers import is_batch, rows_of_values, values_of_rows
from virtual_npu.program.loader import load
from virtual_npu.program.memory import Cube, Memory
from virtual_npu.program.task_joining import join_tasks
from virtual_npu.rknn_file.model_file import RknnFile, Tensor


class VirtualNpu:
    """An NPU with one model loaded.

    Parameters
    ----------
    file : RknnFile
        The model, with one input and one output.
    cores : {1, 2, 3}
        Which of the file's programs to execute.
    arithmetic : {"silicon", "simulator", "fast"}
        Where the program leaves it open. ``"silicon"``: what chips were measured to compute; a row's result
        is the same whatever the rows beside it, the machine and its threads. ``"simulator"``: what the
        vendor's simulator does, to compare bits with it: slow. ``"fast"``: silicon's, with float16 products
        summed in float32, in BLAS's order.
    parameters : mapping of str to array_like, optional
        The model's real weights and biases by the names that the file gives them, which are those of its
        ONNX: a Conv's weights (kernels, channels, 1, 1), a MatMul's (channels, kernels). With them integer
        convolutions are computed as the vendor's simulator does, not as the program says, to compare bits
        with it: see `simulator`. The file has no scales to do it without.
    lookup_rules : LookupRules, optional
        How tables are looked up where documents leave it open; by default as silicon was measured, or in
        the simulator's arithmetic as straight lines.
    sums : {"exact", "simulator", "fast"}, optional
        The name of `arithmetic` before; ``"exact"`` is silicon's.

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
        arithmetic: Arithmetic = "silicon",
        parameters: Mapping[str, npt.ArrayLike] | None = None,
        lookup_rules: LookupRules | None = None,
        sums: str | None = None,
    ) -> None:
        if len(file.inputs) != 1 or len(file.outputs) != 1:
            note = "one input and one output are modelled"
            raise UnsupportedProgram("CPU", "inputs", len(file.inputs), note)
        self._input, self._output = file.inputs[0], file.outputs[0]
        values = [t for t in file.tensors if t.kind in ("input", "output", "internal")]
        if cores > 1 and any(len(t.shape) == 4 and is_batch(t) for t in values):
            note = "rows of a batch: a core's padding runs into another's values; time decides what is left"
            raise UnsupportedProgram("PC", "cores", cores, note)
        for tensor in (self._input, self._output):
            if tensor.dtype not in NATIVE_DTYPES:
                raise UnsupportedProgram("CPU", "input or output type", tensor.dtype)
        memory = Memory(file)
        tasks = load(file, memory, cores)
        rules = self._rules = rules_of(arithmetic_of(arithmetic, sums), lookup_rules)
        real = {name: weights_by_kernel(np.asarray(value)) for name, value in (parameters or {}).items()}
        steps = [decode_step(task, file, memory, rules, real) for task in join_tasks(tasks)]
        steps += layout_steps(file, steps, memory)
        steps.sort(key=lambda step: step.node)
        feed = cube_of_tensor(self._input, [s for step in steps for s in step.sources], memory)
        fetch = cube_of_tensor(self._output, [step.destination for step in steps], memory)
        self._looks_up = any(task.looks_up for task in tasks)
        self._plan = Plan.of(memory, steps, feed, fetch)

    @property
    def looks_up(self) -> bool:
        """Whether a float program looks a table up, so that `lookup_rules` count."""
        return self._looks_up

    @property
    def lookup_rules(self) -> LookupRules:
        """How tables are looked up; can be set between runs."""
        return self._rules.lookups

    @lookup_rules.setter
    def lookup_rules(self, rules: LookupRules) -> None:
        self._rules.lookups = rules

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Logical shape of the input."""
        return self._input.shape

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Logical shape of the output."""
        return self._output.shape

    def run(self, x: npt.ArrayLike) -> Float32Array:
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

    def run_native(self, x: Array) -> Array:
        """Run the model on stored values.

        float16, int8 or int16 in and out, in logical shapes.

        Raises
        ------
        InputError
            `x` has another shape or dtype.
        """
        x = self._checked(x)
        if x.dtype != NATIVE_DTYPES[self._input.dtype]:
            raise InputError(f"the model stores {self._input.dtype}, the input is {x.dtype}")
        return self._execute(widened(x)).astype(NATIVE_DTYPES[self._output.dtype])

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of a run, in order."""
        return self._plan.steps

    @property
    def last_step(self) -> int | None:
        """The step whose rows are the output as they are; None where several make it up."""
        (writer,) = self._plan.writers[-1]
        return writer - 1 if writer else None

    def first_points(self, x: npt.ArrayLike, count: int) -> Float32Array:
        """Return the output's first points of a run on real values, before they are given its shape.

        Only these are computed where every layer works point by point.

        Returns
        -------
        ndarray of float32, shape (points, channels)
            Dequantized; up to `count` points.

        Raises
        ------
        InputError
            `x` has another shape or is not numeric.
        """
        rows = rows_of_values(_quantized(self._checked(x), self._input), self._input)
        rows = rows[:count] if self._plan.is_pointwise else rows
        return dequantize(self._finish(Run(self._plan, rows))[:count], self._output)

    def start(self, x: npt.ArrayLike) -> Run:
        """Return a run on real values whose first step has not been made.

        Raises
        ------
        InputError
            `x` has another shape or is not numeric.
        """
        return self._start(_quantized(self._checked(x), self._input))

    def _start(self, x: Array) -> Run:
        return Run(self._plan, rows_of_values(x, self._input))

    def _execute(self, x: Array) -> Array:
        """Run the steps; float16 values are held in float32 on either side."""
        return values_of_rows(self._finish(self._start(x)), self._output)

    def _finish(self, run: Run) -> Array:
        with np.errstate(all="ignore"):  # infinities and NaN are results like others
            for step in self.steps:
                run.put(step.compute(run.sources()))
            return run.output()

    def _checked(self, x: npt.ArrayLike) -> Array:
        try:
            values = np.asarray(x)
        except ValueError as error:
            raise InputError("the input is no array") from error
        if values.dtype.kind not in "biuf":
            raise InputError(f"the input is {values.dtype}, not numbers")
        if values.shape != self._input.shape:
            raise InputError(f"the model takes shape {self._input.shape}, the input has {values.shape}")
        return values


@dataclass(frozen=True, slots=True)
class Plan:
    """A program's steps, and how rows come from one to another.

    Attributes
    ----------
    steps : tuple of Step
        Those that the output depends on; not, for one, copies with which cores wait for each other.
    written : tuple of Cube
        The input, then what each step writes.
    fetch : Cube
        The output.
    writers : tuple of tuple of (int or None)
        For each step and for the output, and for each cube read: which of `written` is exactly that cube,
        or None where memory must be read.
    kept : ndarray of bool
        Which of `written` are read from memory.
    """

    memory: Memory
    steps: tuple[Step, ...]
    written: tuple[Cube, ...]
    fetch: Cube
    writers: tuple[tuple[int | None, ...], ...]
    kept: npt.NDArray[np.bool_]

    @property
    def is_pointwise(self) -> bool:
        """Whether a point of the output comes of the same point of the input alone."""
        points = {cube.width * cube.height for cube in (*self.written, self.fetch)}
        return len(points) == 1 and not self.kept.any()

    @classmethod
    def of(cls, memory: Memory, steps: Sequence[Step], feed: Cube, fetch: Cube) -> Plan:
        """Find which rows can be handed over, and which writes are not read from memory."""
        written = (feed, *(step.destination for step in steps))
        reads = (*(step.sources for step in steps), (fetch,))
        for cube in written:
            memory.view(cube, writable=True)
        memory.view(fetch)
        starts = np.array([cube.start for cube in written], np.int64)
        ends = np.array([cube.end for cube in written], np.int64)
        memory.check_constants(starts, ends)

        def writer(cube: Cube, before: int) -> int | None:
            """Return which write put exactly `cube` there, or None if memory must be read."""
            touched = np.flatnonzero((starts[:before] < cube.end) & (cube.start < ends[:before]))
            if not len(touched):
                return None
            last = written[touched[-1]]
            return int(touched[-1]) if cube.same_place(last) and cube.channels <= last.channels else None

        writers = tuple(tuple(writer(cube, index) for cube in cubes) for index, cubes in enumerate(reads, 1))
        used, kept = _used_and_kept(reads, writers, (starts, ends))
        if not used.all():
            left = [step for step, is_used in zip(steps, used[1:], strict=True) if is_used]
            return cls.of(memory, left, feed, fetch)
        return cls(memory, tuple(steps), written, fetch, writers, kept)


_Flags = npt.NDArray[np.bool_]


def _used_and_kept(
    reads: Sequence[Sequence[Cube]],
    writers: Sequence[Sequence[int | None]],
    places: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> tuple[_Flags, _Flags]:
    """Return which writes the output depends on, and which are read from memory.

    `places` are the starts and the ends of what is written; the first is the input.
    """
    starts, ends = places
    used, kept = np.arange(len(starts)) == 0, np.zeros(len(starts), np.bool_)
    pending = [len(reads) - 1]
    while pending:
        index = pending.pop()
        for cube, writer in zip(reads[index], writers[index], strict=True):
            if writer is None:
                touched = (starts < cube.end) & (cube.start < ends)
                kept |= touched
            else:
                touched = np.arange(len(starts)) == writer
            pending += [int(write) - 1 for write in np.flatnonzero(touched & ~used)]
            used |= touched
    return used, kept


class Run:
    """One run, step by step: what a step reads, and what it is found to write.

    Parameters
    ----------
    plan : Plan
    rows : ndarray, shape (points, channels)
        The input as it is stored, float16 held in float32.
    """

    def __init__(self, plan: Plan, rows: Array) -> None:
        self._plan = plan
        self._results: list[Array] = []
        self.put(rows)

    def sources(self) -> list[Array]:
        """Return the rows that the next step reads."""
        index = len(self._results) - 1
        return self._read(self._plan.steps[index].sources, self._plan.writers[index])

    def put(self, rows: Array) -> None:
        """Take the rows that the next step writes; they are not to be changed any more."""
        index = len(self._results)
        if self._plan.kept[index]:
            _write(self._plan.memory, self._plan.written[index], rows)
        rows.flags.writeable = False
        self._results.append(rows)

    def output(self) -> Array:
        """Return the output's rows, behind the last step."""
        (rows,) = self._read((self._plan.fetch,), self._plan.writers[-1])
        return rows

    def _read(self, cubes: Sequence[Cube], writers: Sequence[int | None]) -> list[Array]:
        return [
            _read(self._plan.memory, cube) if writer is None else self._results[writer][:, : cube.channels]
            for cube, writer in zip(cubes, writers, strict=True)
        ]


def _read(memory: Memory, cube: Cube) -> Array:
    view = memory.view(cube)
    rows: Array = view.transpose(1, 2, 0, 3).reshape(cube.height * cube.width, -1)
    return widened(rows[:, : cube.channels])


def _write(memory: Memory, cube: Cube, rows: Array) -> None:
    view = memory.view(cube, writable=True)
    missing = view.shape[0] * view.shape[3] - rows.shape[1]
    if missing < 0:
        note = "writes fewer channels than it has"
        raise UnsupportedProgram("DPU", "DATA_CUBE_CHANNEL", cube.channels - 1, note)
    if cube.dtype == BFLOAT16:
        rows = bfloat16_bits(rows)
    if missing:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    view[...] = rows.reshape(cube.height, cube.width, cube.groups, -1).transpose(2, 0, 1, 3)


def _quantized(x: Array, tensor: Tensor) -> Array:
    dtype = NATIVE_DTYPES[tensor.dtype]
    if dtype == np.float16:
        if x.dtype == np.float32:
            return round_to_half(x.copy())
        with np.errstate(over="ignore"):
            return widened(x.astype(dtype))
    if dtype.kind == "f":
        floats: Array = x.astype(dtype)
        return floats
    return quantize(x, tensor)

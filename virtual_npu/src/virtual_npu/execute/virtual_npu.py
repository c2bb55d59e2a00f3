"""Execute a file's register program.

The program is decoded once, at construction: weights unpacked, scales folded, every task a `Step` from
cubes to a cube. Running it is then a handful of array operations a task. Where a step reads exactly what
an earlier one wrote, the rows are handed over as they are; memory is touched only where that is not so.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from virtual_npu.arrays import Array, Float32Array
from virtual_npu.errors import InputError, UnsupportedProgram
from virtual_npu.execute.arithmetic import Arithmetic, arithmetic_of
from virtual_npu.execute.half_precision import round_to_half
from virtual_npu.execute.quantization import dequantize, quantize
from virtual_npu.execute.steps import (
    NATIVE_DTYPES,
    cube_of_tensor,
    decode_step,
    layout_steps,
    weights_by_kernel,
)
from virtual_npu.program.layout_layers import is_batch
from virtual_npu.program.loader import load
from virtual_npu.program.memory import Cube, Memory
from virtual_npu.program.task_joining import join_tasks
from virtual_npu.rknn_file.model_file import RknnFile, Tensor

__all__ = ["VirtualNpu"]


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
        sums: str | None = None,
    ) -> None:
        arithmetic = arithmetic_of(arithmetic, sums)
        if len(file.inputs) != 1 or len(file.outputs) != 1:
            note = "one input and one output are modelled"
            raise UnsupportedProgram("CPU", "inputs", len(file.inputs), note)
        self._input, self._output = file.inputs[0], file.outputs[0]
        if cores > 1 and any(is_batch(t) for t in file.tensors if t.kind in ("input", "output", "internal")):
            note = "rows of a batch: a core's padding runs into another's values; time decides what is left"
            raise UnsupportedProgram("PC", "cores", cores, note)
        for tensor in (self._input, self._output):
            if tensor.dtype not in NATIVE_DTYPES:
                raise UnsupportedProgram("CPU", "input or output type", tensor.dtype)
        self._memory = Memory(file)
        tasks = load(file, self._memory, cores)
        real = {name: weights_by_kernel(np.asarray(value)) for name, value in (parameters or {}).items()}
        steps = [decode_step(task, file, self._memory, arithmetic, real) for task in join_tasks(tasks)]
        steps += layout_steps(file, steps, self._memory)
        steps.sort(key=lambda step: step.node)
        self._feed = cube_of_tensor(self._input, [s for step in steps for s in step.sources], self._memory)
        self._fetch = cube_of_tensor(self._output, [step.destination for step in steps], self._memory)
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
        return self._execute(_widened(x)).astype(NATIVE_DTYPES[self._output.dtype])

    def _execute(self, x: Array) -> Array:
        """Run the steps; float16 values are held in float32 on either side."""
        by_row = is_batch(self._input)
        results: list[Array] = [x.reshape(len(x), -1) if by_row else x.reshape(self._feed.channels, -1).T]
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

    def _read(self, cube: Cube, writer: int | None, results: list[Array]) -> Array:
        if writer is not None:
            return results[writer][:, : cube.channels]
        return _read(self._memory, cube)

    def _plan(self) -> None:
        """Find which rows can be handed over, and which writes are not read from memory."""
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
            """Return which write put exactly `cube` there, or None if memory must be read."""
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


def _read(memory: Memory, cube: Cube) -> Array:
    view = memory.view(cube)
    rows: Array = view.transpose(1, 2, 0, 3).reshape(cube.height * cube.width, -1)
    return _widened(rows[:, : cube.channels])


def _write(memory: Memory, cube: Cube, rows: Array) -> None:
    view = memory.view(cube, writable=True)
    missing = view.shape[0] * view.shape[3] - rows.shape[1]
    if missing < 0:
        note = "writes fewer channels than it has"
        raise UnsupportedProgram("DPU", "DATA_CUBE_CHANNEL", cube.channels - 1, note)
    if missing:
        rows = np.pad(rows, ((0, 0), (0, missing)))
    view[...] = rows.reshape(cube.height, cube.width, cube.groups, -1).transpose(2, 0, 1, 3)


def _widened(stored: Array) -> Array:
    return stored.astype(np.float32) if stored.dtype == np.float16 else stored


def _quantized(x: Array, tensor: Tensor) -> Array:
    dtype = NATIVE_DTYPES[tensor.dtype]
    if dtype == np.float16:
        if x.dtype == np.float32:
            return round_to_half(x.copy())
        with np.errstate(over="ignore"):
            return _widened(x.astype(dtype))
    if dtype.kind == "f":
        floats: Array = x.astype(dtype)
        return floats
    return quantize(x, tensor)

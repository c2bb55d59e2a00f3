"""The memory of a model: a region for each tensor, and one for internal ones.

A cube is data laid out as the NPU's DMA reads and writes it: atoms of 16 bytes (8 on some chips), each a few
channels of one point; points along a line, lines along a surface, surfaces of further channels (``NC1HWC2``).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from virtual_npu.arrays import Array
from virtual_npu.errors import FileFormatError, UnsupportedProgram
from virtual_npu.program.chips import Chip, chip_of
from virtual_npu.rknn_file.model_file import RknnFile, Tensor

ATOM: Final = 16  # bytes; 8 channels of 16 bits, 16 of 8 bits
_GUARD: Final = 1 << 16  # between regions, so that running off one never lands in the next
_MAX_BYTES: Final = 1 << 28  # 1,024 samples of 65,536 float16 features take half of it
_OVERREAD: Final = 1 << 9  # bytes: operands of 64 channels
_SCRATCH: Final = 1 << 12  # for names that the relocations use and no tensor bears


@dataclass(frozen=True, slots=True)
class Cube:
    """Where and how a feature map lies in memory.

    Attributes
    ----------
    address : int
    width, height, channels : int
    line, surface : int
        Bytes from one line to the next, from one group of channels to the next.
    dtype : numpy dtype
        Of one element.
    point : int
        Bytes from one point to the next.
    atom : int
        Bytes of one atom.
    """

    address: int
    width: int
    height: int
    channels: int
    line: int
    surface: int
    dtype: np.dtype[Any]
    point: int = ATOM
    atom: int = ATOM

    @classmethod
    def of_atoms(
        cls,
        chip: Chip,
        address: int,
        size: tuple[int, int, int],
        strides: tuple[int, int],
        dtype: np.dtype[Any],
    ) -> Cube:
        """Make a cube whose strides are counted in atoms.

        `size` is (width, height, channels), `strides` is (line, surface).
        """
        atom = chip.atoms[dtype.itemsize]
        line, surface = (stride * atom for stride in strides)
        return cls(address, *size, line, surface, dtype, atom, atom)

    @property
    def group(self) -> int:
        """Channels in one atom."""
        return self.atom // self.dtype.itemsize

    @property
    def groups(self) -> int:
        """Atoms that hold all channels of a point."""
        return -(-self.channels // self.group)

    @property
    def packed(self) -> bool:
        """Whether points follow each other without being padded to atoms (image data)."""
        return self.point != self.atom

    @property
    def start(self) -> int:
        """Lowest address touched."""
        return self.address + sum(min(0, (n - 1) * step) for n, step in self._extents())

    @property
    def end(self) -> int:
        """First address past the last one touched."""
        last = self.point
        return self.address + last + sum(max(0, (n - 1) * step) for n, step in self._extents())

    def _extents(self) -> tuple[tuple[int, int], ...]:
        return ((self.groups, self.surface), (self.height, self.line), (self.width, self.point))

    def same_place(self, other: Cube) -> bool:
        """Whether both cubes lay the same points at the same addresses."""
        return (
            self.address == other.address
            and (self.width, self.height, self.dtype) == (other.width, other.height, other.dtype)
            and (self.width == 1 or self.point == other.point)
            and (self.height == 1 or self.line == other.line)
            and (self.groups == 1 or self.surface == other.surface)
        )


class Memory:
    """The addressable regions of a model's tensors, laid out for its `chip`.

    Raises
    ------
    FileFormatError
        The tensors want more memory than any program does.
    """

    def __init__(self, file: RknnFile) -> None:
        self.chip = chip_of(file.target_platform)
        self._starts: list[int] = []
        self._regions: list[npt.NDArray[np.uint8]] = []
        self._next = _GUARD
        self._constants: list[tuple[int, int]] = []
        self._inputs: list[tuple[int, int]] = []
        self._held: dict[int, Tensor] = {}
        self._names: dict[str, int] = {}
        pool = self._add(self._zeros(file.internal_memory))
        for tensor in file.tensors:
            if not tensor.name or tensor.kind in ("regcmd", "task") or tensor.name in self._names:
                continue
            if tensor.buffer:
                buffer = file.buffers[tensor.buffer]
                self._names[tensor.name] = start = self._add(self._filled(buffer, tensor.size))
                self._held[start] = replace(tensor, size=max(len(buffer), tensor.size))
            elif tensor.kind in ("input", "output"):
                self._names[tensor.name] = start = self._add(self._zeros(tensor.size))
                if tensor.kind == "input":
                    self._inputs.append((start, start + tensor.size))
            else:
                self._names[tensor.name] = pool + tensor.pool_offset

    def _zeros(self, size: int) -> npt.NDArray[np.uint8]:
        if size + self._next > _MAX_BYTES:
            raise FileFormatError(f"the tensors want {size} bytes at once: more than {_MAX_BYTES} in all")
        return np.zeros(size, np.uint8)

    def _filled(self, buffer: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
        """Return a constant, padded to the full groups that units read."""
        region = self._zeros(max(size, len(buffer)) + _OVERREAD)
        region[: len(buffer)] = buffer
        return region

    def _add(self, region: npt.NDArray[np.uint8]) -> int:
        start = self._next
        self._starts.append(start)
        self._regions.append(region)
        self._next = -(-(start + len(region) + _GUARD) // _GUARD) * _GUARD
        if self._next > 0x7FFFFFFF:
            raise FileFormatError("the tensors do not fit the NPU's 32-bit addresses")
        return start

    def address(self, name: str) -> int:
        """Return the address of a tensor, giving scratch memory to a name no tensor bears."""
        if name not in self._names:
            self._names[name] = self._add(self._zeros(_SCRATCH))
        return self._names[name]

    def is_input(self, address: int) -> bool:
        """Whether an address lies in the model's input."""
        return any(start <= address < end for start, end in self._inputs)

    def _find(self, start: int, end: int, what: str) -> tuple[int, int]:
        index = bisect_right(self._starts, start) - 1
        offset = start - self._starts[index] if index >= 0 else -1
        if index < 0 or end - start + offset > len(self._regions[index]):
            raise UnsupportedProgram("memory", what, start, f"up to {end:#x}, outside every tensor")
        return index, offset

    def constant(self, address: int, size: int, dtype: npt.DTypeLike) -> Array:
        """Return `size` bytes as elements: weights, biases."""
        index, offset = self._find(address, address + size, "constant")
        self._check_held(index, address + size, np.dtype(dtype))
        self._constants.append((address, address + size))
        return self._regions[index][offset : offset + size].view(dtype)

    def check_constants(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> None:
        """Raise UnsupportedProgram if a write touches what was decoded as a constant."""
        for start, end in self._constants:
            if ((starts < end) & (start < ends)).any():
                raise UnsupportedProgram("memory", "constant", start, "the program writes over it")

    def _check_held(self, index: int, last: int, dtype: np.dtype[Any]) -> None:
        """Raise UnsupportedProgram if a program reads a constant in another type, or past its end.

        Observation: int16 files of a MatMul of one channel (2.2.0 to 2.3.2) hold its constants as int8 and
        its ones as float16, and read both as int16. What a board makes of that is not known.
        """
        start = self._starts[index]
        tensor = self._held.get(start)
        if tensor is None or tensor.dtype not in ("int8", "int16", "float16"):
            return
        if dtype not in (tensor.dtype, np.uint8):
            note = f"'{tensor.name}' is held as {tensor.dtype}"
            raise UnsupportedProgram("memory", "constant read as", str(dtype), note)
        if dtype != np.uint8 and last - start > tensor.size:
            note = f"'{tensor.name}' has {tensor.size} bytes"
            raise UnsupportedProgram("memory", "constant read up to byte", last - start, note)

    def view(self, cube: Cube, *, writable: bool = False) -> Array:
        """Return a cube's memory as (groups, height, width, channels of a group)."""
        index, offset = self._find(cube.start, cube.end, "cube")
        size = cube.groups * cube.height * cube.width * min(cube.point, cube.atom)
        if size > len(self._regions[index]) + _SCRATCH:
            raise UnsupportedProgram("memory", "cube", cube.start, "a cube larger than the tensor it lies in")
        if writable and not self._regions[index].flags.writeable:
            self._regions[index] = self._regions[index].copy()
        region = self._regions[index]
        if cube.packed and cube.groups > 1:
            raise UnsupportedProgram("memory", "cube", cube.start, "more than one group of packed channels")
        if (offset | cube.surface | cube.line | cube.point) % cube.dtype.itemsize:
            raise UnsupportedProgram("memory", "cube", cube.start, "misaligned")
        within = cube.channels - (cube.groups - 1) * cube.group
        self._check_held(index, cube.end - cube.point + within * cube.dtype.itemsize, cube.dtype)
        flat = region[offset : offset + cube.end - cube.start]
        origin = cube.address - cube.start
        elements = cube.channels if cube.packed else cube.group
        return np.lib.stride_tricks.as_strided(
            flat[origin : origin + elements * cube.dtype.itemsize].view(cube.dtype),
            (cube.groups, cube.height, cube.width, elements),
            (cube.surface, cube.line, cube.point, cube.dtype.itemsize),
            writeable=writable,
        )

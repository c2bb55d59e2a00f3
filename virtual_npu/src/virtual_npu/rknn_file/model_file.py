"""What a ``.rknn`` file of format 6 holds, as frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from virtual_npu.errors import FileFormatError

ITEM_BYTES: Final = {"int8": 1, "float16": 2, "int16": 2, "float32": 4, "int32": 4, "int64": 8}
"""Bytes of one element, by dtype."""

_TABLE_COMMANDS: Final = 1026  # entries of two lookup tables: no other task has as many commands

GRAPH_ENDS: Final = ("InputOperator", "OutputOperator")
"""Types of the nodes that stand for the graph's input and output. On some chips they have tasks, which lay
out data for the host; nothing is computed there."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of the graph.

    Attributes
    ----------
    index : int
        Place in the file's tensor table; nodes name their tensors by it.
    dtype : str
        ``"float16"``, ``"int8"``, ``"int16"``, ``"float32"``, ``"int32"``, ``"int64"``, ``"raw"``, or
        ``"code N"`` for one this reader has no name for.
    layout : str
        ``"NC1HWC2"`` (channels in groups of 16 bytes), ``"weight"`` or ``"plain"``.
    kind : str
        ``"input"``, ``"output"``, ``"internal"``, ``"constant"``, ``"host constant"``,
        ``"lookup table"``, ``"regcmd"``, ``"task"`` or ``"kind N"``.
    native_shape, shape : tuple of int
        As laid out in memory, and as the model's author sees it.
    scale : float or None
    zero_point : int or None
        ``real = (stored - zero_point) * scale``; None where the tensor is not quantized.
    size : int
        Bytes; 0 for constants whose size is their buffer's.
    pool_offset : int
        Where an internal tensor lies in the common pool, bytes.
    buffer : int
        Place in the file's table of buffers, 0 for none.
    """

    index: int
    name: str
    dtype: str
    layout: str
    kind: str
    native_shape: tuple[int, ...]
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int | None
    size: int
    pool_offset: int
    buffer: int


@dataclass(frozen=True, slots=True)
class Node:
    """One layer and where it runs.

    Attributes
    ----------
    placement : str
        ``"NPU"``, ``"CPU"``, or ``"none"`` for the graph's own input and output operators.
    task_counts : tuple of int
        Tasks on one core, on each of two, on each of three; the first leaves out lookup-table uploads.
    """

    index: int
    name: str
    type: str
    placement: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    task_counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Task:
    """One entry of the task table.

    It is the kernel's ``struct rknpu_task`` (Rockchip's public ``rknpu_ioctl.h``).

    Attributes
    ----------
    node : int
        The layer it belongs to (``op_idx``).
    enable_mask : int
        Units that run: bit 0 CNA, 2 CORE, 3 DPU, 4 DPU_RDMA, 5 PPU, 6 PPU_RDMA
        (``GLOBAL.OPERATION_ENABLE`` in Mesa's rocket ``registers.xml``).
    start, count : int
        Its register commands: `count` of them from `start` in `RknnFile.registers`.
    """

    node: int
    enable_mask: int
    interrupt_mask: int
    interrupt_clear: int
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class Relocation:
    """Register command `command` takes the address of `tensor` plus `addend` bytes."""

    tensor: str
    addend: int
    command: int


class _Referable:
    """What weak references need, and slots leave out."""

    __slots__ = ("__weakref__",)


@dataclass(frozen=True, slots=True)
class RknnFile(_Referable):
    """A ``.rknn`` file of format 6.

    Attributes
    ----------
    registers : ndarray of uint64
        The register program: ``target << 48 | value << 16 | register`` a command.
    task_table : tuple of Task
        The program for one core, then those for each of two and each of three.
    internal_memory : int
        Bytes of the pool that internal tensors share.
    generator : str
        The toolkit's own notes (a Python literal), unread.
    metadata : mapping
        The JSON trailer.
    """

    format_version: int
    compiler: str
    target_platform: str
    framework: str
    custom_string: str
    generator: str = field(repr=False)
    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    input_indices: tuple[int, ...]
    output_indices: tuple[int, ...]
    buffers: tuple[npt.NDArray[np.uint8], ...] = field(repr=False)
    registers: npt.NDArray[np.uint64] = field(repr=False)
    task_table: tuple[Task, ...] = field(repr=False)
    relocations: tuple[Relocation, ...] = field(repr=False)
    internal_memory: int
    metadata: Mapping[str, Any] = field(repr=False)

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors the model takes."""
        return tuple(self.tensors[i] for i in self.input_indices)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The tensors the model gives."""
        return tuple(self.tensors[i] for i in self.output_indices)

    def _two_cores(self, counts: list[int]) -> list[int]:
        """Return the lengths of an RK3576's programs: one core, the other, each of both."""
        work = [i for i, task in enumerate(self.task_table) if task.count <= _TABLE_COMMANDS]
        single, _, last, *others = counts
        if any(others) or not 2 * single + last <= len(work) <= 2 * single + counts[1] + last:
            raise FileFormatError("the task table and the layers' task counts do not fit each other")
        # Uploads come before what looks up, so a program ends with the last task that is none.
        ends = [work[n - 1] + 1 if n else 0 for n in (single, 2 * single, len(work) - last)]
        return [end - start for start, end in pairwise([0, *ends, len(self.task_table)])]

    def tasks(self, cores: int = 1) -> tuple[tuple[Task, ...], ...]:
        """Return the tasks of each core when the model runs on `cores` of them.

        Raises
        ------
        ValueError
            `cores` is not 1, 2 or 3.
        FileFormatError
            The layers' task counts and the task table do not fit each other.

        Notes
        -----
        Observation, all files of 2.2.0 to 2.5.0: a node's six counts are one core, each of two, each of
        three; the table holds the programs in that order; only the first count leaves lookup uploads out.
        An RK3576 has two cores; the program for one is there twice, for either of them, and where both look
        up, all counts leave uploads out.
        """
        if cores not in (1, 2, 3):
            raise ValueError(f"an RK3588 has 1 to 3 NPU cores, not {cores}")
        lengths = [sum(node.task_counts[i] for node in self.nodes) for i in range(6)]
        first = {1: 0, 2: 1, 3: 3}[cores]
        if self.target_platform == "rk3576":
            lengths = self._two_cores(lengths) + [0] * 3
            first += cores > 1
        else:
            lengths[0] = len(self.task_table) - sum(lengths[1:])
        if min(lengths) < 0:
            raise FileFormatError("the task table is shorter than the layers' task counts")
        ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
        return tuple(self.task_table[ends[i] - lengths[i] : ends[i]] for i in range(first, first + cores))


def placement(file: RknnFile) -> list[tuple[str, str, str]]:
    """List the compute layers as (name, type, where).

    Where is ``"NPU"`` or ``"CPU"``. The graph's own input and output operators are left out.
    """
    return [(node.name, node.type, node.placement) for node in file.nodes if node.placement != "none"]

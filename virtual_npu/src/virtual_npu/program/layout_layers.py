"""Layers that only move data: Reshape and Transpose.

The MatMul form of a network has them at either end. They are carried out by the graph, wherever the file
places them. For those on the CPU there is no program; those on the NPU are compiled in some ten ways
(copies with notches, the DPU's transposition, convolutions with kernels of ones), none of which computes
anything: the values in and out are the same, in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from virtual_npu.arrays import Array
from virtual_npu.errors import UnsupportedProgram
from virtual_npu.program.memory import Cube, Memory
from virtual_npu.rknn_file.model_file import Node, Tensor

LAYOUT_LAYERS: Final = ("Reshape", "Transpose")


def is_batch(tensor: Tensor) -> bool:
    """Whether several rows lie one after the other, each in points of its own."""
    return not is_plain(tensor) and _axes(tensor)[0] > 1


def is_plain(tensor: Tensor) -> bool:
    """Whether values lie one after the other in logical order, not in atoms of channels."""
    return tensor.layout == "plain" or not 0 < len(tensor.shape) <= 4


def _axes(tensor: Tensor) -> tuple[int, int, int, int]:
    """Return batch, channels, height and width; a shape of fewer axes leaves the last at 1."""
    batch, channels, height, width = (*tensor.shape, 1, 1, 1)[:4]
    return batch, channels, height, width


def rows_of_values(values: Array, tensor: Tensor) -> Array:
    """Return a tensor's values as rows, shape (points, channels); of a plain one, channels are 1."""
    if is_plain(tensor):
        return np.ascontiguousarray(values).reshape(-1, 1)
    batch, channels, _, _ = _axes(tensor)
    return np.ascontiguousarray(values.reshape(batch, channels, -1).transpose(0, 2, 1)).reshape(-1, channels)


def values_of_rows(rows: Array, tensor: Tensor) -> Array:
    """Return rows of a tensor as values of its logical shape."""
    if is_plain(tensor):
        return rows.reshape(tensor.shape)
    batch, channels, _, _ = _axes(tensor)
    return np.ascontiguousarray(rows.reshape(batch, -1, channels).transpose(0, 2, 1)).reshape(tensor.shape)


def rearranged(node: Node, source: Tensor, target: Tensor, rows: Array) -> Array:
    """Carry out the layer: rows of `source` to rows of `target`."""
    values = values_of_rows(rows, source)
    if node.type == "Transpose":
        values = values.transpose(_permutation(source.shape, target.shape))
    return rows_of_values(values.reshape(target.shape), target)


def check_layout(node: Node, source: Tensor, target: Tensor) -> None:
    """Refuse a layer that converts, or transposes otherwise than samples and channels."""
    is_modelled = source.dtype in ("float16", "float32", "int8", "int16")
    if not is_modelled or source.dtype != target.dtype or math.prod(source.shape) != math.prod(target.shape):
        raise UnsupportedProgram(node.placement, node.type, f"{source.dtype} to {target.dtype}")
    if node.type == "Transpose" and _permutation(source.shape, target.shape) is None:
        raise UnsupportedProgram(node.placement, "Transpose", f"{source.shape} to {target.shape}")


def _permutation(source: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the axes of a transposition, or None where more than two are longer than 1.

    Two such axes change places: samples with channels, or the batch with either.
    """
    long, places = ([i for i, size in enumerate(shape) if size > 1] for shape in (source, target))
    if len(source) != len(target) or len(long) > 2:
        return None
    if [source[i] for i in reversed(long)] != [target[i] for i in places]:
        return None
    short = iter(i for i in range(len(source)) if i not in long)
    moved = iter(reversed(long))
    return tuple(next(moved if i in places else short) for i in range(len(target)))


def tensor_cube(tensor: Tensor, memory: Memory, dtype: np.dtype[Any], used: Sequence[Cube]) -> Cube:
    """Return where a tensor lies, with the strides of the tasks that use it."""
    address = memory.address(tensor.name)
    if is_plain(tensor):
        count, size = math.prod(tensor.shape), dtype.itemsize
        return Cube(address, count, 1, 1, count * size, 0, dtype, size)
    batch, channels, height, width = _axes(tensor)
    points = height * width
    groups = -(-channels // (memory.chip.atoms[dtype.itemsize] // dtype.itemsize))
    if 0 in tensor.shape or (is_batch(tensor) and points > 1 and groups > 1):
        raise UnsupportedProgram("CPU", "batch", batch, f"tensor '{tensor.name}' of shape {tensor.shape}")
    if is_batch(tensor):
        image = next((c for c in used if c.address == address and c.packed), None)
        if image is not None:
            return replace(image, height=batch * height, channels=channels)
        if points > 1:  # the points of one row follow those of the row before
            lines = batch * height
            return Cube.of_atoms(
                memory.chip, address, (width, lines, channels), (width, lines * width), dtype
            )
        # Observation (Gemm of several rows): each row's channels lie together, as one point of its own.
        return Cube.of_atoms(memory.chip, address, (1, batch, channels), (groups, 1), dtype)
    cube = Cube.of_atoms(memory.chip, address, (width, height, channels), (width, points), dtype)
    near = next((c for c in used if c.address == address and c.dtype == dtype and not c.packed), None)
    if near is None:
        return cube
    if near.width * near.height == points and near.line == near.width * near.atom:
        return replace(near, channels=channels)
    if near.groups < cube.groups or near.surface < cube.surface:
        return cube  # an elementwise task that takes the tensor's memory as a cube of its own
    return replace(cube, surface=near.surface)

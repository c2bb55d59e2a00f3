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

__all__ = ["LAYOUT_LAYERS", "check_layout", "is_batch", "rearranged", "tensor_cube"]

LAYOUT_LAYERS: Final = ("Reshape", "Transpose")


def is_batch(tensor: Tensor) -> bool:
    """Whether several rows lie one after the other, each a point of its own."""
    return len(tensor.shape) == 4 and tensor.shape[0] > 1


def rearranged(node: Node, source: Tensor, target: Tensor, rows: Array) -> Array:
    """Carry out the layer: rows of `source` to rows of `target`."""
    by_row = _is_plain(source) or is_batch(source)
    values = (rows if by_row else rows.T).reshape(source.shape)
    if node.type == "Transpose":
        values = values.transpose(_permutation(source.shape, target.shape))
    values = values.reshape(target.shape)
    if _is_plain(target):
        return np.ascontiguousarray(values).reshape(-1, 1)
    if is_batch(target):
        return np.ascontiguousarray(values.reshape(len(values), -1))
    return np.ascontiguousarray(values.reshape(target.shape[1], -1).T)


def check_layout(node: Node, source: Tensor, target: Tensor) -> None:
    """Refuse a layer that converts, or transposes otherwise than samples and channels."""
    is_modelled = source.dtype in ("float16", "float32", "int8", "int16")
    if not is_modelled or source.dtype != target.dtype or math.prod(source.shape) != math.prod(target.shape):
        raise UnsupportedProgram(node.placement, node.type, f"{source.dtype} to {target.dtype}")
    if node.type == "Transpose" and _permutation(source.shape, target.shape) is None:
        raise UnsupportedProgram(node.placement, "Transpose", f"{source.shape} to {target.shape}")


def _permutation(source: tuple[int, ...], target: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return how samples change places with channels, or with the batch."""
    for axes, single in (((0, 3, 2, 1), (0, 2)), ((3, 1, 2, 0), (2,))):
        if len(source) == 4 and tuple(source[i] for i in axes) == target:
            return axes if all(source[i] == 1 for i in single) and 1 in (source[0], source[3]) else None
    return None


def _is_plain(tensor: Tensor) -> bool:
    return len(tensor.shape) != 4 or tensor.layout == "plain"


def tensor_cube(tensor: Tensor, memory: Memory, dtype: np.dtype[Any], used: Sequence[Cube]) -> Cube:
    """Return where a tensor lies, with the strides of the tasks that use it."""
    address = memory.address(tensor.name)
    if _is_plain(tensor):
        count, size = math.prod(tensor.shape), dtype.itemsize
        return Cube(address, count, 1, 1, count * size, 0, dtype, size)
    batch, channels, height, width = tensor.shape
    points = height * width
    if 0 in tensor.shape or (is_batch(tensor) and points > 1):
        raise UnsupportedProgram("CPU", "batch", batch, f"tensor '{tensor.name}' of shape {tensor.shape}")
    if is_batch(tensor):
        # Observation (Gemm of several rows): each row's channels lie together, as one point of its own.
        groups = -(-channels // (memory.chip.atoms[dtype.itemsize] // dtype.itemsize))
        return Cube.of_atoms(memory.chip, address, (1, batch, channels), (groups, 1), dtype)
    cube = Cube.of_atoms(memory.chip, address, (width, height, channels), (width, points), dtype)
    near = next((c for c in used if c.address == address and c.dtype == dtype and not c.packed), None)
    if near is None:
        return cube
    if near.width * near.height == points and near.line == near.width * near.atom:
        return replace(near, channels=channels)
    return replace(cube, surface=near.surface)

"""Layers that only move data: Reshape and Transpose, which the MatMul form of a network has at either end.

They are carried out by the graph, wherever the file places them. For those on the CPU there is no program;
those on the NPU are compiled in some ten ways (copies with notches, the DPU's transposition, convolutions
with kernels of ones), none of which computes anything: the values in and out are the same, in another order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .errors import UnsupportedProgram
from .memory import Cube, Memory
from .model_file import Node, Tensor

__all__ = ["LAYOUT_LAYERS", "check_layout", "rearranged", "tensor_cube"]

_Array = npt.NDArray[Any]
LAYOUT_LAYERS: Final = ("Reshape", "Transpose")


def rearranged(node: Node, source: Tensor, target: Tensor, rows: _Array) -> _Array:
    """Carry out the layer: rows of `source` to rows of `target`."""
    values = (rows if _is_plain(source) else rows.T).reshape(source.shape)
    if node.type == "Transpose":
        values = values.transpose(0, 3, 2, 1)
    values = values.reshape(target.shape)
    if _is_plain(target):
        return np.ascontiguousarray(values).reshape(-1, 1)
    return np.ascontiguousarray(values.reshape(target.shape[1], -1).T)


def check_layout(node: Node, source: Tensor, target: Tensor) -> None:
    """Make sure that the layer is one that is carried out here.

    Raises
    ------
    UnsupportedProgram
        It converts between types, or transposes otherwise than samples and channels.
    """
    known = source.dtype in ("float16", "float32", "int8", "int16")
    if not known or source.dtype != target.dtype or math.prod(source.shape) != math.prod(target.shape):
        raise UnsupportedProgram(node.placement, node.type, f"{source.dtype} to {target.dtype}")
    swapped = len(source.shape) == 4 and tuple(source.shape[i] for i in (0, 3, 2, 1)) == target.shape
    if node.type == "Transpose" and not (swapped and source.shape[0] == source.shape[2] == 1):
        raise UnsupportedProgram(node.placement, "Transpose", f"{source.shape} to {target.shape}")


def _is_plain(tensor: Tensor) -> bool:
    return len(tensor.shape) != 4 or tensor.layout == "plain"


def tensor_cube(tensor: Tensor, memory: Memory, dtype: np.dtype[Any], used: Sequence[Cube]) -> Cube:
    """Return where a tensor lies, its surfaces as far apart as the tasks have it that use it."""
    address = memory.address(tensor.name)
    if _is_plain(tensor):
        count, size = math.prod(tensor.shape), dtype.itemsize
        return Cube(address, count, 1, 1, count * size, 0, dtype, size)
    batch, channels, height, width = tensor.shape
    if batch != 1 or 0 in tensor.shape:
        raise UnsupportedProgram("CPU", "batch", batch, f"tensor '{tensor.name}' of shape {tensor.shape}")
    points = height * width
    cube = Cube.of_atoms(memory.chip, address, (width, height, channels), width, points, dtype)
    near = next((c for c in used if c.address == address and c.dtype == dtype and not c.packed), None)
    if near is None:
        return cube
    if near.width * near.height == points and near.line == near.width * near.atom:
        return replace(near, channels=channels)
    return replace(cube, surface=near.surface)

"""No cube or constant reaches outside its tensor, and no write goes unnoticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.virtual_npu.rknn_writer import small
from virtual_npu import FileFormatError, UnsupportedProgram, read
from virtual_npu.program.memory import Cube, Memory

FILE = read(small())
FLOAT16 = np.dtype(np.float16)
SIZE = FILE.inputs[0].size


def input_cube(memory: Memory, **changes: Any) -> Cube:
    """Return a cube of all atoms of the input, along one line."""
    width = SIZE // 16
    return replace(Cube(memory.address("x"), width, 1, 8, SIZE, SIZE, FLOAT16), **changes)


@pytest.mark.parametrize(
    "change",
    [
        {"width": SIZE // 16 + 1},
        {"height": 2},
        {"channels": 9},
        {"height": 2, "line": -16},  # starts before the tensor
        {"height": 5000, "line": 0},  # takes the same bytes again and again
        {"width": 2, "line": 15, "height": 2},
        {"width": 1, "channels": 9, "surface": 16, "point": 2},
    ],
)
def test_a_cube_lies_within_its_tensor(change: dict[str, Any]) -> None:
    memory = Memory(FILE)
    assert memory.view(input_cube(memory)).shape == (1, 1, SIZE // 16, 8)
    with pytest.raises(UnsupportedProgram):
        memory.view(input_cube(memory, **change))


def test_packed_points_may_end_with_the_tensor() -> None:
    memory = Memory(FILE)
    packed = input_cube(memory, width=SIZE // 2, channels=1, point=2)
    assert memory.view(packed).shape == (1, 1, SIZE // 2, 1)


def test_a_constant_is_read_within_its_tensor_and_in_its_type() -> None:
    memory = Memory(FILE)
    (weights,) = (tensor for tensor in FILE.tensors if tensor.name == "w0")
    start, size = memory.address("w0"), len(FILE.buffers[weights.buffer])
    assert weights.dtype == "float16"
    assert memory.constant(start, size, FLOAT16).size == size // 2
    assert memory.constant(start, size + 16, np.uint8).size == size + 16  # units read full groups
    for read_size, dtype in (
        (size + 2, FLOAT16),
        (size, np.dtype(np.int16)),
        (size + 1024, np.dtype(np.uint8)),
    ):
        with pytest.raises(UnsupportedProgram):
            memory.constant(start, read_size, dtype)


def test_a_write_over_a_constant_is_refused() -> None:
    memory = Memory(FILE)
    start = memory.address("w0")
    memory.constant(start, 16, FLOAT16)
    memory.check_constants(np.array([start - 16, start + 16]), np.array([start, start + 32]))
    for first in (start - 15, start + 15):
        with pytest.raises(UnsupportedProgram, match="writes over it"):
            memory.check_constants(np.array([first]), np.array([first + 16]))


def test_memory_is_bounded() -> None:
    with pytest.raises(FileFormatError):
        Memory(replace(FILE, internal_memory=1 << 29))


def test_the_same_place_is_that_of_every_point() -> None:
    cube = Cube(0, 4, 3, 16, 64, 192, FLOAT16)
    one_line, one_group = replace(cube, height=1), replace(cube, channels=8)
    for change in (
        {"address": 16},
        {"width": 3},
        {"line": 80},
        {"surface": 208},
        {"dtype": np.dtype(np.int16)},
    ):
        assert not cube.same_place(replace(cube, **change))
    assert one_line.same_place(replace(one_line, line=80))
    assert one_group.same_place(replace(one_group, surface=208))
    assert not cube.same_place(replace(cube, point=32))

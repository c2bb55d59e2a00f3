"""Rows in NC1HWC2, against the virtual NPU's own conversion and a loop over single values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scirknn.devices.native.declarations import AFFINE, FIXED_POINT, NC1HWC2, NHWC, TensorAttribute
from scirknn.devices.native.row_layouts import NativeAnswers, NativeRows, unexpected_layout
from virtual_npu.execute.quantization import dequantize, quantize

CODES = {"float16": 1, "int8": 2, "int16": 4}


def attribute(
    dtype: str, rows: int, columns: int, scale: float = 0.03, zero_point: int = 0
) -> TensorAttribute:
    lane = 16 // np.dtype(dtype).itemsize
    planes = -(-columns // lane)
    found = TensorAttribute(fmt=NC1HWC2, type=CODES[dtype], n_dims=5, size_with_stride=16 * planes * rows)
    found.dims[:5] = (1, planes, rows, 1, lane)
    if dtype != "float16":
        found.qnt_type, found.scale, found.zp = AFFINE, scale, zero_point
    return found


def tensor(dtype: str, scale: float, zero_point: int) -> Any:
    return SimpleNamespace(dtype=dtype, scale=np.float32(scale), zero_point=zero_point)


def planes_of(stored: Any, columns: int) -> Any:
    """Lay rows out, one value at a time."""
    lane = 16 // stored.itemsize
    planes = np.zeros((-(-columns // lane), len(stored), lane), stored.dtype)
    for row, values in enumerate(stored):
        for column, value in enumerate(values):
            planes[column // lane, row, column % lane] = value
    return planes


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("dtype", CODES)
@settings(max_examples=30)
@given(
    values=st.lists(FLOATS, min_size=26, max_size=26),
    rows=st.sampled_from([1, 2, 13]),
    scale=st.floats(2.0**-20, 2.0**10, width=32),
    zero_point=st.integers(-128, 127),
)
def test_inputs_are_laid_out_as_the_library_would(
    dtype: str, values: list[float], rows: int, scale: float, zero_point: int
) -> None:
    given_rows = np.array(values, np.float32).reshape(-1, 26 // rows if rows != 1 else 26)[:rows]
    columns = given_rows.shape[1]
    described = attribute(dtype, rows, columns, scale, zero_point)
    memory = np.zeros(described.size_with_stride, np.uint8)
    NativeRows(described, rows, columns).write(given_rows, memory)
    if dtype == "float16":
        with np.errstate(over="ignore"):
            stored = given_rows.astype(np.float16)
    else:
        stored = quantize(given_rows, tensor(dtype, scale, zero_point))
    assert memory.tobytes() == planes_of(stored, columns).tobytes()


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("rows", [1, 5])
def test_outputs_are_read_as_the_library_would(dtype: str, rows: int) -> None:
    rng = np.random.default_rng(rows)
    stored = (rng.normal(size=(rows, 10)) * 50).astype(dtype)
    described = attribute(dtype, rows, 10, 0.25, -7)
    memory = planes_of(stored, 10).view(np.uint8).ravel()
    answer = NativeAnswers(described, rows, 10).read(memory)
    np.testing.assert_array_equal(answer, dequantize(stored, tensor(dtype, 0.25, -7)))
    assert answer.flags.owndata


def test_a_fixed_point_number_is_scaled_by_its_power_of_two() -> None:
    described = attribute("int16", 1, 8)
    described.qnt_type, described.fl, described.scale = FIXED_POINT, 7, 0.0
    memory = np.zeros(16, np.uint8)
    given_row = np.array([[1.0, -0.5, 300.0, -300.0, 0, 0, 0, 2.0**-8]], np.float32)
    NativeRows(described, 1, 8).write(given_row, memory)
    assert memory.view(np.int16).tolist() == [128, -64, 32767, -32768, 0, 0, 0, 0]
    assert NativeAnswers(described, 1, 8).read(memory)[0, :2].tolist() == [1.0, -0.5]


def test_an_expected_layout_has_no_difference() -> None:
    for dtype in CODES:
        assert unexpected_layout(attribute(dtype, 64, 24), 64, 24) == ""


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"fmt": NHWC}, "format 1"),
        ({"n_dims": 4}, "shape (1, 3, 64, 1)"),
        ({"type": 7}, "type 7"),
        ({"size_with_stride": 4096}, "4096 bytes"),
        ({"qnt_type": AFFINE}, "quantization 2 of float16"),
    ],
)
def test_any_other_native_layout_is_named(change: dict[str, int], text: str) -> None:
    described = attribute("float16", 64, 24)
    for name, value in change.items():
        setattr(described, name, value)
    assert text in unexpected_layout(described, 64, 24)


@pytest.mark.parametrize(("rows", "columns"), [(63, 24), (64, 25)])
def test_other_rows_or_columns_are_named(rows: int, columns: int) -> None:
    assert f"for {rows} rows of {columns}" in unexpected_layout(attribute("float16", 64, 24), rows, columns)

"""Memory of librknnrt.so that is bound to inputs and outputs."""

from __future__ import annotations

import ctypes as c
from typing import Any

import numpy as np
import pytest

from scirknn.devices.native.declarations import Memory, Output
from tests.virtual_npu.c_api import librknnrt
from tests.virtual_npu.c_api.librknnrt import (
    Array,
    Context,
)
from tests.virtual_npu.c_api.models import (
    MODELS,
    NHWC_ROWS,
    PARAM,
    ROWS,
    executor_answer,
)

pytestmark = pytest.mark.skipif(bool(librknnrt.missing()), reason=librknnrt.missing())


def _bound(context: Context, command: int, dtype: str, **fields: int) -> tuple[Any, Array]:
    attr = context.attr(command)
    attr.type = librknnrt.TYPES[dtype]
    for name, value in fields.items():
        setattr(attr, name, value)
    mem = context.library.rknn_create_mem(context.id, attr.n_elems * np.dtype(dtype).itemsize)
    assert context.library.rknn_set_io_mem(context.id, mem, c.byref(attr)) == 0
    memory = (c.c_char * mem.contents.size).from_address(mem.contents.virt_addr)
    return mem, np.frombuffer(memory, dtype)


def _native(rows: Array) -> Array:
    """24 channels as NC1HWC2 has them."""
    planes: Array = rows.astype(np.float16).reshape(5, 3, 8).transpose(1, 0, 2).ravel()
    return planes


@pytest.mark.parametrize("dtype", MODELS)
def test_bound_memory_is_read_and_written(library: Any, dtype: str) -> None:
    context = Context(library, MODELS[dtype])
    given_mem, given_values = _bound(context, 1, "float32")
    got_mem, got_values = _bound(context, 2, "float32")
    for factor in (1, 3):
        given_values[:] = ROWS.ravel() * factor
        assert library.rknn_mem_sync(context.id, given_mem, 1) == 0
        assert context.run() == 0
        assert library.rknn_mem_sync(context.id, got_mem, 2) == 0
        np.testing.assert_array_equal(got_values, executor_answer(dtype, ROWS * factor))
    context.close()


def test_native_layout_passes_through(library: Any) -> None:
    context = Context(library, MODELS["float16"])
    _, given_values = _bound(context, 8, "float16", pass_through=1)
    _, got_values = _bound(context, 9, "float16")
    given_values[:] = _native(ROWS)
    assert context.run() == 0
    rows = got_values.reshape(2, 5, 8).transpose(1, 0, 2).reshape(5, 16)[:, :10]
    np.testing.assert_array_equal(rows.T.ravel(), executor_answer("float16"))
    context.close()


def test_without_pass_through_an_input_of_native_layout_is_nhwc(library: Any) -> None:
    context = Context(library, MODELS["float16"])
    _, given_values = _bound(context, 8, "float16")
    _, got_values = _bound(context, 2, "float32")
    given_values[:] = ROWS.astype(np.float16).ravel()
    assert context.run() == 0
    np.testing.assert_array_equal(got_values, executor_answer("float16"))
    given_values[:] = _native(ROWS)
    assert context.run() == 0
    assert not np.array_equal(got_values, executor_answer("float16"))
    context.close()


def test_outputs_come_in_nhwc_too(library: Any) -> None:
    context = Context(library, MODELS["int8"])
    _, given_values = _bound(context, 10, "float32")
    _, got_values = _bound(context, 11, "float32")
    given_values[:] = ROWS.ravel()
    assert context.run() == 0
    np.testing.assert_array_equal(got_values.reshape(5, 10).T.ravel(), executor_answer("int8"))
    context.close()


@pytest.mark.parametrize("command", [8, 9])
def test_float32_has_no_native_layout(context: Context, command: int) -> None:
    attr = context.attr(command)
    attr.type = librknnrt.TYPES["float32"]
    mem = context.library.rknn_create_mem(context.id, attr.n_elems * 4)
    assert context.library.rknn_set_io_mem(context.id, mem, c.byref(attr)) == PARAM


def test_general_and_bound_calls_exclude_each_other(library: Any) -> None:
    bound, general = Context(library, MODELS["float16"]), Context(library, MODELS["float16"])
    _bound(bound, 1, "float32")
    assert bound.set_input(NHWC_ROWS) == PARAM
    assert bound.run() == 0
    got = Output(want_float=1)
    assert library.rknn_outputs_get(bound.id, 1, c.byref(got), None) == PARAM
    general.infer(NHWC_ROWS)
    attr = general.attr(1)
    mem = library.rknn_create_mem(general.id, attr.size)
    assert library.rknn_set_io_mem(general.id, mem, c.byref(attr)) == PARAM
    np.testing.assert_array_equal(general.infer(NHWC_ROWS), executor_answer("float16"))
    assert bound.close() == general.close() == 0


@pytest.mark.parametrize(("strict", "flags"), [("1", 0), ("", 0xC000)], ids=["strict mode", "flags"])
def test_memory_is_stale_until_it_is_synchronized(
    library: Any, monkeypatch: pytest.MonkeyPatch, strict: str, flags: int
) -> None:
    monkeypatch.setenv("VIRTUAL_NPU_STRICT_SYNC", strict)
    context = Context(library, MODELS["float16"], flags)
    given_mem, given_values = _bound(context, 1, "float32")
    got_mem, got_values = _bound(context, 2, "float32")
    given_values[:] = ROWS.ravel()
    assert context.run() == 0
    assert np.isnan(got_values).all()
    assert library.rknn_mem_sync(context.id, got_mem, 2) == 0
    assert not np.array_equal(got_values, executor_answer("float16"))  # of an input never written
    assert library.rknn_mem_sync(context.id, given_mem, 1) == 0
    given_values[:] = 7  # the NPU has what was there before
    for mode in (2, 3):
        assert context.run() == 0
        assert np.isnan(got_values).all()
        assert library.rknn_mem_sync(context.id, got_mem, mode) == 0
        np.testing.assert_array_equal(got_values, executor_answer("float16"))
    context.close()


def test_memory_is_given_back_once_and_unbound(context: Context) -> None:
    mem, values = _bound(context, 1, "float32")
    _, got_values = _bound(context, 2, "float32")
    values[:] = ROWS.ravel()
    assert context.run() == 0
    stranger = Memory()
    assert context.library.rknn_destroy_mem(context.id, c.byref(stranger)) == PARAM
    assert context.library.rknn_destroy_mem(context.id, mem) == 0
    assert context.library.rknn_destroy_mem(context.id, mem) == PARAM
    assert context.library.rknn_mem_sync(context.id, mem, 1) == PARAM
    got_values[:] = 0
    assert context.run() == 0  # with the input as it was last given
    np.testing.assert_array_equal(got_values, executor_answer("float16"))


def test_memory_that_does_not_fit_is_refused(context: Context) -> None:
    library, attr = context.library, context.attr(1)
    attr.type = librknnrt.TYPES["float32"]
    small = library.rknn_create_mem(context.id, 479)
    assert library.rknn_set_io_mem(context.id, small, c.byref(attr)) == PARAM
    fitting = library.rknn_create_mem2(context.id, 480, 0)
    assert library.rknn_set_io_mem(context.id, fitting, None) == PARAM
    attr.name = b"z"
    assert library.rknn_set_io_mem(context.id, fitting, c.byref(attr)) == PARAM
    assert not library.rknn_create_mem(context.id, 0)
    assert not library.rknn_create_mem2(context.id, 2**40, 0)
    assert library.rknn_mem_sync(context.id, fitting, 4) == PARAM
    assert library.rknn_set_internal_mem(context.id, None) == PARAM
    own = np.zeros(130, np.float32)
    mem = library.rknn_create_mem_from_fd(context.id, 3, own.ctypes.data, 520, 44)
    attr.name = b"x"
    assert library.rknn_set_io_mem(context.id, mem, c.byref(attr)) == PARAM
    mem = library.rknn_create_mem_from_fd(context.id, 3, own.ctypes.data, 520, 40)
    assert library.rknn_set_io_mem(context.id, mem, c.byref(attr)) == 0
    own[10:] = ROWS.ravel()
    _, got_values = _bound(context, 2, "float32")
    assert context.run() == 0
    np.testing.assert_array_equal(got_values, executor_answer("float16"))
    assert not library.rknn_create_mem_from_fd(context.id, 3, own.ctypes.data, 520, 521)

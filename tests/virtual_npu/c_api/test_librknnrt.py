"""Our librknnrt.so against the executor, called as any program would call it."""

from __future__ import annotations

import ctypes as c
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scirknn.devices.native.declarations import NC1HWC2, NCHW, NHWC, UNDEFINED, Input, Output
from tests.virtual_npu.c_api import librknnrt
from tests.virtual_npu.c_api.librknnrt import Context, InitExtend
from tests.virtual_npu.c_api.models import (
    CTX,
    FAIL,
    INPUT,
    MODEL,
    MODELS,
    NHWC_ROWS,
    OUTPUT,
    PARAM,
    PLATFORM,
    ROWS,
    UNAVAILABLE,
    executor_answer,
)
from tests.virtual_npu.reference import as_input
from virtual_npu import VirtualNpu, read

pytestmark = pytest.mark.skipif(bool(librknnrt.missing()), reason=librknnrt.missing())


# --- what comes out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", MODELS)
def test_real_numbers_give_the_executor_s_bits(library: Any, dtype: str) -> None:
    context = Context(library, MODELS[dtype])
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), executor_answer(dtype))
    assert context.close() == 0


@pytest.mark.parametrize("dtype", MODELS)
def test_stored_values_pass_as_they_are(library: Any, dtype: str) -> None:
    context = Context(library, MODELS[dtype])
    stored = (ROWS * 20).astype(dtype)
    expected = VirtualNpu(read(MODELS[dtype])).run_native(as_input(stored)).ravel()
    np.testing.assert_array_equal(context.infer(stored[None, :, None, :], dtype), expected)
    passed = context.infer(stored[None, :, None, :], dtype, pass_through=True, type=99)
    np.testing.assert_array_equal(passed, expected)
    context.close()


@pytest.mark.parametrize(
    ("dtype", "given_type"),
    [(d, g) for d in MODELS for g in librknnrt.TYPES if g not in (d, "float32")],
)
def test_every_other_type_is_taken_for_real_numbers(library: Any, dtype: str, given_type: str) -> None:
    context = Context(library, MODELS[dtype])
    rows = np.abs(ROWS * 3).astype(given_type)
    expected = executor_answer(dtype, rows.astype(np.float32))
    np.testing.assert_array_equal(context.infer(rows[None, :, None, :]), expected)
    context.close()


def test_layouts_are_the_same_numbers_in_another_order(context: Context) -> None:
    expected = executor_answer("float16")
    np.testing.assert_array_equal(context.infer(as_input(ROWS), fmt=NCHW), expected)
    np.testing.assert_array_equal(context.infer(NHWC_ROWS, fmt=UNDEFINED), expected)
    stored = ROWS.astype(np.float16)
    native = stored.reshape(5, 3, 8).transpose(1, 0, 2)  # 24 channels in groups of 8
    np.testing.assert_array_equal(context.infer(native, fmt=NC1HWC2, pass_through=True), expected)
    np.testing.assert_array_equal(context.infer(stored, fmt=NC1HWC2), expected)  # NHWC, to be converted


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(width=32), min_size=120, max_size=120))
def test_any_float_gives_the_executor_s_bits(library: Any, values: list[float]) -> None:
    rows = np.array(values, np.float32).reshape(5, 24)
    for dtype in MODELS:
        context = Context(library, MODELS[dtype])
        np.testing.assert_array_equal(context.infer(rows[None, :, None, :]), executor_answer(dtype, rows))
        context.close()


@pytest.mark.parametrize("mask", [0, 1, 2, 4, 3, 7, 0xFFFF])
def test_every_core_mask_gives_the_same_bits(context: Context, mask: int) -> None:
    assert context.library.rknn_set_core_mask(context.id, mask) == 0
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), executor_answer("float16"))


def test_a_duplicate_outlives_the_original(library: Any) -> None:
    first, second = Context(library, MODELS["float16"]), Context(library)
    assert library.rknn_dup_context(c.byref(first.id), c.byref(second.id)) == 0
    assert first.close() == 0
    np.testing.assert_array_equal(second.infer(NHWC_ROWS), executor_answer("float16"))
    third = Context(library)
    assert library.rknn_dup_context(c.byref(second.id), c.byref(third.id)) == 0
    assert second.close() == third.close() == 0
    assert library.rknn_dup_context(c.byref(second.id), c.byref(third.id)) == CTX


# --- what is reported ------------------------------------------------------------------------------------


def test_queries_tell_of_the_file(library: Any) -> None:
    context = Context(library, MODELS["int8"])
    assert context.query(0, 8) == (0, struct.pack("<II", 1, 1))
    x, y = context.attr(1), context.attr(2)
    assert (x.name, list(x.dims[: x.n_dims]), x.fmt, x.type, x.qnt_type) == (b"x", [1, 5, 1, 24], NHWC, 2, 2)
    assert (y.name, list(y.dims[: y.n_dims]), y.fmt, y.size) == (b"y", [1, 10, 5, 1], NCHW, 50)
    assert x.scale == pytest.approx(0.03)
    native = context.attr(8)
    assert (list(native.dims[: native.n_dims]), native.fmt) == ([1, 2, 5, 1, 16], NC1HWC2)
    assert native.size_with_stride == 160
    nhwc = context.attr(10), context.attr(11)
    assert [list(each.dims[: each.n_dims]) for each in nhwc] == [[1, 5, 1, 24], [1, 5, 1, 10]]
    assert [(each.fmt, each.type, each.size) for each in nhwc] == [(NHWC, 2, 120), (NHWC, 2, 50)]
    code, versions = context.query(5, 512)
    assert code == 0
    assert versions.startswith(b"2.5.0 (virtual NPU)\0")
    assert context.query(7, 1024)[0] == 0
    assert context.infer(NHWC_ROWS).size == 50
    code, duration = context.query(4, 8)
    assert code == 0
    assert int.from_bytes(duration, "little") > 0
    context.close()


def test_tools_find_the_version_in_the_file(library: Any) -> None:
    assert b"librknnrt version: 2.5.0" in Path(library._name).read_bytes()


@pytest.mark.parametrize(
    ("command", "size"),
    [(1, 375), (0, 7), (5, 511), (4, 7), (6, 64), (7, 1023), (3, 16), (13, 9000), (99, 64), (-1, 64)],
)
def test_queries_that_cannot_be_answered(context: Context, command: int, size: int) -> None:
    assert context.query(command, size)[0] == PARAM
    assert context.library.rknn_query(context.id, command, None, size) == PARAM


def test_no_tensor_beyond_the_last_one(context: Context) -> None:
    assert context.query(1, 376, struct.pack("<I", 1))[0] == PARAM
    assert context.query(2, 376, struct.pack("<I", 2**32 - 1))[0] == PARAM


# --- what goes wrong ---------------------------------------------------------------------------------------

OLD_FORMAT = MODELS["float16"][:8] + struct.pack("<Q", 2) + MODELS["float16"][16:]
FOREIGN = MODELS["float16"].replace(b"rk3588", b"rk3566")


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (b"\0", MODEL),
        (b"not a model" * 9, MODEL),
        (MODELS["float16"][:-1], MODEL),
        (OLD_FORMAT, MODEL),
        (FOREIGN, PLATFORM),
    ],
    ids=["a byte", "junk", "truncated", "format 2", "for an rk3566"],
)
def test_a_wrong_model_is_refused_by_code(library: Any, model: bytes, code: int) -> None:
    context = Context(library, model)
    assert (context.code, context.id.value) == (code, 0)
    assert context.run() == CTX


def test_a_model_comes_from_a_file_too(library: Any, tmp_path: Path) -> None:
    path = tmp_path / "m.rknn"
    path.write_bytes(b"head" + MODELS["float16"])
    context = Context(library)
    extend = InitExtend(real_model_offset=4, real_model_size=len(MODELS["float16"]))
    assert library.rknn_init(c.byref(context.id), str(path).encode(), 0, 0, c.byref(extend)) == 0
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), executor_answer("float16"))
    context.close()
    extend.real_model_offset = 5
    assert library.rknn_init(c.byref(context.id), str(path).encode(), 0, 0, c.byref(extend)) == PARAM
    assert library.rknn_init(c.byref(context.id), b"/no/such/file", 0, 0, None) == MODEL
    assert library.rknn_init(c.byref(context.id), None, 4, 0, None) == PARAM
    assert library.rknn_init(None, b"x", 1, 0, None) == PARAM


def test_flags_that_no_runtime_has_are_refused(library: Any) -> None:
    for flags in (1 << 18, 1 << 31, 0x20):  # the last shares weights, and names no context
        assert Context(library, MODELS["float16"], flags).code == PARAM


def test_a_context_for_queries_alone_is_not_run(library: Any) -> None:
    context = Context(library, MODELS["float16"], 0x100)
    assert context.query(6, 64)[0] == 0
    assert context.query(6, 63)[0] == PARAM
    assert context.set_input(NHWC_ROWS) == 0
    assert context.run() == FAIL
    context.close()


def test_memory_that_the_caller_promised_is_needed(library: Any) -> None:
    context = Context(library, MODELS["float16"], 0x10)
    code, sizes = context.query(6, 64)
    assert code == 0
    weights, internal = struct.unpack_from("<II", sizes)
    assert context.set_input(NHWC_ROWS) == 0
    assert context.run() == FAIL
    for setter, size in ((library.rknn_set_weight_mem, weights), (library.rknn_set_internal_mem, internal)):
        assert context.run() == FAIL
        assert setter(context.id, library.rknn_create_mem(context.id, max(size, 1))) == 0
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), executor_answer("float16"))
    context.close()


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ({"size": 479}, INPUT),
        ({"size": 4}, INPUT),
        ({"size": 0}, INPUT),
        ({"index": 1}, INPUT),
        ({"type": 10}, INPUT),
        ({"type": -1}, INPUT),
        ({"type": librknnrt.TYPES["float16"]}, INPUT),
        ({"fmt": 4}, INPUT),
        ({"fmt": -1}, INPUT),
        ({"pass_through": True}, INPUT),
        ({"fmt": NC1HWC2}, INPUT),  # float32 has no such layout
    ],
)  # fmt: skip
def test_a_wrong_input_is_refused_and_the_context_lives_on(context: Context, how: Any, code: int) -> None:
    assert context.set_input(NHWC_ROWS, **how) == code
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), executor_answer("float16"))


def test_an_input_too_large_for_any_tensor_is_refused(context: Context) -> None:
    assert context.set_input(np.zeros(1 << 20, np.float32)) == INPUT
    assert context.library.rknn_inputs_set(context.id, 1, None) == PARAM
    assert context.library.rknn_inputs_set(context.id, 0, c.byref(Input())) == PARAM
    assert context.library.rknn_inputs_set(context.id, 2, c.byref(Input())) == INPUT
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), executor_answer("float16"))


def test_calls_out_of_order_get_codes(context: Context) -> None:
    got = Output(want_float=1)
    assert context.run() == INPUT
    assert context.library.rknn_outputs_get(context.id, 1, c.byref(got), None) == OUTPUT
    context.infer(NHWC_ROWS)
    assert context.library.rknn_outputs_get(context.id, 2, c.byref(got), None) == OUTPUT
    assert context.library.rknn_outputs_get(context.id, 1, None, None) == PARAM
    assert context.library.rknn_set_core_mask(context.id, 8) == PARAM
    assert context.library.rknn_set_core_mask(context.id, -1) == PARAM
    assert context.library.rknn_set_batch_core_num(context.id, 4) == PARAM
    assert context.library.rknn_wait(context.id, None) == 0


def test_outputs_go_into_memory_of_the_caller_s(context: Context) -> None:
    context.infer(NHWC_ROWS)
    own = np.full(51, 9.0, np.float32)
    got = Output(want_float=1, is_prealloc=1, buf=own.ctypes.data, size=200)
    assert context.library.rknn_outputs_get(context.id, 1, c.byref(got), None) == 0
    np.testing.assert_array_equal(own[:50], executor_answer("float16"))
    assert own[50] == 9
    assert context.library.rknn_outputs_release(context.id, 1, c.byref(got)) == 0
    got.size = 199
    assert context.library.rknn_outputs_get(context.id, 1, c.byref(got), None) == OUTPUT


def test_outputs_are_released_once(context: Context) -> None:
    context.infer(NHWC_ROWS)
    got = Output(want_float=1)
    assert context.library.rknn_outputs_get(context.id, 1, c.byref(got), None) == 0
    stale = Output(buf=got.buf)
    assert context.library.rknn_outputs_release(context.id, 1, c.byref(got)) == 0
    assert context.library.rknn_outputs_release(context.id, 1, c.byref(got)) == OUTPUT
    assert context.library.rknn_outputs_release(context.id, 1, c.byref(stale)) == OUTPUT
    assert context.library.rknn_outputs_release(context.id, 1, None) == PARAM


def test_a_destroyed_context_answers_every_call_with_a_code(library: Any) -> None:
    context = Context(library, MODELS["float16"])
    mem = library.rknn_create_mem(context.id, 64)
    attr = context.attr(1)
    assert context.close() == 0
    assert context.close() == CTX
    assert context.set_input(NHWC_ROWS) == context.run() == context.query(0, 8)[0] == CTX
    assert library.rknn_wait(context.id, None) == CTX
    assert library.rknn_outputs_get(context.id, 1, c.byref(Output()), None) == CTX
    assert library.rknn_outputs_release(context.id, 1, c.byref(Output())) == CTX
    assert library.rknn_set_core_mask(context.id, 1) == library.rknn_set_batch_core_num(context.id, 1) == CTX
    assert library.rknn_set_input_shapes(context.id, 1, c.byref(attr)) == CTX
    assert not library.rknn_create_mem(context.id, 64)
    assert library.rknn_destroy_mem(context.id, mem) == library.rknn_mem_sync(context.id, mem, 1) == CTX
    assert library.rknn_set_io_mem(context.id, mem, c.byref(attr)) == CTX
    assert (
        library.rknn_set_weight_mem(context.id, mem) == library.rknn_set_internal_mem(context.id, mem) == CTX
    )


def test_a_second_init_is_a_second_context(library: Any) -> None:
    first, second = Context(library, MODELS["float16"]), Context(library, MODELS["int8"])
    assert first.id.value != second.id.value
    np.testing.assert_array_equal(first.infer(NHWC_ROWS), executor_answer("float16"))
    np.testing.assert_array_equal(second.infer(NHWC_ROWS), executor_answer("int8"))
    assert first.close() == second.close() == 0


def test_without_a_server_the_device_is_unavailable(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in ("/nonexistent/socket", "x" * 200):
        monkeypatch.setenv("VIRTUAL_NPU_SOCKET", path)
        assert Context(library, MODELS["float16"]).code == UNAVAILABLE


def test_when_the_server_dies_so_does_the_device(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_NPU_SOCKET", str(tmp_path / "s"))
    with librknnrt.serving(tmp_path / "s") as process:
        context = Context(library, MODELS["float16"])
        process.kill()
        process.wait()
        assert context.set_input(NHWC_ROWS) == context.run() == UNAVAILABLE
        assert context.close() == 0
    with librknnrt.serving(tmp_path / "s"):  # the socket left behind is no obstacle
        np.testing.assert_array_equal(
            Context(library, MODELS["float16"]).infer(NHWC_ROWS), executor_answer("float16")
        )


def test_the_library_offers_no_more_than_the_api(library: Any) -> None:
    names = subprocess.run(
        ["nm", "-D", "--defined-only", library._name], capture_output=True, text=True, check=True
    ).stdout.split()[2::3]
    assert names
    assert all(name.startswith("rknn_") for name in names)

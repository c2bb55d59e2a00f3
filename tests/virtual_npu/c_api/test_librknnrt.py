"""Our librknnrt.so against the executor, called as any program would call it."""

from __future__ import annotations

import ctypes as c
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.virtual_npu.c_api import librknnrt
from tests.virtual_npu.c_api.librknnrt import (
    NC1HWC2,
    NCHW,
    NHWC,
    UNDEFINED,
    Array,
    Context,
    InitExtend,
    Output,
)
from tests.virtual_npu.reference import as_input
from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import VirtualNpu, read

FAIL, UNAVAILABLE, PARAM, MODEL, CTX, INPUT, OUTPUT, PLATFORM = -1, -3, -5, -6, -7, -8, -9, -13

pytestmark = pytest.mark.skipif(bool(librknnrt.missing()), reason=librknnrt.missing())


def _model(dtype: str, channels: int = 24, kernels: int = 10, samples: int = 5) -> bytes:
    rng = np.random.default_rng(len(dtype))
    if dtype == "float16":
        layers = [
            Dense(rng.normal(size=(33, channels)) / 5, rng.normal(size=33), relu=True),
            Dense(rng.normal(size=(kernels, 33)) / 6, rng.normal(size=kernels)),
        ]
        return write(Chain(layers, samples))
    limit = np.iinfo(dtype).max
    layer = Dense(
        rng.integers(-limit, limit + 1, (kernels, channels)),
        rng.integers(-limit * 50, limit * 50, kernels),
        multipliers=rng.integers(8192, 16384, kernels),
        out_scale=20000,
        out_shift=22 if dtype == "int8" else 30,
    )
    return write(Chain([layer], samples, dtype, scales=(0.03, 0.05)))


MODELS = {dtype: _model(dtype) for dtype in ("float16", "int8", "int16")}
ROWS = np.random.default_rng(7).normal(size=(5, 24)).astype(np.float32)
NHWC_ROWS = ROWS[None, :, None, :]


def _expected(dtype: str, rows: Array = ROWS) -> Array:
    answer: Array = VirtualNpu(read(MODELS[dtype])).run(as_input(rows)).ravel()
    return answer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The socket and the process number of a server."""
    path = tmp_path_factory.mktemp("npu") / "s"
    with librknnrt.serving(path) as process:
        yield path, process.pid


@pytest.fixture(scope="module")
def library(server: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIRTUAL_NPU_SOCKET", str(server[0]))
        yield librknnrt.load(librknnrt.build(tmp_path_factory.mktemp("librknnrt")))


@pytest.fixture
def context(library: Any) -> Iterator[Context]:
    opened = Context(library, MODELS["float16"])
    assert opened.code == 0
    yield opened
    opened.close()


# --- what comes out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", MODELS)
def test_real_numbers_give_the_executor_s_bits(library: Any, dtype: str) -> None:
    context = Context(library, MODELS[dtype])
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), _expected(dtype))
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
    expected = _expected(dtype, rows.astype(np.float32))
    np.testing.assert_array_equal(context.infer(rows[None, :, None, :]), expected)
    context.close()


def test_layouts_are_the_same_numbers_in_another_order(context: Context) -> None:
    expected = _expected("float16")
    np.testing.assert_array_equal(context.infer(as_input(ROWS), fmt=NCHW), expected)
    np.testing.assert_array_equal(context.infer(NHWC_ROWS, fmt=UNDEFINED), expected)
    native = ROWS.reshape(5, 3, 8).transpose(1, 0, 2)  # 24 channels in groups of 8
    np.testing.assert_array_equal(context.infer(native, fmt=NC1HWC2), expected)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(width=32), min_size=120, max_size=120))
def test_any_float_gives_the_executor_s_bits(library: Any, values: list[float]) -> None:
    rows = np.array(values, np.float32).reshape(5, 24)
    for dtype in MODELS:
        context = Context(library, MODELS[dtype])
        np.testing.assert_array_equal(context.infer(rows[None, :, None, :]), _expected(dtype, rows))
        context.close()


@pytest.mark.parametrize("mask", [0, 1, 2, 4, 3, 7, 0xFFFF])
def test_every_core_mask_gives_the_same_bits(context: Context, mask: int) -> None:
    assert context.library.rknn_set_core_mask(context.id, mask) == 0
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), _expected("float16"))


def test_a_duplicate_outlives_the_original(library: Any) -> None:
    first, second = Context(library, MODELS["float16"]), Context(library)
    assert library.rknn_dup_context(c.byref(first.id), c.byref(second.id)) == 0
    assert first.close() == 0
    np.testing.assert_array_equal(second.infer(NHWC_ROWS), _expected("float16"))
    third = Context(library)
    assert library.rknn_dup_context(c.byref(second.id), c.byref(third.id)) == 0
    assert second.close() == third.close() == 0
    assert library.rknn_dup_context(c.byref(second.id), c.byref(third.id)) == CTX


# --- what is told ------------------------------------------------------------------------------------------


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
    code, versions = context.query(5, 512)
    assert code == 0
    assert versions.startswith(b"2.5.0 (virtual NPU)\0")
    assert context.query(6, 64)[0] == context.query(7, 1024)[0] == 0
    assert context.infer(NHWC_ROWS).size == 50
    code, duration = context.query(4, 8)
    assert code == 0
    assert int.from_bytes(duration, "little") > 0
    context.close()


def test_tools_find_the_version_in_the_file(library: Any) -> None:
    assert b"librknnrt version: 2.5.0" in Path(library._name).read_bytes()


@pytest.mark.parametrize(
    ("command", "size"),
    [(1, 375), (0, 7), (5, 511), (4, 7), (6, 63), (7, 1023), (3, 16), (13, 9000), (99, 64), (-1, 64)],
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
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), _expected("float16"))
    context.close()
    extend.real_model_offset = 5
    assert library.rknn_init(c.byref(context.id), str(path).encode(), 0, 0, c.byref(extend)) == PARAM
    assert library.rknn_init(c.byref(context.id), b"/no/such/file", 0, 0, None) == MODEL
    assert library.rknn_init(c.byref(context.id), None, 4, 0, None) == PARAM
    assert library.rknn_init(None, b"x", 1, 0, None) == PARAM


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
    ],
)  # fmt: skip
def test_a_wrong_input_is_refused_and_the_context_lives_on(context: Context, how: Any, code: int) -> None:
    assert context.set_input(NHWC_ROWS, **how) == code
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), _expected("float16"))


def test_an_input_too_large_for_any_tensor_is_refused(context: Context) -> None:
    assert context.set_input(np.zeros(1 << 20, np.float32)) == INPUT
    assert context.library.rknn_inputs_set(context.id, 1, None) == PARAM
    assert context.library.rknn_inputs_set(context.id, 0, c.byref(librknnrt.Input())) == PARAM
    assert context.library.rknn_inputs_set(context.id, 2, c.byref(librknnrt.Input())) == INPUT
    np.testing.assert_array_equal(context.infer(NHWC_ROWS), _expected("float16"))


def test_calls_out_of_order(context: Context) -> None:
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
    np.testing.assert_array_equal(own[:50], _expected("float16"))
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
    np.testing.assert_array_equal(first.infer(NHWC_ROWS), _expected("float16"))
    np.testing.assert_array_equal(second.infer(NHWC_ROWS), _expected("int8"))
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
            Context(library, MODELS["float16"]).infer(NHWC_ROWS), _expected("float16")
        )


# --- zero copy ---------------------------------------------------------------------------------------------


def _bound(context: Context, command: int, dtype: str) -> tuple[Any, Array]:
    attr = context.attr(command)
    attr.type = librknnrt.TYPES[dtype]
    mem = context.library.rknn_create_mem(context.id, attr.n_elems * np.dtype(dtype).itemsize)
    assert context.library.rknn_set_io_mem(context.id, mem, c.byref(attr)) == 0
    memory = (c.c_char * mem.contents.size).from_address(mem.contents.virt_addr)
    return mem, np.frombuffer(memory, dtype)


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
        np.testing.assert_array_equal(got_values, _expected(dtype, ROWS * factor))
    context.close()


def test_native_layout_passes_through(library: Any) -> None:
    context = Context(library, MODELS["float16"])
    _, given_values = _bound(context, 8, "float16")
    _, got_values = _bound(context, 9, "float16")
    given_values[:] = ROWS.astype(np.float16).reshape(5, 3, 8).transpose(1, 0, 2).ravel()
    assert context.run() == 0
    rows = got_values.reshape(2, 5, 8).transpose(1, 0, 2).reshape(5, 16)[:, :10]
    np.testing.assert_array_equal(rows.T.ravel(), _expected("float16"))
    context.close()


def test_memory_is_given_back_once_and_unbound(context: Context) -> None:
    mem, values = _bound(context, 1, "float32")
    values[:] = ROWS.ravel()
    assert context.run() == 0
    stranger = librknnrt.TensorMem()
    assert context.library.rknn_destroy_mem(context.id, c.byref(stranger)) == PARAM
    assert context.library.rknn_destroy_mem(context.id, mem) == 0
    assert context.library.rknn_destroy_mem(context.id, mem) == PARAM
    assert context.library.rknn_mem_sync(context.id, mem, 1) == PARAM
    assert context.run() == 0  # with the input as it was last given
    np.testing.assert_array_equal(context.output(), _expected("float16"))


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
    assert context.run() == 0
    np.testing.assert_array_equal(context.output(), _expected("float16"))


# --- many at once, and for long ----------------------------------------------------------------------------


def test_threads_and_contexts_never_mix_results(library: Any) -> None:
    """8 threads over 3 contexts; set, run and get are one turn under the caller's lock."""
    contexts = [Context(library, MODELS[dtype]) for dtype in MODELS]
    locks = [threading.Lock() for _ in contexts]
    failures: list[str] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            which = int(rng.integers(3))
            rows = rng.normal(size=(5, 24)).astype(np.float32)
            with locks[which]:
                answer = contexts[which].infer(rows[None, :, None, :])
            if not np.array_equal(answer, _expected(list(MODELS)[which], rows)):
                failures.append(f"thread {seed}, context {which}")

    _together([threading.Thread(target=work, args=(seed,)) for seed in range(8)])
    assert not failures
    assert [context.close() for context in contexts] == [0, 0, 0]


def test_destroying_a_context_in_use_is_safe(library: Any) -> None:
    for _ in range(10):
        context = Context(library, MODELS["float16"])
        assert context.set_input(NHWC_ROWS) == 0
        codes: list[int] = []

        def work(context: Context = context, codes: list[int] = codes) -> None:
            codes.extend(context.run() for _ in range(40))

        threads = [threading.Thread(target=work) for _ in range(3)]
        closing = threading.Thread(target=lambda context=context, codes=codes: codes.append(context.close()))
        _together([*threads, closing])
        assert set(codes) <= {0, CTX}
        assert context.close() == CTX


def test_contexts_are_counted(library: Any, server: tuple[Path, int]) -> None:
    opened = [Context(library, MODELS["int8"]) for _ in range(70)]
    codes = [context.code for context in opened]
    for context in opened:
        context.close()
    assert set(codes) == {0, UNAVAILABLE}
    assert 50 <= codes.count(0) <= 64  # other tests' connections may not have ended yet


def test_memory_stays_flat_over_10_000_calls(library: Any, server: tuple[Path, int]) -> None:
    """A leaked output would be 4 KiB a call, 36 MiB in the 9,000 calls that are watched; an input 6 KiB."""
    rng = np.random.default_rng(0)
    layer = Dense(rng.normal(size=(16, 24)), rng.normal(size=16))
    context = Context(library, write(Chain([layer], 64)))
    rows = rng.normal(size=(1, 64, 1, 24)).astype(np.float32)
    first = context.infer(rows)
    before = (0, 0)
    for i in range(10_000):
        assert np.array_equal(context.infer(rows), first)
        if i == 1000:
            before = _resident("self"), _resident(str(server[1]))
    after = _resident("self"), _resident(str(server[1]))
    context.close()
    assert after[0] - before[0] < 4 << 20
    assert after[1] - before[1] < 4 << 20


def _resident(process: str) -> int:
    lines = Path("/proc", process, "status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def _together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


# --- hostile frames ----------------------------------------------------------------------------------------


def _talk(path: Path, data: bytes) -> list[int]:
    """Send bytes, end, and return the codes of the answers."""
    codes: list[int] = []
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            return codes
        answers = b""
        while part := client.recv(1 << 16):
            answers += part
    while answers:
        code, size = struct.unpack_from("<iI", answers)
        codes.append(code)
        answers = answers[8 + size :]
    return codes


def _frame(operation: int, payload: bytes = b"") -> bytes:
    return struct.pack("<II", operation, len(payload)) + payload


LOADED = _frame(1, MODELS["float16"])


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b"", []),
        (b"\1\0\0", []),
        (_frame(5), [PARAM]),
        (_frame(0) + _frame(77) + _frame(2**32 - 1), [PARAM] * 3),
        (_frame(2, b"k" * 16) + _frame(2, b"") + _frame(2, b"k" * 5000), [PARAM, PARAM, MODEL]),
        (struct.pack("<II", 1, 2**32 - 1) + b"never that long", []),
        (struct.pack("<II", 1, 100) + b"cut", []),
        (LOADED + LOADED, [0, PARAM]),
        (LOADED + _frame(3) + _frame(3, b"12345") + _frame(6) + _frame(6, b"1" * 13), [0] + [PARAM] * 4),
        (LOADED + _frame(4) + _frame(4, bytes(16)) + _frame(4, bytes(1 << 20)), [0, PARAM, INPUT, INPUT]),
        (LOADED + _frame(5, bytes(1000)), [0, PARAM]),
        (LOADED + _frame(4, bytes(16 + 480)) + _frame(5) + _frame(6, bytes(12)), [0, 0, 0, 0]),
    ],
)
def test_malformed_frames_get_codes(server: tuple[Path, int], data: bytes, codes: list[int]) -> None:
    assert _talk(server[0], data) == codes


@settings(max_examples=200, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 8), st.binary(max_size=40), st.integers(-3, 3)), max_size=6),
)
def test_no_frames_harm_the_server(
    server: tuple[Path, int], loaded: bool, frames: list[tuple[int, bytes, int]]
) -> None:
    data = LOADED if loaded else b""
    for operation, payload, lie in frames:
        data += struct.pack("<II", operation, max(0, len(payload) + lie)) + payload
    assert all(-13 <= code <= 0 for code in _talk(server[0], data))
    assert _talk(server[0], LOADED) == [0]


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(AssertionError, match="ended before"), librknnrt.serving(path):
        pass
    assert path.read_text() == "precious"


def test_a_second_server_leaves_the_first_one_s_socket(server: tuple[Path, int]) -> None:
    with pytest.raises(AssertionError, match="ended before"), librknnrt.serving(server[0]):
        pass
    assert _talk(server[0], LOADED) == [0]


def test_the_library_offers_no_more_than_the_api(library: Any) -> None:
    names = subprocess.run(
        ["nm", "-D", "--defined-only", library._name], capture_output=True, text=True, check=True
    ).stdout.split()[2::3]
    assert names
    assert all(name.startswith("rknn_") for name in names)

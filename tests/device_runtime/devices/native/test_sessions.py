"""Sessions over the C API, on our librknnrt.so: the virtual NPU's bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import scirknn
from scirknn.devices.native.context import NativeContext
from scirknn.devices.native.library import Library
from scirknn.devices.native.sessions import BoundSession, FloatSession, GeneralSession, NativeSession
from tests.device_runtime.devices.native.conftest import BATCHES, PRECISIONS, executor_answer, model, rows

KINDS = (GeneralSession, FloatSession, NativeSession)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.rknn"
    path.write_bytes(model("float16", 8))
    return path


@pytest.mark.parametrize("samples", BATCHES)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_session_gives_the_virtual_npu_s_bits(
    library: Library, tmp_path: Path, precision: str, samples: int
) -> None:
    content = model(precision, samples)
    (tmp_path / "m.rknn").write_bytes(content)
    for kind in KINDS:
        session = kind(NativeContext.load(library, tmp_path / "m.rknn"), samples)
        for seed, scale in ((1, 1), (2, 1e3), (1, 1)):
            given = rows(samples, seed) * np.float32(scale)
            answer = session.run(given)
            np.testing.assert_array_equal(answer, executor_answer(content, given))
            if isinstance(session, BoundSession):
                staged = session.decode(session.run_encoded(session.encode(given)))
                assert staged.tobytes() == answer.tobytes()
        session.close()


def test_duplicates_outlive_the_context_they_come_from(library: Library, file: Path) -> None:
    first = NativeContext.load(library, file)
    sessions = [NativeSession(first.duplicate(), 8) for _ in range(3)]
    first.close()
    given = rows(8)
    for session in sessions:
        np.testing.assert_array_equal(session.run(given), executor_answer(file.read_bytes(), given))
        session.close()


@pytest.mark.parametrize("kind", KINDS)
def test_other_rows_than_the_file_takes_are_refused_by_the_vendors_code(
    library: Library, file: Path, kind: type[BoundSession | GeneralSession]
) -> None:
    session = kind(NativeContext.load(library, file), 8)
    for wrong in (rows(7), rows(8)[:, :-1]):
        with pytest.raises(scirknn.NativeError, match=r"model\.rknn") as caught:
            session.run(np.ascontiguousarray(wrong))
        assert (caught.value.code, caught.value.name) == (-8, "RKNN_ERR_INPUT_INVALID")
        if isinstance(session, BoundSession):
            with pytest.raises(scirknn.NativeError, match=r"model\.rknn"):
                session.encode(np.ascontiguousarray(wrong))
    np.testing.assert_array_equal(session.run(rows(8)), executor_answer(file.read_bytes(), rows(8)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_session_is_not_run(
    library: Library, file: Path, kind: type[BoundSession | GeneralSession]
) -> None:
    session = kind(NativeContext.load(library, file), 8)
    session.close()
    session.close()
    with pytest.raises(scirknn.NativeError, match=r"model\.rknn is closed"):
        session.run(rows(8))
    if isinstance(session, BoundSession):
        with pytest.raises(scirknn.NativeError, match=r"model\.rknn is closed"):
            session.run_encoded(session.encode(rows(8)))


def test_what_the_library_refuses_carries_its_code(library: Library, tmp_path: Path) -> None:
    junk = tmp_path / "junk.rknn"
    junk.write_bytes(b"no model at all")
    with pytest.raises(scirknn.NativeError, match=r"rknn_init of junk\.rknn returned -6") as caught:
        NativeContext.load(library, junk)
    error = caught.value
    assert (error.call, error.code, error.name) == ("rknn_init", -6, "RKNN_ERR_MODEL_INVALID")


def test_memory_is_bound_once_and_given_back_before_its_own_context(
    library: Library, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, int]] = []
    for name in ("rknn_create_mem", "rknn_set_io_mem", "rknn_destroy_mem", "rknn_destroy"):
        function = library.function(name)

        def record(context: object, *rest: object, name: str = name, function: object = function) -> object:
            calls.append((name[5:], context.value))  # type: ignore[attr-defined]
            return function(context, *rest)  # type: ignore[operator]

        monkeypatch.setitem(library._functions, name, record)
    session = NativeSession(NativeContext.load(library, file), 8)
    for _ in range(3):
        session.run(rows(8))
    session.close()
    (context,) = {number for _, number in calls}
    assert context
    assert [name for name, _ in calls] == [
        *("create_mem", "set_io_mem") * 2,
        *("destroy_mem", "destroy_mem", "destroy"),
    ]

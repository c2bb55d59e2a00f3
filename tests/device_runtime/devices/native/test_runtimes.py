"""Which runtime is taken, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scirknn
from scirknn.bundle import Bundle
from scirknn.devices import runtimes
from scirknn.devices.native import opening
from scirknn.devices.native.context import NativeContext
from scirknn.devices.native.declarations import TensorAttribute
from scirknn.devices.native.library import Library
from scirknn.devices.native.sessions import NativeSession
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.devices.native.conftest import PRECISIONS, WriteBundle, rows
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def load(path: Path, runtime: str = "auto", core: str = "auto") -> Any:
    return scirknn.load(path, device="npu", runtime=runtime, core=core)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("precision", PRECISIONS)
def test_auto_takes_bound_memory_that_gives_the_bits_of_general_calls(
    write_native_bundle: WriteBundle, precision: str
) -> None:
    path = write_native_bundle(precision)
    with load(path) as model, scirknn.load(path, device="virtual") as virtual:
        assert model.runtime.name == "native"
        assert "on the 8 rows of probe_rows" in str(model.runtime)
        for count in (1, 8, 73):
            np.testing.assert_array_equal(model.raw_output(rows(count)), virtual.raw_output(rows(count)))


@pytest.mark.usefixtures("library")
def test_a_pool_has_a_context_for_each_core(
    write_native_bundle: WriteBundle, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = []
    set_core_mask = library.function("rknn_set_core_mask")

    def record(self: NativeContext, core: str) -> None:
        masks.append(core)
        set_core_mask(self.handle, 1 << int(core))

    monkeypatch.setattr(NativeContext, "set_cores", record)
    path = write_native_bundle(samples=(8,))
    with load(path, core="pool") as model, scirknn.load(path, device="virtual") as virtual:
        np.testing.assert_array_equal(model.raw_output(rows(100)), virtual.raw_output(rows(100)))
        assert model.runtime.name == "native"
    assert masks == ["0", "0", "0", "1", "2"]  # general calls, two candidates, and the other cores


class WithoutPassThrough(NativeSession):
    def _attributes(self, context: NativeContext) -> tuple[TensorAttribute, TensorAttribute]:
        taken, given = super()._attributes(context)
        taken.pass_through = 0
        return taken, given


class WithoutSyncToDevice(NativeSession):
    def _run_bound(self) -> None:
        self.context.call("rknn_run", None)
        self._output.from_device()


class WithoutSyncFromDevice(NativeSession):
    def _run_bound(self) -> None:
        self._input.to_device()
        self.context.call("rknn_run", None)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("planted", [WithoutPassThrough, WithoutSyncToDevice, WithoutSyncFromDevice])
def test_a_session_with_other_bits_is_not_taken(
    write_native_bundle: WriteBundle,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    planted: type[NativeSession],
) -> None:
    path = write_native_bundle(precision, samples=(8,))
    for name in ("NativeSession", "FloatSession"):
        monkeypatch.setattr(opening, name, planted)
    with load(path) as model, scirknn.load(path, device="virtual") as virtual:
        assert model.runtime.name == "general"
        assert "have other bits than by general calls" in model.runtime.reason
        np.testing.assert_array_equal(model.raw_output(rows(9)), virtual.raw_output(rows(9)))
    with pytest.raises(scirknn.DeviceError, match="other bits than by general calls"):
        load(path, "native")


@pytest.mark.usefixtures("library")
def test_answers_beyond_the_recorded_bound_are_warned_of(
    write_native_bundle: WriteBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_native_bundle(samples=(8,))
    monkeypatch.setattr(Bundle, "finish", Bundle.join)  # forgets the map of the outputs
    with pytest.warns(UserWarning, match="the recorded error bound is 1e-06: update librknnrt"):
        model = load(path)
    assert model.runtime.name == "general"
    model.close()


@pytest.mark.usefixtures("library")
def test_without_recorded_rows_general_calls_are_made_unless_asked(write_native_bundle: WriteBundle) -> None:
    path = write_native_bundle(samples=(8,), probe=None)
    with load(path) as model:
        assert model.runtime == runtimes.Runtime(
            "general", "model.rknn holds no probe_rows to verify it by; convert the model again"
        )
    with load(path, "native") as model, scirknn.load(path, device="virtual") as virtual:
        assert model.runtime.name == "native"
        np.testing.assert_array_equal(model.raw_output(rows(9)), virtual.raw_output(rows(9)))


def test_a_library_without_mem_sync_is_used_by_general_calls(
    write_native_bundle: WriteBundle, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = Library.__new__(Library)
    vars(older).update(vars(library), missing=("rknn_mem_sync",))
    monkeypatch.setattr(runtimes, "load_library", lambda: older)
    path = write_native_bundle(samples=(8,))
    with load(path) as model:
        assert (model.runtime.name, model.runtime.reason) == (
            "general",
            f"{library.path} has no rknn_mem_sync",
        )
        assert model.raw_output(rows(9)).shape == (9, 10)
    with pytest.raises(scirknn.DeviceError, match="has no rknn_mem_sync"):
        load(path, "native")


@pytest.mark.usefixtures("library")
def test_an_unexpected_native_layout_leads_to_general_calls(
    write_native_bundle: WriteBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scirknn.devices.native.verification.unexpected_layout", lambda *rest: "format 9")
    with load(write_native_bundle(samples=(8,))) as model:
        assert str(model.runtime) == "general: the native input of model.rknn has format 9"


def test_without_librknnrt_rknnlite_is_taken(
    make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIRKNN_LIBRKNNRT", "/nonexistent/librknnrt.so")
    path = make_bundle(fitted("softmax"))
    with load(path) as model:
        assert model.runtime.name == "rknnlite"
        assert "/nonexistent/librknnrt.so" in model.runtime.reason
    with pytest.raises(scirknn.DeviceError, match=r"librknnrt\.so cannot be loaded"):
        load(path, "native")
    with load(path, "rknnlite") as model:
        assert str(model.runtime) == "rknnlite: asked for"
    monkeypatch.setattr(runtimes, "has_rknnlite", lambda: False)
    with pytest.raises(scirknn.DeviceError, match=r"librknnrt\.so cannot be loaded"):
        load(path)


@pytest.mark.usefixtures("library")
def test_a_file_that_the_library_refuses_goes_to_rknnlite_where_there_is_one(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bundle(fitted("softmax"))  # a file of the stand-in's
    with monkeypatch.context() as patch:
        patch.setattr(runtimes, "has_rknnlite", lambda: False)
        with pytest.raises(scirknn.NativeError, match=r"rknn_init of model\.rknn returned -6"):
            load(path)
    with load(path) as model:
        assert model.runtime.name == "rknnlite"
        assert "RKNN_ERR_MODEL_INVALID" in model.runtime.reason


def test_another_runtime_is_refused(make_bundle: MakeBundle) -> None:
    with pytest.raises(
        scirknn.InputError, match="runtime is 'fast'; it can be one of auto, native, rknnlite"
    ):
        load(make_bundle(fitted("softmax")), "fast")


@pytest.mark.usefixtures("library")
def test_every_context_is_given_back(
    write_native_bundle: WriteBundle, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: set[int] = set()
    loaded, closed = NativeContext.__init__, NativeContext.close

    def opens(self: NativeContext, *arguments: Any) -> None:
        loaded(self, *arguments)
        alive.add(self.handle.value)

    def closes(self: NativeContext) -> None:
        alive.discard(self.handle.value)
        closed(self)

    monkeypatch.setattr(NativeContext, "__init__", opens)
    monkeypatch.setattr(NativeContext, "close", closes)
    path = write_native_bundle(samples=(1, 8))
    model = load(path, core="pool")
    assert len(alive) == 6  # two files on three cores
    model.close()
    assert not alive
    monkeypatch.setattr(opening, "difference_from_general", lambda *rest: "other")
    with load(path, core="pool"):
        assert len(alive) == 6
    assert not alive
    monkeypatch.setattr(opening, "fastest", lambda *rest: 1 / 0)
    monkeypatch.setattr(opening, "difference_from_general", lambda *rest: "")
    with pytest.raises(ZeroDivisionError):
        load(path)
    assert not alive


def test_a_machine_without_librknnrt_says_how_to_name_one(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scirknn.devices.native.library.runtime_path", lambda: None)
    with load(make_bundle(fitted("softmax"))) as model:
        assert str(model.runtime) == (
            "rknnlite: There is no librknnrt.so in /usr/lib. 'python3 -m scirknn doctor' has the command "
            "that installs it; SCIRKNN_LIBRKNNRT names one that is elsewhere."
        )


def test_a_library_that_is_another_is_not_taken(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch, library: Library
) -> None:
    other = Library.__new__(Library)
    vars(other).update(vars(library), missing=("rknn_query",))
    monkeypatch.setattr("scirknn.devices.native.library.Library", lambda *rest: other)
    with pytest.raises(scirknn.DeviceError, match=r"has no rknn_query\. Install the librknnrt\.so"):
        load(make_bundle(fitted("softmax")), "native")


def test_memory_that_cannot_be_had_leads_to_general_calls(
    write_native_bundle: WriteBundle, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(library._functions, "rknn_create_mem", lambda *rest: None)
    monkeypatch.setattr(runtimes, "load_library", lambda: library)
    path = write_native_bundle(samples=(8,))
    with load(path) as model:
        assert model.runtime.name == "general"
        assert "rknn_create_mem of model.rknn returned -4 (RKNN_ERR_MALLOC_FAIL)" in model.runtime.reason
        assert model.raw_output(rows(9)).shape == (9, 10)
    with pytest.raises(scirknn.NativeError, match="rknn_create_mem"):
        load(path, "native")

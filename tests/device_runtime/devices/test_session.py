from __future__ import annotations

import logging
import sys
from pathlib import Path
from types import ModuleType

import pytest

import scirknn
from scirknn.devices import session


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither NPU nor the choice made for it."""
    monkeypatch.delenv("SCIRKNN_DEVICE", raising=False)
    monkeypatch.setattr(session, "_DEVICE_TREE", Path("/nonexistent"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.mark.usefixtures("bare")
def test_the_device_is_chosen_by_argument_environment_and_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert session.choose_device("npu") == "npu"
    monkeypatch.setenv("SCIRKNN_DEVICE", "virtual")
    assert session.choose_device(None) == "virtual"
    assert session.choose_device("npu") == "npu"
    monkeypatch.delenv("SCIRKNN_DEVICE")
    with pytest.raises(scirknn.DeviceError, match="no Rockchip NPU and no virtual one"):
        session.choose_device(None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "virtual_npu" or None)
    with pytest.warns(UserWarning, match="the virtual NPU answers instead"):
        assert session.choose_device(None) == "virtual"
    tree = tmp_path / "compatible"
    tree.write_bytes(b"xunlong,orangepi-5\0rockchip,rk3588s\0")
    monkeypatch.setattr(session, "_DEVICE_TREE", tree)
    assert session.choose_device(None) == "npu"


def test_unknown_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(scirknn.InputError, match="device is 'gpu'; it can be one of npu, virtual, cpu, auto"):
        session.choose_device("gpu")
    monkeypatch.setenv("SCIRKNN_DEVICE", "tpu")
    with pytest.raises(scirknn.InputError, match="'tpu'"):
        session.choose_device(None)


def test_a_missing_runtime_names_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "rknnlite", None)
    with pytest.raises(scirknn.DeviceError, match="Install rknn-toolkit-lite2"):
        session.open_session(tmp_path / "x.rknn", "npu")
    monkeypatch.setitem(sys.modules, "virtual_npu", None)
    with pytest.raises(scirknn.DeviceError, match="needs the virtual-npu package"):
        session.open_session(tmp_path / "x.rknn", "virtual")


def test_the_runtime_leaves_logging_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Loud:
        def __init__(self, verbose: bool) -> None:
            logging.addLevelName(logging.INFO, "I")
            logging.getLogger().addHandler(logging.NullHandler())
            logging.getLogger().setLevel(1)

        def load_rknn(self, path: str) -> int:
            return -1

        def release(self) -> None:
            pass

    api = ModuleType("rknnlite.api")
    api.RKNNLite = Loud  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rknnlite", ModuleType("rknnlite"))
    monkeypatch.setitem(sys.modules, "rknnlite.api", api)
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    with pytest.raises(scirknn.NativeError):
        session.open_session(tmp_path / "x.rknn", "npu")
    assert logging.getLevelName(logging.INFO) == "INFO"
    assert logging.getLevelName("INFO") == logging.INFO
    assert (root.handlers, root.level) == before


def test_the_virtual_npus_refusal_is_typed(tmp_path: Path) -> None:
    file = tmp_path / "junk.rknn"
    file.write_bytes(b"junk")
    with pytest.raises(scirknn.NativeError, match=r"virtual NPU refused junk\.rknn"):
        session.open_session(file, "virtual")

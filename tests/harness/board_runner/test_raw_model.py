"""Bare model files on the virtual board: the executor's bits, its errors, and times."""

from __future__ import annotations

import logging
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rknn_harness.board_runner.raw_model import CORES, RawModel
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds
from rknn_harness.errors import BoardError, ProvisioningError
from scirknn.errors import NativeError
from tests.virtual_npu.rknn_writer import small
from virtual_npu import VirtualNpu, read


def test_arrays_cross_as_they_are(board: Board) -> None:
    model = small("float16")
    npu = VirtualNpu(read(model))
    x = np.random.default_rng(0).normal(size=npu.input_shape).astype(np.float32)
    x.flat[:3] = np.nan, np.inf, 1e-7
    with BoardSession(board) as session:
        for core in CORES[:4]:
            session.raw_models.load_raw(model, core)
            np.testing.assert_array_equal(session.raw_models.run_raw(x), npu.run(x))
        assert len(session.raw_models.time_raw(x, SamplingBounds(0, 3, 0.0, 1.0)).samples) >= 3
        with pytest.raises(BoardError, match="the input has") as refused:
            session.raw_models.run_raw(x[:, :, :1])
        assert refused.value.kind == "run_error"
        with pytest.raises(BoardError, match="no model is loaded"):  # it is no bundle
            session.models.predict(np.zeros((1, 4)))
        with pytest.raises(BoardError, match="core is") as wrong:
            session.raw_models.load_raw(model, "7")
        assert wrong.value.kind == "bad_request"
        with pytest.raises(BoardError, match=r"refused raw\.rknn") as damaged:
            session.raw_models.load_raw(model[:-9])
        assert damaged.value.kind == "load_error"
        with pytest.raises(ProvisioningError, match="cannot be imported"):  # there is no rknnlite here
            session.raw_models.load_raw(model, device="npu")
        session.models.close()
        with pytest.raises(BoardError, match="no model is loaded"):
            session.raw_models.run_raw(x)


class _Lite:
    """Stands for rknnlite."""

    NPU_CORE_0_1 = 3
    code = 0
    given: Any = None
    outputs: Any = None

    def __init__(self, verbose: bool) -> None:
        logging.addLevelName(logging.INFO, "I")

    def load_rknn(self, path: str) -> int:
        return 0

    def init_runtime(self, **mask: int) -> int:
        type(self).given = mask
        return self.code

    def inference(self, inputs: list[Any]) -> Any:
        type(self).given = inputs[0]
        return self.outputs

    def release(self) -> None:
        pass


@pytest.fixture
def lite(monkeypatch: pytest.MonkeyPatch) -> type[_Lite]:
    class Lite(_Lite):
        pass

    package, api = types.ModuleType("rknnlite"), types.ModuleType("rknnlite.api")
    api.RKNNLite = Lite  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rknnlite", package)
    monkeypatch.setitem(sys.modules, "rknnlite.api", api)
    return Lite


def test_the_vendor_s_runtime_is_fed_points_before_channels(lite: type[_Lite], tmp_path: Path) -> None:
    lite.outputs = [np.ones((1, 5, 3, 1), np.float32)]
    model = RawModel(str(tmp_path / "m.rknn"), "npu", "0_1")
    assert lite.given == {"core_mask": 3}
    assert logging.getLevelName(logging.INFO) == "INFO"
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    assert model.run(x).shape == (1, 5, 3, 1)
    np.testing.assert_array_equal(lite.given, x.transpose(0, 2, 3, 1))
    assert lite.given.flags.c_contiguous
    model.call(np.ones((3, 2), np.float32))()
    assert lite.given.shape == (3, 2)
    model.close()


def test_the_vendor_s_codes_are_errors(lite: type[_Lite], tmp_path: Path) -> None:
    lite.outputs = None
    model = RawModel(str(tmp_path / "m.rknn"), "npu")
    assert lite.given == {}
    with pytest.raises(NativeError, match=r"inference of m\.rknn gave None"):
        model.run(np.zeros((1, 8), np.float32))
    lite.code = -6
    with pytest.raises(NativeError, match=r"init_runtime of m\.rknn returned -6"):
        RawModel(str(tmp_path / "m.rknn"), "npu")

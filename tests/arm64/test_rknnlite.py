"""The vendor's own rknnlite, unmodified, over our librknnrt.so: the executor's bits, documented errors."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.ssh.connection import Connection
from tests.harness.boards.shell import run
from virtual_npu import VirtualNpu, read

Array = npt.NDArray[Any]
VERSIONS = ("2.3.0", "2.3.2", "2.5.0")
RUNNABLE = ("float16", "float16 of 8", "int8", "int8 of 8", "softmax", "softmax of 8")
SCRIPT = Path(__file__).with_name("ask_rknnlite.py")


def _given(name: str, rows: Array) -> Array:
    """A model's input as a user of rknnlite gives it: NHWC."""
    return np.ascontiguousarray(rows[None, : 8 if name.endswith("of 8") else 1, None, :])


def _expected(model: bytes, x: Array) -> Array:
    npu, nchw = VirtualNpu(read(model)), np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    stored = read(model).inputs[0].dtype
    if x.dtype != stored or stored == "float16":
        return npu.run(nchw.astype(np.float32))
    output, values = read(model).outputs[0], npu.run_native(nchw)  # int8 for int8: values as they are stored
    if output.scale is None:
        return values.astype(np.float32)
    real: Array = (values.astype(np.float32) - np.float32(output.zero_point or 0)) * np.float32(output.scale)
    return real


def _bits(answer: Any) -> Array:
    dtype, shape, data = answer
    values: Array = np.frombuffer(bytes.fromhex(data), dtype).reshape(shape)
    return values


@pytest.fixture(scope="module", params=VERSIONS)
def asked(
    request: pytest.FixtureRequest, boards: Mapping[str, Board], models: Mapping[str, bytes], rows: Array
) -> tuple[dict[str, Any], str]:
    """What a version of rknnlite answered, and all that it printed."""
    board = boards[f"arm64-{request.param}"]
    files = {f"{name}.rknn": model for name, model in models.items()}
    files |= {"junk.rknn": b"no model at all", "truncated.rknn": models["float16"][:-100]}
    for name in RUNNABLE:
        buffer = io.BytesIO()
        np.save(buffer, _given(name, rows))
        files[f"{name}.npy"] = buffer.getvalue()
    with BoardSession(board) as session:
        folder = f"{board.work_folder}/{session.files.put({**files, 'ask_rknnlite.py': SCRIPT})}"
    with Connection(board) as connection:
        result = run(connection, [board.python, f"{folder}/ask_rknnlite.py", folder], seconds=200)
    printed = result.stdout + result.stderr
    assert result.status == 0, printed
    answer: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert f"rknn-toolkit-lite2 version: {request.param}" in printed
    return answer, printed


@pytest.mark.parametrize("name", RUNNABLE)
def test_inference_returns_the_executor_s_bits(
    asked: tuple[dict[str, Any], str], models: Mapping[str, bytes], rows: Array, name: str
) -> None:
    answers, x = asked[0]["outputs"][name], _given(name, rows)
    assert answers.pop("codes") == [0, 0]
    for way, answer in answers.items():
        given = x.astype(way) if way in ("float16", "int8", "uint8", "int64") else x
        np.testing.assert_array_equal(_bits(answer), _expected(models[name], given), err_msg=way)


def test_wrong_files_are_refused_by_code(asked: tuple[dict[str, Any], str]) -> None:
    answer, printed = asked
    refused = [0, -1, None]  # load_rknn only reads the file
    assert answer["refused"] == {"for an rk3576": refused, "junk": refused, "truncated": refused}
    assert printed.count("RKNN init failed. error code: RKNN_ERR_MODEL_INVALID") == 2
    assert "RKNN init failed. error code: RKNN_ERR_TARGET_PLATFORM_UNMATCH" in printed


def test_wrong_inputs_are_refused_and_do_no_harm(asked: tuple[dict[str, Any], str]) -> None:
    answer, printed = asked
    assert answer["wrong width"] is answer["too wide"] is answer["float64"] is None
    assert printed.count("Set inputs failed. error code: RKNN_ERR_INPUT_INVALID") == 2
    assert "Unsupport inputs[0].dtype: float64" in printed
    assert answer["after mistakes"] == answer["outputs"]["float16"]["float32"]


def test_contexts_come_and_go(asked: tuple[dict[str, Any], str]) -> None:
    answer, _ = asked
    right = answer["outputs"]["float16"]["float32"]
    assert answer["second init"] == [0, right]
    assert answer["a second context"] == [right, right]
    assert (
        answer["after release"] is None
    )  # and releasing it twice crashed nothing: the script came to its end

"""onnxruntime as the converter and the harness start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import numpy as np
from sklearn.neural_network import MLPRegressor

from sklearn2rknn import network_from_estimator, onnx_from_network
from {module} import onnx_session

X = np.linspace(0, 1, 40).reshape(20, 2)
model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=5, random_state=0).fit(X, X.sum(axis=1))
session = onnx_session(onnx_from_network(network_from_estimator(model), 1).SerializeToString())
print(session.get_inputs()[0].name)
"""


@pytest.mark.parametrize(
    "module",
    [
        "sklearn2rknn.network.onnx_session",
        "sklearn2rknn.checking.built_file_check",
        "rknn_harness.conformance.stage_outputs",
        "rknn_harness.conformance.unguarded",
    ],
)
def test_nothing_is_written_into_an_empty_home(module: str, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "ORT_"))}
    kept.pop("CI", None)  # it switches telemetry off by itself
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE.format(module=module)],
        env={**kept, "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "x\n", done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_a_choice_of_the_users_stands(tmp_path: Path) -> None:
    code = "import os; import sklearn2rknn.network.onnx_session; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "0", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0\n"


def test_only_one_module_starts_onnxruntime() -> None:
    root = Path(__file__).parents[3]
    sources = [*root.glob("converter/src/**/*.py"), *root.glob("harness/src/**/*.py")]
    importing = {path.name for path in sources if "\nimport onnxruntime" in path.read_text(encoding="utf-8")}
    assert importing == {"onnx_session.py"}

"""What MLflow loads predicts as the bundle does."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

import scirknn
import sklearn2rknn

if importlib.util.find_spec("mlflow") is None:
    pytest.skip("needs the package mlflow: see `tox -e tools`", allow_module_level=True)


@pytest.fixture
def table() -> Any:
    """Rows in a table of pandas, with names."""
    return load_iris(as_frame=True).data


@pytest.fixture
def bundle(tmp_path: Path, table: Any) -> Path:
    """A folder with a bundle that was fitted to named columns."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    forest = RandomForestClassifier(5, random_state=0).fit(table, load_iris().target)
    sklearn2rknn.convert(forest, folder / "forest.rknn", example_input=table)
    return folder


def test_a_saved_bundle_predicts_as_before(
    bundle: Path, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow

    saved = str(tmp_path / "saved")
    mlflow.pyfunc.save_model(
        saved, loader_module="scirknn.mlflow", data_path=str(bundle), pip_requirements=["scirknn"]
    )
    loaded = mlflow.pyfunc.load_model(saved)
    expected = scirknn.load(bundle / "forest.rknn")
    np.testing.assert_array_equal(loaded.predict(table), expected.predict(table))
    np.testing.assert_array_equal(loaded.get_raw_model().predict_proba(table), expected.predict_proba(table))

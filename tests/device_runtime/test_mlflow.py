"""What MLflow's loader is given, without MLflow."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import scirknn
from scirknn.mlflow import PyfuncModel
from tests.device_runtime.conftest import MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

X = np.random.default_rng(0).normal(size=(20, 5))


def folder_of(bundle: Path, folder: Path) -> Path:
    """Copy a bundle into a folder of its own, as MLflow does."""
    folder.mkdir(exist_ok=True)
    for file in bundle.parent.glob(f"{bundle.stem}.*"):
        shutil.copy(file, folder)
    return folder


def test_the_model_of_a_folder_predicts_as_its_bundle(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle(fitted("softmax"))
    model = PyfuncModel(str(folder_of(bundle, tmp_path / "data")))
    with scirknn.load(bundle) as expected:
        np.testing.assert_array_equal(model.predict(X, params={}), expected.predict(X))
    assert hasattr(model.get_raw_model(), "predict_proba")


@pytest.mark.parametrize("count", [0, 2])
def test_a_folder_without_one_bundle_is_refused(make_bundle: MakeBundle, tmp_path: Path, count: int) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if count:
        folder_of(make_bundle(fitted("softmax")), folder)
        (folder / "other.rknn.json").write_text("{}")
    with pytest.raises(scirknn.BundleNotFoundError, match=f"holds {count} bundles"):
        PyfuncModel(str(folder))

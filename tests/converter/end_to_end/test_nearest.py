"""Centres and nearest rows, from estimators through files to loaded models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_wine
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import scirknn
from scirknn.answers import SEARCHES
from scirknn.arrays import Array, Floats
from scirknn.cli.commands import main
from sklearn2rknn import Toolkit, convert

MODELS = {
    "neighbours": KNeighborsClassifier(weights="distance", algorithm="kd_tree"),
    "outliers": make_pipeline(StandardScaler(), LocalOutlierFactor(novelty=True, algorithm="kd_tree")),
    "search": make_pipeline(StandardScaler(), NearestNeighbors(n_neighbors=2, algorithm="kd_tree")),
    "centres": make_pipeline(StandardScaler(), KMeans(5, n_init=1, random_state=0)),
}


def rows_of(name: str) -> tuple[Floats, Array, Floats]:
    """Return rows and labels to fit, and other rows."""
    X, y = (load_digits if name == "neighbours" else load_wine)(return_X_y=True)
    # Few of the integers are equally far from each other then.
    X = X + np.random.default_rng(0).uniform(-0.01, 0.01, X.shape)
    order = np.random.default_rng(1).permutation(len(X))[:700]
    return X[order[::2]], y[order[::2]], X[order[1::2]]


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_model_answers_as_the_estimator(name: str, toolkit: Toolkit, tmp_path: Path) -> None:
    X, y, others = rows_of(name)
    model: Any = MODELS[name].fit(X, y)
    report = convert(model, tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    assert report.accuracy == "single"
    assert json.loads((tmp_path / "m.rknn.json").read_text())["format"] == 4
    deciding = report.check.deciding
    assert deciding is not None
    assert deciding.bound_share is not None
    assert 0 < deciding.bound_share <= 1
    with scirknn.load(tmp_path / "m.rknn", device="virtual") as loaded:
        if loaded.has("kneighbors"):
            step = model[-1] if hasattr(model, "steps") else model
            inner = model[:-1].transform(others) if step is not model else others
            distances, indices = step.kneighbors(inner)
            given_distances, given_indices = loaded.kneighbors(others)
            assert (given_indices == indices).mean() > 0.999
            np.testing.assert_allclose(given_distances, distances, rtol=1e-9)
        for method in report.methods:
            if method in SEARCHES:
                continue
            expected, given = getattr(model, method)(others), getattr(loaded, method)(others)
            assert (given.shape, given.dtype) == (expected.shape, expected.dtype), method
            if expected.dtype.kind == "i":
                assert (given == expected).mean() > (0.97 if name == "centres" else 0.999)
            else:
                np.testing.assert_allclose(given, expected, rtol=1e-9, atol=1e-12, err_msg=method)


def test_the_command_writes_distances_and_neighbours(toolkit: Toolkit, tmp_path: Path) -> None:
    X, _, others = rows_of("search")
    model: Any = MODELS["search"].fit(X)
    convert(model, tmp_path / "m.rknn", example_input=X, toolkit=toolkit)
    np.savetxt(tmp_path / "x.csv", others[:5], delimiter=",")
    files = [str(tmp_path / name) for name in ("m.rknn", "x.csv")]
    assert main(["predict", *files, str(tmp_path / "y.csv"), "--device", "virtual"]) == 0
    header, *lines = (tmp_path / "y.csv").read_text().splitlines()
    assert header == "distance_0,distance_1,neighbour_0,neighbour_1"
    expected = np.hstack(model[-1].kneighbors(model[:-1].transform(others[:5])))
    np.testing.assert_allclose([list(map(float, line.split(","))) for line in lines], expected, rtol=1e-9)

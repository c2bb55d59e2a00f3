"""Pipelines of imbalanced-learn: samplers act in fit only, and files of them need no imbalanced-learn."""

from __future__ import annotations

import pickle
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from sklearn2rknn import ModelFileError, UnsupportedModelError, network_from_estimator
from sklearn2rknn.estimators.model_file import load_model
from sklearn2rknn.model_files.model_names import SAMPLERS
from tests.converter.estimators.families.emulation import Emulated, assert_exact

imblearn_pipeline = pytest.importorskip(
    "imblearn.pipeline", reason="needs imbalanced-learn, for its Pipeline and samplers"
)

X = np.random.default_rng(0).normal(size=(90, 3))
Y = np.r_[np.zeros(60, int), np.ones(30, int)]
X[Y == 1] += 1.0


def fitted(*samplers: Any) -> Any:
    """Return a fitted pipeline with samplers between a scaler and a model."""
    steps = [("scale", StandardScaler()), *((f"sampler{i}", each) for i, each in enumerate(samplers))]
    return imblearn_pipeline.Pipeline([*steps, ("model", LogisticRegression())]).fit(X, Y)


def samplers() -> list[Any]:
    over, under = (import_module(f"imblearn.{name}_sampling") for name in ("over", "under"))
    seeded = [over.SMOTE(random_state=0), over.RandomOverSampler(random_state=1)]
    return [*seeded, under.NearMiss(), under.TomekLinks()]


def test_samplers_do_nothing_at_predict() -> None:
    model = fitted(*samplers())
    emulated = Emulated.convert(model, X)
    assert_exact(emulated, X)
    assert len(emulated.source.layers) == 1


def test_a_search_and_a_pipeline_within_are_read_alike() -> None:
    inner = imblearn_pipeline.Pipeline([("scale", StandardScaler()), ("products", PolynomialFeatures(2))])
    table = ColumnTransformer([("a", inner, [0, 2])], remainder="passthrough")
    steps = [("table", table), ("sampler", samplers()[0]), ("model", LogisticRegression())]
    search = GridSearchCV(imblearn_pipeline.Pipeline(steps), {"model__C": [0.1, 1.0]}, cv=2).fit(X, Y)
    network = network_from_estimator(search)
    expected = search.decision_function(X)
    np.testing.assert_allclose(network.forward(X)[:, 0], expected, rtol=1e-9, atol=1e-9)


def test_a_subclass_of_its_pipeline_is_refused() -> None:
    model = fitted()
    model.__class__ = type("Own", (imblearn_pipeline.Pipeline,), {})
    with pytest.raises(UnsupportedModelError, match="Give a Pipeline of scikit-learn itself"):
        network_from_estimator(model)


@pytest.mark.parametrize("suffix", [".pkl", ".skops"])
def test_a_file_becomes_a_pipeline_without_samplers(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, path = fitted(*samplers()), tmp_path / f"model{suffix}"
    if suffix == ".skops":
        skops.io.dump(model, path)
    else:
        path.write_bytes(pickle.dumps(model))
    digest = network_from_estimator(model).weights_digest()
    monkeypatch.setitem(sys.modules, "imblearn", None)  # as where it is not installed
    monkeypatch.delitem(sys.modules, "imblearn.pipeline")
    loaded = load_model(path)
    assert type(loaded) is Pipeline
    assert [name for name, step in loaded.steps if step == "passthrough"] == [f"sampler{i}" for i in range(4)]
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert network_from_estimator(loaded).weights_digest() == digest


def test_a_sampler_alone_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(samplers()[1].fit(X, Y)))
    with pytest.raises(ModelFileError, match="RandomOverSampler"):
        load_model(path)


def test_every_sampler_of_the_installed_version_may_be_in_a_file() -> None:
    listed = import_module("imblearn.utils.testing").all_estimators()
    kinds = [kind for _, kind in listed if hasattr(kind, "fit_resample")]
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds}
    assert names - {"imblearn.pipeline.Pipeline"} <= SAMPLERS

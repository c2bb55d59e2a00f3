"""Model families and transformers register themselves, those of other distributions too."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

import scirknn
from sklearn2rknn import Layer, Network, Toolkit, UnsupportedModelError, convert, network_from_estimator
from sklearn2rknn.estimators.registry import ESTIMATORS
from sklearn2rknn.estimators.registry import reads as reads_estimator
from sklearn2rknn.registry import Registry
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.registry import TRANSFORMERS
from sklearn2rknn.transformers.registry import reads as reads_transformer

Rows = npt.NDArray[np.float64]
X = np.random.default_rng(0).standard_normal((200, 3))
Y = np.arange(200) % 2


class NearestMean(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    """The class whose mean is nearest, by a linear function of a row."""

    def fit(self, X: Rows, y: npt.NDArray[Any]) -> NearestMean:
        self.classes_, self.n_features_in_ = np.unique(y), X.shape[1]
        means = np.stack([X[y == label].mean(axis=0) for label in self.classes_])
        self.coef_, self.intercept_ = 2 * means.T, -(means**2).sum(axis=1)
        return self

    def predict(self, X: Rows) -> npt.NDArray[Any]:
        return np.asarray(self.classes_[(X @ self.coef_ + self.intercept_).argmax(axis=1)])


class Doubler(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    """Twice each feature."""

    def fit(self, X: Rows, y: Any = None) -> Doubler:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: Rows) -> Rows:
        return 2 * X


def read_nearest_mean(estimator: Any, name: str) -> Network:
    return Network(
        estimator=name,
        task="classifier",
        head="softmax",
        layers=(Layer(estimator.coef_, estimator.intercept_, "identity"),),
        classes=estimator.classes_,
        feature_names=None,
        single_output=False,
        dtype="float64",
    )


def read_doubler(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    return table.map(0.0, 2.0)


@pytest.fixture(autouse=True)
def unchanged_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave to the other tests what was registered before."""
    for registry in (ESTIMATORS, TRANSFORMERS):
        assert registry.names()  # all entries are there
        monkeypatch.setattr(registry, "_readers", dict(registry._readers))


def test_a_model_family_is_one_reader(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator = NearestMean().fit(X + Y[:, None], Y)
    with pytest.raises(
        UnsupportedModelError, match="NearestMean cannot be converted; `sklearn2rknn supported` lists"
    ):
        network_from_estimator(estimator)
    reads_estimator(NearestMean)(read_nearest_mean)
    path = tmp_path / "model.rknn"
    convert(estimator, path, example_input=X, toolkit=toolkit)
    with scirknn.load(path, device="virtual") as model:
        assert np.mean(model.predict(X) == estimator.predict(X)) > 0.98


def test_a_transformer_is_one_reader() -> None:
    pipeline = make_pipeline(Doubler(), MLPClassifier((4,), max_iter=2, random_state=0)).fit(X, Y)
    with pytest.raises(UnsupportedModelError, match=r"step 'doubler' \(Doubler\) cannot be converted"):
        network_from_estimator(pipeline)
    reads_transformer(Doubler)(read_doubler)
    network = network_from_estimator(pipeline)
    assert network.input is not None
    np.testing.assert_array_equal(network.input.scale, [2.0, 2.0, 2.0])


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("their_readers")
    monkeypatch.setitem(sys.modules, "their_readers", module)
    return module


def test_entry_points_of_both_groups_register_readers(
    monkeypatch: pytest.MonkeyPatch, plugin: types.ModuleType
) -> None:
    plugin.__dict__["register_families"] = lambda: reads_estimator(NearestMean)(read_nearest_mean)
    plugin.__dict__["register_steps"] = lambda: reads_transformer(Doubler)(read_doubler)
    points = {
        "sklearn2rknn.estimators": EntryPoint(
            "theirs", "their_readers:register_families", "sklearn2rknn.estimators"
        ),
        "sklearn2rknn.transformers": EntryPoint(
            "theirs", "their_readers:register_steps", "sklearn2rknn.transformers"
        ),
    }
    monkeypatch.setattr("sklearn2rknn.registry.entry_points", lambda group: [points[group]])
    for registry in (ESTIMATORS, TRANSFORMERS):
        monkeypatch.setattr(registry, "_is_complete", False)
    pipeline = make_pipeline(Doubler(), NearestMean()).fit(X + Y[:, None], Y)
    network = network_from_estimator(pipeline)
    np.testing.assert_array_equal(network.predict(network.forward(X)), pipeline.predict(X))


def test_an_entry_point_may_be_a_module_that_registers_on_import(
    monkeypatch: pytest.MonkeyPatch, plugin: types.ModuleType
) -> None:
    registry: Registry[Any] = Registry("sklearn2rknn.estimators.families", "theirs")
    monkeypatch.setattr(
        "sklearn2rknn.registry.entry_points", lambda group: [EntryPoint("m", "their_readers", group)]
    )
    assert registry.find(int) is None


def test_of_two_readers_of_a_class_the_last_one_counts() -> None:
    reads_estimator(MLPClassifier)(read_nearest_mean)
    assert ESTIMATORS.find(MLPClassifier) is read_nearest_mean

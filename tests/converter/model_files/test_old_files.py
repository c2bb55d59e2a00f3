"""Files that older versions of scikit-learn wrote: read exactly, or refused with the version."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, OneHotEncoder, RobustScaler, StandardScaler

from sklearn2rknn import UnsupportedModelError, network_from_estimator
from sklearn2rknn.estimators.model_file import load_model
from tests.converter.fitted_pipelines import perceptron, quietly_fitted

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = {"sklearn_0.20_mlp": "0.20.4", "sklearn_0.22_pipeline": "0.22.2", "sklearn_1.2_search": "1.2.2"}
LABELS = np.repeat([0, 1, 2], 50)
LABELS[83], LABELS[133] = 2, 1
"""What those versions predicted for the iris data."""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("name", VERSIONS)
def test_file_of_an_old_version_predicts_what_that_version_did(name: str, trust: bool) -> None:
    X, _ = load_iris(return_X_y=True)
    estimator = load_model(FIXTURES / f"{name}.pkl", trust_pickle=trust)
    network = network_from_estimator(estimator)
    np.testing.assert_array_equal(estimator.predict(X), LABELS)
    np.testing.assert_array_equal(network.predict(network.forward(X)), LABELS)


@pytest.mark.parametrize("name", VERSIONS)
def test_version_that_wrote_a_file_is_warned_of(name: str) -> None:
    with pytest.warns(InconsistentVersionWarning, match=f"from version {VERSIONS[name]}"):
        load_model(FIXTURES / f"{name}.pkl")


WRITTEN_BY = ("0.20", "0.22", "0.24", "1.0", "1.2", "1.4")
KINDS = ("classifier", "regressor", "pipeline", "search", "columns")
REFUSED = {("0.20", "columns"), ("0.22", "columns"), ("0.24", "columns")}
"""`ColumnTransformer` recorded too little then for the installed scikit-learn to predict with it."""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", WRITTEN_BY)
def test_file_that_a_version_wrote_gives_what_it_predicted(version: str, kind: str) -> None:
    path = FIXTURES / version / f"{kind}.pkl"
    expected = json.loads((FIXTURES / version / "expected.json").read_text())[kind]
    if (version, kind) in REFUSED:
        with pytest.raises(UnsupportedModelError, match=rf"ColumnTransformer .* scikit-learn {version}"):
            load_model(path)
        return
    estimator, rows = load_model(path), np.array(expected["rows"])
    found = getattr(estimator, expected["method"])(rows)
    np.testing.assert_allclose(found, expected["values"], rtol=0, atol=1e-12)
    network = network_from_estimator(estimator)
    answers = network.predict(network.forward(rows)).squeeze()
    if network.classes is None:
        np.testing.assert_allclose(answers, expected["values"], rtol=0, atol=1e-12)
    else:
        np.testing.assert_array_equal(answers, np.argmax(expected["values"], axis=1))


def _stripped(
    path: Path, step: Any, missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> tuple[Any, Any, Any]:
    """Write a pipeline as a version did that had not the attributes `missing` in a step yet."""
    X = np.random.default_rng(0).integers(0, 4, (60, 4)).astype(float)
    estimator = make_pipeline(step, perceptron("classifier", "relu", 0))
    quietly_fitted(estimator, X, np.arange(60) % 2)
    right = estimator.predict_proba(X)
    for key in missing:
        delattr(estimator[0], key)
    monkeypatch.setattr("sklearn.base.__version__", "0.23.2")
    path.write_bytes(pickle.dumps(estimator))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InconsistentVersionWarning)
        return load_model(path), X, right


@pytest.mark.parametrize(
    ("step", "missing"),
    [
        (StandardScaler(), ("n_features_in_",)),
        (StandardScaler(with_mean=False), ("n_features_in_",)),
        (MinMaxScaler(), ("n_features_in_", "clip")),
        (MaxAbsScaler(), ("n_features_in_", "clip")),
        (RobustScaler(), ("n_features_in_", "unit_variance")),
        (PCA(2), ("n_features_in_", "n_oversamples", "power_iteration_normalizer")),
        (TruncatedSVD(2), ("n_features_in_", "n_oversamples", "power_iteration_normalizer")),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_step_without_later_attributes_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Any, missing: tuple[str, ...]
) -> None:
    loaded, X, right = _stripped(tmp_path / "model.pkl", step, missing, monkeypatch)
    assert network_from_estimator(loaded).n_features_in == 4
    np.testing.assert_allclose(loaded.predict_proba(X), right, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("step", "missing"),
    [
        (ColumnTransformer([("a", StandardScaler(), [0, 1])]), "_transformer_to_input_indices"),
        (OneHotEncoder(), "_drop_idx_after_grouping"),
        (SimpleImputer(), "_fill_dtype"),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_step_that_no_longer_predicts_is_refused_with_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: Any, missing: str
) -> None:
    text = rf"{type(step).__name__} was written by scikit-learn 0\.23\.2 and lacks {missing}.*Fit it again"
    with pytest.raises(UnsupportedModelError, match=text):
        _stripped(tmp_path / "model.pkl", step, (missing,), monkeypatch)


def test_passthrough_as_text_is_read(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(60, 4))
    step = ColumnTransformer([("a", StandardScaler(), [0, 1])], remainder="passthrough")
    estimator = make_pipeline(step, perceptron("classifier", "relu", 0))
    quietly_fitted(estimator, X, np.arange(60) % 2)
    right = estimator.predict_proba(X)
    name, _, columns = step.transformers_[1]
    step.transformers_[1] = (name, "passthrough", columns)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(estimator))
    loaded = load_model(path)
    np.testing.assert_allclose(loaded.predict_proba(X), right, rtol=0, atol=1e-12)
    assert network_from_estimator(loaded).n_features_in == 4

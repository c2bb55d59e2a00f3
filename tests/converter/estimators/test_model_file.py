"""Model files: what is read, and that a hostile one does nothing."""

from __future__ import annotations

import bz2
import os
import pickle
import re
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
import skops.io
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import (
    RFE,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
    f_regression,
    mutual_info_classif,
)
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import Lasso, LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
)
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from sklearn2rknn import ModelFileError, UntrustedModelError, network_from_estimator
from sklearn2rknn.estimators.model_file import load_model
from tests.converter.fitted import KINDS, LABELS, fit
from tests.converter.fitted_pipelines import mixed_table, perceptron, quietly_fitted, target


def same(loaded: Any, estimator: Any) -> bool:
    first, second = network_from_estimator(loaded), network_from_estimator(estimator)
    return (
        first.weights_digest() == second.weights_digest()
        and first.task == second.task
        and np.array_equal(np.asarray(first.classes), np.asarray(second.classes))
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(tmp_path: Path, kind: str, protocol: int) -> None:
    estimator, _ = fit(kind, labels=LABELS[protocol % len(LABELS)])
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(estimator, protocol))
    assert same(load_model(path), estimator)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)], ids=str)
@pytest.mark.parametrize("labels", LABELS[:2], ids=["text", "objects"])
def test_joblib_files_are_read(tmp_path: Path, compress: Any, labels: Any) -> None:
    estimator, _ = fit("softmax", labels=labels)
    path = tmp_path / "model.joblib"
    joblib.dump(estimator, path, compress=compress)
    assert same(load_model(path), estimator)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("seed", [None, 0, np.random.RandomState(0)], ids=["none", "number", "generator"])
@pytest.mark.parametrize("suffix", [".pkl", ".skops"])
def test_every_solver_and_seed_is_read(tmp_path: Path, solver: str, seed: Any, suffix: str) -> None:
    estimator, X = fit("binary")
    estimator.set_params(solver=solver, random_state=seed, early_stopping=solver != "lbfgs")
    estimator.fit(X, LABELS[0][np.arange(40) % 2])
    path = tmp_path / ("model" + suffix)
    if suffix == ".skops":
        skops.io.dump(estimator, path)
    else:
        path.write_bytes(pickle.dumps(estimator))
    assert same(load_model(path), estimator)


def _pipelines() -> dict[str, Any]:
    """Return pipelines of every admitted class, unfitted, for two classes and four columns of numbers."""
    scalers = (StandardScaler(), MinMaxScaler(), MaxAbsScaler(), RobustScaler())
    columns = ColumnTransformer(
        [
            ("a", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), slice(0, 1)),
            ("b", OneHotEncoder(handle_unknown="ignore", sparse_output=False), [1]),
            ("c", make_pipeline(SimpleImputer(add_indicator=True), "passthrough"), [2]),
            ("d", "drop", [3]),
        ]
    )
    union = FeatureUnion([("a", PCA(2)), ("b", TruncatedSVD(2)), ("c", FunctionTransformer()), ("d", "drop")])
    selectors = (
        VarianceThreshold(), SelectKBest(k=2), SelectPercentile(mutual_info_classif, percentile=50),
        GenericUnivariateSelect(f_regression), SelectFpr(alpha=1.0), SelectFdr(alpha=1.0),
        SelectFwe(alpha=1.0),
        SelectFromModel(Lasso(alpha=1e-3), threshold=-np.inf), RFE(LogisticRegression()),
        SequentialFeatureSelector(LogisticRegression(), n_features_to_select=2, cv=2),
    )  # fmt: skip
    grid = {"alpha": [1e-4, 1e-2]}
    mlp = perceptron("classifier", "relu", 0)
    found = {
        f"{type(each).__name__}": make_pipeline(each, mlp) for each in (*scalers, columns, union, *selectors)
    }
    front = make_pipeline(
        MinMaxScaler((1, 2), clip=True), PolynomialFeatures(2, include_bias=False), SplineTransformer(3)
    )
    found["products and splines"] = make_pipeline(front, mlp)
    found["quantiles and powers"] = make_pipeline(
        QuantileTransformer(n_quantiles=10, random_state=0), PowerTransformer(), Normalizer(), mlp
    )
    found["bins"] = make_pipeline(
        FunctionTransformer(np.expm1, inverse_func=np.log1p), KBinsDiscretizer(3), mlp
    )
    found["nearest fill"] = make_pipeline(KNNImputer(), mlp)
    found["binary"] = make_pipeline(Binarizer(), AdditiveChi2Sampler(), mlp)
    found["Regressor of logarithms"] = TransformedTargetRegressor(
        perceptron("one output", "relu", 0), func=np.arcsinh, inverse_func=np.sinh
    )
    found["remainder"] = make_pipeline(
        ColumnTransformer([("a", StandardScaler(), [0])], remainder="passthrough"), mlp
    )
    found["GridSearchCV"] = GridSearchCV(mlp, grid, cv=2, scoring="accuracy")
    found["RandomizedSearchCV"] = RandomizedSearchCV(mlp, grid, n_iter=1, cv=StratifiedKFold(2))
    found["HalvingGridSearchCV"] = HalvingGridSearchCV(mlp, grid, cv=2)
    found["HalvingRandomSearchCV"] = HalvingRandomSearchCV(mlp, grid, cv=2)
    found["TransformedTargetRegressor"] = TransformedTargetRegressor(
        perceptron("one output", "relu", 0), transformer=StandardScaler()
    )
    return found


PIPELINES = _pipelines()


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("suffix", [".pkl", ".joblib", ".skops"])
def test_pipelines_are_read(tmp_path: Path, name: str, suffix: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), np.arange(40) % 2
    estimator = quietly_fitted(clone(PIPELINES[name]), X, X[:, 0] if "Regressor" in name else y)
    path = tmp_path / ("model" + suffix)
    if suffix == ".skops":
        skops.io.dump(estimator, path)
    elif suffix == ".joblib":
        joblib.dump(estimator, path, compress=3)
    else:
        path.write_bytes(pickle.dumps(estimator, 2))
    loaded = load_model(path)
    assert same(loaded, estimator)
    network = network_from_estimator(loaded)
    np.testing.assert_array_equal(network.forward(X), network_from_estimator(estimator).forward(X))


@pytest.mark.parametrize("suffix", [".pkl", ".skops"])
def test_encoders_of_mixed_tables_are_read(tmp_path: Path, suffix: str) -> None:
    X = mixed_table(0)
    encoders = ColumnTransformer(
        [
            (
                "text",
                make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(drop="first")),
                [1],
            ),
            ("rest", OrdinalEncoder(max_categories=2), [2, 4]),
            ("targets", TargetEncoder(), [4]),
        ]
    )
    estimator = quietly_fitted(
        make_pipeline(encoders, perceptron("classifier", "relu", 0)),
        X,
        target("classifier", np.random.default_rng(0), len(X)),
    )
    path = tmp_path / ("model" + suffix)
    if suffix == ".skops":
        skops.io.dump(estimator, path)
    else:
        path.write_bytes(pickle.dumps(estimator))
    assert network_from_estimator(load_model(path)).columns == network_from_estimator(estimator).columns


def test_distributions_of_a_search_are_refused_since_they_run_code(tmp_path: Path) -> None:
    search = RandomizedSearchCV(
        perceptron("classifier", "relu", 0), {"alpha": loguniform(1e-4, 1)}, n_iter=1, cv=2
    )
    quietly_fitted(search, np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2)
    path = tmp_path / "search.pkl"
    path.write_bytes(pickle.dumps(search))
    with pytest.raises(UntrustedModelError, match=r"scipy\.stats.*its best_estimator_ alone"):
        load_model(path)
    path.write_bytes(pickle.dumps(search.best_estimator_))
    assert same(load_model(path), search)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.open, (str(self.path), os.O_CREAT)


def hostile(path: Path, trace: Path, how: str) -> None:
    bomb: Any = Touch(trace)
    if how == "inside an estimator":
        estimator, _ = fit("softmax")
        estimator.coefs_ = bomb
        bomb = estimator
    if how == "in an array of objects":
        joblib.dump(np.array([bomb, None], dtype=object), path)
    elif how == "compressed":
        joblib.dump(bomb, path, compress=3)
    else:
        path.write_bytes(pickle.dumps(bomb))


@pytest.mark.parametrize("how", ["plain", "inside an estimator", "in an array of objects", "compressed"])
def test_hostile_pickle_does_nothing(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "model.pkl", tmp_path / "trace"
    hostile(path, trace, how)
    with pytest.raises(UntrustedModelError, match=r"posix\.open.*--trust-pickle") as caught:
        load_model(path)
    assert caught.value.name == "posix.open"
    assert not trace.exists()
    load_model(path, trust_pickle=True)
    assert trace.exists()  # the file would have done it: the gate kept it, not luck


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy\ncore.multiarray.fromfile\n.",
        b"csklearn.neural_network._multilayer_perceptron\nMLPClassifier.fit\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
    ],
)
def test_names_outside_the_list_are_refused(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(program)
    with pytest.raises(UntrustedModelError):
        load_model(path)


def test_skops_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(Touch(tmp_path / "trace"), path)
    with pytest.raises(UntrustedModelError, match="Touch"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".pkl", ".joblib", ".skops"])
@pytest.mark.parametrize(
    "content", [b"", b"junk", b"\x80\x05", b"\x1f\x8bjunk", b"x\x9cjunk", b"BZhjunk", b"PK\3\4"]
)
def test_damaged_files_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / ("model" + suffix)
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="model" + suffix):
        load_model(path)


def test_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = pickle.dumps(fit("softmax")[0])
    path = tmp_path / "model.pkl"
    for length in range(0, len(data) - 1, max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            load_model(path)


@pytest.mark.parametrize("suffix", [".pkl", ".joblib", ".skops"])
@pytest.mark.parametrize("kind", [dict, list, tuple])
def test_container_is_refused_with_what_is_inside(tmp_path: Path, kind: Any, suffix: str) -> None:
    parts = {"scaler": StandardScaler(), "model": fit("softmax")[0]}
    content = parts if kind is dict else kind(parts.values())
    path = tmp_path / f"model{suffix}"
    if suffix == ".skops":
        skops.io.dump(content, path)
    else:
        joblib.dump(content, path)
    name = "content['model']" if kind is dict else "content[1]"
    escaped = re.escape(name)
    text = rf"holds a {kind.__name__} of .*StandardScaler.*{escaped} \(MLPClassifier\).*dump\({escaped}"
    with pytest.raises(ModelFileError, match=text):
        load_model(path)


def test_scoring_function_of_ones_own_is_read_as_a_name(tmp_path: Path) -> None:
    search = GridSearchCV(
        perceptron("classifier", "relu", 0), {"alpha": [1e-4]}, cv=2, scoring=make_scorer(_score)
    )
    quietly_fitted(search, np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2)
    path = tmp_path / "search.pkl"
    path.write_bytes(pickle.dumps(search))
    assert same(load_model(path), search)


def _score(y: Any, predicted: Any) -> float:
    return float((y == predicted).mean())


def test_masked_and_memory_mapped_arrays_are_read(tmp_path: Path) -> None:
    estimator, X = fit("softmax")
    mapped = np.memmap(tmp_path / "weights", dtype=np.float64, shape=estimator.coefs_[0].shape, mode="w+")
    mapped[:] = estimator.coefs_[0]
    estimator.coefs_[0] = mapped
    path = tmp_path / "model.joblib"
    joblib.dump(estimator, path)
    loaded = load_model(path)
    assert type(loaded.coefs_[0]) is np.ndarray
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))


def test_compressed_file_larger_than_it_may_become_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn2rknn.estimators.model_file._SMALL", 1 << 20)
    path = tmp_path / "model.joblib"
    path.write_bytes(bz2.compress(b" " * (8 << 20), 9))
    with pytest.raises(ModelFileError, match="larger than 1 MiB"):
        load_model(path)

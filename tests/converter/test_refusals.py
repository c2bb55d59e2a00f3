"""Every kind of bad input, in one table: which error it is, and what its first line says."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.compose import TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.isotonic import IsotonicRegression
from sklearn.manifold import Isomap
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn2rknn import (
    ConversionOptions,
    ExampleInputError,
    ModelFileError,
    NotFittedError,
    OptionError,
    RangeError,
    Sklearn2RknnError,
    UnsupportedModelError,
    UntrustedModelError,
    convert,
)
from sklearn2rknn.estimators.model_file import load_model
from tests.converter.fitted import fit

Case = tuple[str, Callable[[Path], Any], type[Sklearn2RknnError], str]

ESTIMATOR, X = fit("softmax")
NAMED, _ = fit("softmax")
NAMED.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)


class Frame:
    """What looks like a DataFrame of three columns."""

    def __init__(self, *columns: str) -> None:
        self.columns = columns

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return X.astype(dtype or np.float64)


def model(what: str, estimator: Any, error: type[Sklearn2RknnError], said: str) -> Case:
    return what, lambda folder: convert(estimator, folder / "model.rknn"), error, said


def option(said: str, *, error: type[Sklearn2RknnError] = OptionError, **options: Any) -> Case:
    what = ", ".join(f"{name}={value!r:.30}" for name, value in options.items())

    def run(folder: Path) -> Any:
        path = folder / options.pop("path", "model.rknn")
        asked = {
            field.name: options.pop(field.name)
            for field in fields(ConversionOptions)
            if field.name in options
        }
        return convert(ESTIMATOR, path, options=ConversionOptions(**asked), **options)

    return what, run, error, said


def example(what: str, rows: Any, said: str) -> Case:
    def run(folder: Path) -> Any:
        return convert(NAMED, folder / "model.rknn", example_input=rows)

    return what, run, ExampleInputError, said


def file(
    name: str, content: bytes | None, said: str, error: type[Sklearn2RknnError] = ModelFileError
) -> Case:
    def run(folder: Path) -> Any:
        if content is not None:
            (folder / name).write_bytes(content)
        try:
            return load_model(folder / name)
        finally:
            (folder / name).unlink(missing_ok=True)

    return f"{name} {content!r:.30}", run, error, said


def changed(**attributes: Any) -> Any:
    estimator, _ = fit("softmax")
    for name, value in attributes.items():
        setattr(estimator, name, value)
    return estimator


def sized(activation: str, *factors: float) -> Any:
    """Return a perceptron whose layers have weights that many times as large."""
    estimator, _ = fit("softmax", activation=activation)
    for weights, factor in zip(estimator.coefs_, factors, strict=True):
        weights *= factor
    estimator.intercepts_[0][:] = 0.0
    return estimator


def with_value(row: int, column: int, value: float) -> Any:
    rows = X.copy()
    rows[row, column] = value
    return rows


def fitted(*steps: Any) -> Any:
    return make_pipeline(*steps, MLPClassifier((3,), max_iter=1)).fit(X, np.arange(len(X)) % 2)


def retargeted(**parts: Any) -> Any:
    parts = {"regressor": MLPRegressor(hidden_layer_sizes=(3,), max_iter=1), **parts}
    return TransformedTargetRegressor(**parts).fit(X, np.arange(1.0, len(X) + 1))


Unsupported = UnsupportedModelError
COEFS = [np.zeros((3, 5)), np.zeros((5, 3))]

MODELS = [
    model("no estimator", None, Unsupported, "NoneType cannot be converted"),
    model("a path", "iris.pkl", Unsupported, "The model is the path 'iris.pkl'. Give the estimator"),
    model("a class", MLPRegressor, Unsupported, "the class MLPRegressor, not an instance"),
    model(
        "another estimator",
        IsotonicRegression(),
        Unsupported,
        "IsotonicRegression cannot be converted: it interpolates",
    ),
    model("not fitted", MLPClassifier(), NotFittedError, "has no weights. Call fit(X, y)"),
    model(
        "pipeline not fitted", make_pipeline(StandardScaler(), MLPClassifier()), NotFittedError, "Call fit"
    ),
    model("search not fitted", GridSearchCV(MLPClassifier(), {}), NotFittedError, "Call fit"),
    model("a NaN weight", sized("relu", 1.0, np.nan), Unsupported, "coefs_[1] holds 15 NaN or inf"),
    model("an infinite weight", sized("relu", np.inf, 1.0), Unsupported, "training diverged"),
    model(
        "an activation",
        changed(activation="gelu"),
        Unsupported,
        "activation 'gelu'; identity, logistic, tanh, relu",
    ),
    model("an output activation", changed(out_activation_="swish"), Unsupported, "activation 'swish'"),
    model("complex labels", changed(classes_=np.array([1j, 2j])), Unsupported, "complex128"),
    model("a NaN label", changed(classes_=np.array([0.0, np.nan, 1.0])), Unsupported, "holds NaN"),
    model("sparse weights", changed(coefs_=[scipy.sparse.eye(3, 5)] * 2), Unsupported, "toarray()"),
    model("integer weights", changed(coefs_=[np.zeros((3, 5), int)] * 2), Unsupported, "of int64"),
    model("layers apart", changed(coefs_=[COEFS[0], np.zeros((4, 3))]), Unsupported, "has 4 rows"),
    model("bias apart", changed(coefs_=[np.zeros((3, 4)), np.zeros((4, 3))]), Unsupported, "4 columns"),
    model("a step", fitted(Isomap(n_neighbors=3)), Unsupported, "(Isomap) cannot be conv"),
    model("a function", fitted(FunctionTransformer(np.round)), Unsupported, "func=round: of functions"),
    model(
        "a target",
        retargeted(func=np.deg2rad, inverse_func=np.rad2deg),
        Unsupported,
        "inverse_func=rad2deg: of functions those of numpy can be converted",
    ),
    model("a mixed target", retargeted(transformer=PCA(1)), Unsupported, "(PCA) is not affine"),
    model(
        "weights too large",
        sized("tanh", 1e7, 1.0),
        RangeError,
        "The weights of layer 1 of 2 (refined) reach",
    ),
    model(
        "weights too small",
        sized("tanh", 1e-9, 1e9),
        RangeError,
        "float16 has fewer than 11 bits below 6.1e-05",
    ),
]

OPTIONS = [
    option("target_platform is 'rk9'; it can be", target_platform="rk9"),
    option("target_platform is None", target_platform=None),
    option("target_platform is array([[", target_platform=X),
    option("rv1106 computes in integers only", target_platform="rv1106"),
    option("it can be float16, int8, int16 or best", precision="int4"),
    option("contradict each other", quantization=True, precision="float16"),
    option("int8 needs example_input", quantization=True, error=ExampleInputError),
    option("int16 needs example_input", precision="int16", error=ExampleInputError),
    option("it can be 1 to 2047", batch_size=0),
    option("it can be 1 to 2047", batch_size=2048),
    option("batch_size holds 33 sizes; a bundle has at most 32", batch_size=tuple(range(1, 34))),
    option("it takes integers", batch_size=2.5),
    option("it takes integers", batch_size=True),
    option("it takes integers", batch_size="8"),
    option("several different ones", batch_size=[]),
    option("several different ones", batch_size=[4, 4]),
    option("2.3.2", toolkit="9.9.9"),
    option("@container or @venv", toolkit="2.3.2@moon"),
    option("normal, mmse, kl_divergence", quantized_algorithm="best"),
    option("channel, layer", quantized_method="row"),
    option("on, warn, off", check="maybe"),
    option("allow_cpu is 'no'", allow_cpu="no"),
    option("timeout is 0", timeout=0),
    option("auto, single, double", accuracy="triple"),
    option("accuracy='double' is for float16", accuracy="double", precision="int8", example_input=X),
    option("refined, plain", activation="fast"),
    option("min_r2 is 1.5", min_r2=1.5),
    option("min_labels is nan", min_labels=float("nan")),
    option("a model file's name ends in .rknn", path="model.bin"),
    option("There is no folder", path="missing/model.rknn"),
    option("is a folder. Give the path of a file", path="folder.rknn"),
]

EXAMPLES = [
    example("a NaN", with_value(2, 1, np.nan), "1 NaN or infinite values, the first at row 2, column 1"),
    example("an infinity", with_value(3, 0, np.inf), "the first at row 3, column 0"),
    example("no rows", X[:0], "has no rows. Give some hundred"),
    example("a column too few", X[:, :2], "has 2 columns; the model was fitted on 3 features"),
    example("one row, flat", X[0], "has 1 dimension, shape (3,)"),
    example("three dimensions", X[None], "has 3 dimensions"),
    example("a number", 5.0, "has 0 dimensions"),
    example("text", [["a", "b", "c"]], "is not a table of numbers"),
    example("text among numbers", np.array([["a", 1, 2]], dtype=object), "is not a table of numbers"),
    example("ragged rows", [[1.0, 2.0, 3.0], [1.0]], "is not a table of numbers"),
    example("complex numbers", X.astype(complex), "complex128"),
    example("a sparse matrix", scipy.sparse.csr_matrix(X), "Give a dense sample of it: X[:100].toarray()"),
    example("columns in another order", Frame("b", "a", "c"), "model's columns in another order"),
    example(
        "other columns", Frame("x", "b", "c"), "has the columns x, b, c; the model was fitted on a, b, c"
    ),
]

PICKLED = pickle.dumps(ESTIMATOR)

FILES = [
    file("none.pkl", None, "no file"),
    file("model.onnx", b"x", "ends in .onnx"),
    file("model", b"x", "nothing"),
    file("empty.pkl", b"", "empty.pkl"),
    file("junk.joblib", b"junk", "junk.joblib"),
    file("junk.skops", b"PK\3\4", "junk.skops"),
    file("cut.pkl", PICKLED[: len(PICKLED) // 2], "cut.pkl"),
    file("hostile.pkl", b"cos\nsystem\n(S'true'\ntR.", "os.system", UntrustedModelError),
    file("hostile.joblib", b"cbuiltins\neval\n(S'1'\ntR.", "builtins.eval", UntrustedModelError),
]

CASES = MODELS + OPTIONS + EXAMPLES + FILES


@pytest.mark.parametrize(
    ("run", "error", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_bad_input_is_named_before_anything_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[Path], Any],
    error: type[Sklearn2RknnError],
    said: str,
) -> None:
    monkeypatch.setenv("SKLEARN2RKNN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "folder.rknn").mkdir()
    with pytest.raises(error) as caught:
        run(tmp_path)
    assert type(caught.value) is error
    assert said in str(caught.value).splitlines()[0]
    assert [each.name for each in tmp_path.iterdir()] == ["folder.rknn"]


def test_at_least_forty_kinds_of_bad_input_are_listed() -> None:
    assert len({name for name, *_ in CASES}) == len(CASES) >= 40

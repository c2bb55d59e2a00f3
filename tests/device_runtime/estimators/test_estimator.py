from __future__ import annotations

import pickle
import re
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import scirknn
from scirknn.bundle import Affine
from tests.device_runtime.conftest import FakeLite, MakeBundle

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fitted(kind: str, activation: str = "relu", hidden: tuple[int, ...] = (7,), features: int = 5) -> Any:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(60, features))
    options = {"hidden_layer_sizes": hidden, "activation": activation, "max_iter": 5, "random_state": 0}
    targets: dict[str, Any] = {
        "softmax": np.arange(60) % 3,
        "strings": np.array(["ab", "c", "def"])[np.arange(60) % 3],
        "objects": np.array(["ab", "c", "def"], dtype=object)[np.arange(60) % 3],
        "binary": np.arange(60) % 2,
        "booleans": np.arange(60) % 2 == 0,
        "one class": np.zeros(60),
        "multilabel": rng.integers(0, 2, size=(60, 4)),
        "regressor": X[:, 0] * 2,
        "column": X[:, :1],
        "two outputs": X[:, :2],
        "poisson": rng.poisson(2, size=60),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if kind in ("regressor", "column", "two outputs"):
            return MLPRegressor(**options).fit(X, targets[kind])
        if kind == "poisson":
            return MLPRegressor(loss="poisson", **options).fit(X, targets[kind])
        return MLPClassifier(**options).fit(X, targets[kind])


KINDS = (
    "softmax", "strings", "objects", "binary", "booleans", "one class", "multilabel", "regressor", "column",
    "two outputs", "poisson",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 8, 21])
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_answers_as_scikit_learn_does(kind: str, rows: int, make_bundle: MakeBundle) -> None:
    estimator = fitted(kind)
    X = np.random.default_rng(1).normal(size=(rows, 5))
    with scirknn.load(make_bundle(estimator, samples=(1, 8))) as model:
        assert model.n_features_in_ == 5
        expected, found = estimator.predict(X), model.predict(X)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        if isinstance(estimator, MLPRegressor):
            # float32 carries 24 bits; a handful of sums of order one lose a few of them.
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
            return
        assert isinstance(model, scirknn.MLPClassifier)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(model.classes_, estimator.classes_)
        assert model.classes_.dtype == np.asarray(estimator.classes_).dtype
        for method in ("predict_proba", "predict_log_proba"):
            ours, theirs = getattr(model, method)(X), getattr(estimator, method)(X)
            assert ours.shape == theirs.shape
            assert ours.dtype == theirs.dtype
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 40),
    samples=st.sampled_from([(1,), (4,), (1, 8), (3, 7, 16)]),
    dtype=st.sampled_from(["f8", "f4", "f2", "i8", "u1", "?"]),
    form=st.sampled_from(["C", "F", "list", "strided"]),
)
def test_rows_split_and_typed_anyhow_give_the_same(
    rows: int, samples: tuple[int, ...], dtype: str, form: Any, make_bundle: MakeBundle
) -> None:
    estimator = fitted("two outputs")
    X: Any = np.random.default_rng(rows).integers(0, 5, size=(rows, 5)).astype(dtype)
    expected = estimator.predict(X.astype("f8"))
    if form == "strided":
        X = np.repeat(X, 2, axis=0)[::2]
    else:
        X = X.tolist() if form == "list" else np.asarray(X, order=form)
    with scirknn.MLPRegressor(make_bundle(estimator, samples=samples)) as model:
        # As above: float32 rounding in sums of order ten.
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-4)


def test_the_second_predict_gives_what_the_first_did(make_bundle: MakeBundle) -> None:
    estimator = fitted("softmax")
    X = np.random.default_rng(2).normal(size=(10, 5))
    with scirknn.MLPClassifier(make_bundle(estimator)) as model:
        np.testing.assert_array_equal(model.predict_proba(X), model.predict_proba(X))


def test_host_affines_undo_what_the_converter_folded(make_bundle: MakeBundle) -> None:
    estimator = fitted("two outputs", activation="identity", hidden=())
    offset, scale = np.array([1e5, -3.0, 0.0, 2.0, 1.0]), np.array([1e-3, 1.0, 2.0, 4.0, 0.5])
    X = np.random.default_rng(3).normal(size=(10, 5)) / scale + offset
    expected = estimator.predict(X)
    # y = X W + b = ((X - offset) * scale) (W / scale) + (b + offset W); and output affine (v - 1) * 0.5.
    weights, bias = estimator.coefs_[0], estimator.intercepts_[0]
    estimator.intercepts_[0] = (bias + offset @ weights) * 2 + 1
    estimator.coefs_[0] = weights / scale[:, None] * 2
    path = make_bundle(estimator, input=Affine(offset, scale), output=Affine(np.ones(2), np.full(2, 0.5)))
    with scirknn.load(path) as model:
        # The bias is of order 1e5 in float32: its last bit is 2^-7, halved by the output's scale.
        np.testing.assert_allclose(model.predict(X), expected, atol=2 * 2.0**-7)


@pytest.mark.parametrize("kind", ["softmax", "binary", "multilabel", "regressor", "two outputs"])
def test_score_is_scikit_learns(kind: str, make_bundle: MakeBundle) -> None:
    estimator = fitted(kind)
    rng = np.random.default_rng(4)
    X = rng.normal(size=(30, 5))
    y = estimator.predict(X)
    y = y + rng.normal(size=y.shape) if isinstance(estimator, MLPRegressor) else y[::-1]
    weight = rng.random(30)
    with scirknn.load(make_bundle(estimator)) as model:
        assert model.score(X, y) == pytest.approx(estimator.score(X, y), abs=1e-5)
        assert model.score(X, y, weight) == pytest.approx(estimator.score(X, y, weight), abs=1e-5)
        with pytest.raises(scirknn.InputError, match="inconsistent numbers of samples"):
            model.score(X, y[:3])


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(np.ones((2, 4)), id="narrow"),
        pytest.param(np.ones((2, 6)), id="wide"),
        pytest.param(np.ones(5), id="one dimension"),
        pytest.param(np.float64(1), id="scalar"),
        pytest.param(np.ones((1, 5, 1)), id="three dimensions"),
        pytest.param(np.ones((0, 5)), id="no rows"),
        pytest.param(np.array([[1, 2, np.nan, 4, 5.0]]), id="NaN"),
        pytest.param(np.array([[1, 2, np.inf, 4, 5.0]]), id="infinity"),
        pytest.param(np.array([[1, 2, -np.inf, 4, np.inf]], dtype="f2"), id="both infinities"),
        pytest.param(np.ones((2, 5), dtype=complex), id="complex"),
        pytest.param(np.full((2, 5), "x"), id="strings"),
        pytest.param(["x"] * 5, id="strings of one dimension"),
        pytest.param({"length": 1.0}, id="a dictionary"),
    ],
)
def test_bad_rows_are_refused_in_scikit_learns_words(X: Any, make_bundle: MakeBundle) -> None:
    estimator = fitted("softmax")
    with pytest.raises(ValueError, match=r".") as theirs:
        estimator.predict(X)
    with scirknn.load(make_bundle(estimator)) as model, pytest.raises(scirknn.InputError) as ours:
        model.predict(X)
    assert str(ours.value).splitlines()[0] == str(theirs.value).splitlines()[0]


@pytest.mark.parametrize("kind", ["M8[D]", "m8[s]"])
def test_dates_are_refused(kind: str, make_bundle: MakeBundle) -> None:
    with (
        scirknn.load(make_bundle(fitted("softmax"))) as model,
        pytest.raises(scirknn.InputError, match="Convert dates as before fit"),
    ):
        model.predict(np.zeros((2, 5), kind))


@pytest.mark.parametrize(
    ("make", "error"),
    [(lambda table: table.iloc[0], ValueError), (lambda table: table.rename(columns={"a": 1}), TypeError)],
    ids=["a row as a series", "names and a number"],
)
def test_bad_tables_are_refused_in_scikit_learns_words(
    make: Any, error: type[Exception], make_bundle: MakeBundle
) -> None:
    estimator = fitted("softmax")
    X = make(pytest.importorskip("pandas").DataFrame(np.ones((2, 5)), columns=list("abcde")))
    with pytest.raises(error) as theirs:
        estimator.predict(X)
    with scirknn.load(make_bundle(estimator)) as model, pytest.raises(scirknn.InputError) as ours:
        model.predict(X)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    ("kind", "make", "text"),
    [
        ("softmax", lambda y: np.array(["one"] * len(y)), "Mix of label input types (string and number)"),
        ("strings", lambda y: np.zeros(len(y)), "Mix of label input types (string and number)"),
        ("softmax", lambda y: y + 0.5, "Classification metrics can't handle a mix of continuous and"),
        ("softmax", lambda y: np.where(y, np.nan, 0.0), "Input y_true contains NaN."),
        ("softmax", lambda y: np.where(y, np.inf, 0.0), "Input y_true contains infinity"),
        ("regressor", lambda y: y * np.nan, "Input contains NaN."),
        ("regressor", lambda y: y * np.inf, "Input contains infinity"),
    ],
)
def test_targets_that_no_prediction_can_equal_are_refused_in_score_as_in_scikit_learn(
    kind: str, make: Any, text: str, make_bundle: MakeBundle
) -> None:
    estimator = fitted(kind)
    X = np.random.default_rng(4).normal(size=(30, 5))
    y = make(estimator.predict(X))
    with scirknn.load(make_bundle(estimator)) as model:
        for each in (estimator, model):
            with pytest.raises(ValueError, match="^" + re.escape(text)):
                each.score(X, y)
        with pytest.raises(scirknn.InputError, match="y is None"):
            model.score(X)


def test_a_large_float16_X_is_not_mistaken_for_infinity(make_bundle: MakeBundle) -> None:
    with scirknn.load(make_bundle(fitted("softmax"))) as model:
        model.predict(np.full((4, 5), 60000, dtype="f2"))


def test_what_float32_cannot_hold_is_refused(make_bundle: MakeBundle) -> None:
    with scirknn.load(make_bundle(fitted("softmax"))) as model:
        with pytest.raises(scirknn.InputError, match="too large for dtype"):
            model.predict(np.full((1, 5), 1e300))


class Frame:
    """The little of a DataFrame that matters here."""

    def __init__(self, values: Any, columns: list[str]) -> None:
        self.values, self.columns = values, columns

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.values, dtype=dtype)


def test_feature_names_are_checked_as_in_scikit_learn(make_bundle: MakeBundle) -> None:
    estimator = fitted("softmax", features=3)
    estimator.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)
    X = np.ones((2, 3))
    with scirknn.load(make_bundle(estimator)) as model:
        assert model.feature_names_in_.tolist() == ["a", "b", "c"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.predict(Frame(X, ["a", "b", "c"]))
        with pytest.raises(scirknn.InputError, match="must be in the same order"):
            model.predict(Frame(X, ["b", "a", "c"]))
        with pytest.raises(scirknn.InputError, match=r"unseen at fit time:\n- d\n.*yet now missing:\n- c"):
            model.predict(Frame(X, ["a", "b", "d"]))
        with pytest.warns(UserWarning, match="does not have valid feature names, but MLPClassifier"):
            model.predict(X)
    del estimator.feature_names_in_
    with scirknn.load(make_bundle(estimator)) as model:
        with pytest.warns(UserWarning, match="fitted without feature names"):
            model.predict(Frame(X, ["a", "b", "c"]))


def test_a_class_opens_only_its_own_kind(make_bundle: MakeBundle) -> None:
    with pytest.raises(
        scirknn.BundleFormatError, match=r"holds a model of MLPRegressor; open it with scirknn\.Regressor"
    ):
        scirknn.MLPClassifier(make_bundle(fitted("regressor")))
    with pytest.raises(scirknn.BundleFormatError, match="holds a model of MLPClassifier"):
        scirknn.MLPRegressor(make_bundle(fitted("softmax")))


def test_nan_from_the_npu_is_an_error_not_a_label(make_bundle: MakeBundle) -> None:
    estimator = fitted("softmax")
    estimator.intercepts_[0][:] = 1e38
    estimator.coefs_[1][:] = 1e30
    with scirknn.load(make_bundle(estimator)) as model:
        with (
            pytest.raises(scirknn.OutputRangeError, match="NaN or infinity for row 0"),
            np.errstate(all="ignore"),
        ):
            model.predict(np.ones((2, 5)))


def test_failures_of_the_runtime_are_typed_and_release_it(
    make_bundle: MakeBundle, lite: type[FakeLite]
) -> None:
    path = make_bundle(fitted("softmax"))
    for flag, call in (("fail_load", "load_rknn"), ("fail_init", "init_runtime")):
        setattr(lite, flag, True)
        before = lite.released
        with pytest.raises(scirknn.NativeError, match=f"{call} of model.rknn returned -1") as caught:
            scirknn.load(path)
        assert (caught.value.call, caught.value.code) == (call, -1)
        assert lite.released == before + 1
        setattr(lite, flag, False)
    with scirknn.load(path) as model:
        lite.fail_inference = True
        with pytest.raises(scirknn.NativeError, match=r"inference of model\.rknn failed"):
            model.predict(np.ones((1, 5)))


def test_the_vendors_name_of_an_error_is_heard_in_its_log(
    make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """rknnlite returns -1 whatever happened."""
    path = make_bundle(fitted("softmax"))
    monkeypatch.setattr(lite, "fail_init", True)
    monkeypatch.setattr(lite, "error", "RKNN_ERR_MODEL_INVALID")
    with pytest.raises(
        scirknn.NativeError, match=r"returned -1 \(RKNN_ERR_MODEL_INVALID\).*doctor"
    ) as caught:
        scirknn.load(path)
    assert (caught.value.code, caught.value.name) == (-1, "RKNN_ERR_MODEL_INVALID")


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (-3, "RKNN_ERR_DEVICE_UNAVAILABLE"),
        (-13, "RKNN_ERR_TARGET_PLATFORM_UNMATCH"),
        (-99, None),
        (None, None),
    ],
)
def test_any_code_is_an_error(
    code: int | None,
    name: str | None,
    make_bundle: MakeBundle,
    lite: type[FakeLite],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lite, "init_runtime", lambda self: code)
    with pytest.raises(scirknn.NativeError, match=f"returned {code}") as caught:
        scirknn.load(make_bundle(fitted("softmax")))
    assert (caught.value.code, caught.value.name) == (code, name)


@pytest.mark.parametrize("call", ["load_rknn", "init_runtime", "inference"])
def test_what_the_vendor_raises_is_typed(
    call: str, make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: FakeLite, *arguments: Any, **options: Any) -> None:
        raise KeyError("nhwc")

    monkeypatch.setattr(lite, call, fail)
    path = make_bundle(fitted("softmax"))
    with pytest.raises(scirknn.NativeError, match=f"{call} of model.rknn raised KeyError") as caught:
        with scirknn.load(path) as model:
            model.predict(np.ones((1, 5)))
    assert caught.value.call == call


def test_what_a_model_was_opened_with_is_its_path_and_a_pickle_holds_no_more(make_bundle: MakeBundle) -> None:
    path = make_bundle(fitted("softmax"))
    with scirknn.load(path) as model:
        assert model.get_params() == {"path": path, "device": None, "core": "auto", "runtime": "auto"}
        pickled = pickle.dumps(model)
    assert len(pickled) < 1000
    with pickle.loads(pickled) as again:
        assert again.get_params()["path"] == path


def test_a_closed_model_says_so(make_bundle: MakeBundle) -> None:
    model = scirknn.load(make_bundle(fitted("softmax")))
    model.close()
    model.close()
    with pytest.raises(scirknn.NativeError, match="is closed"):
        model.predict(np.ones((1, 5)))


def test_cores_are_chosen_by_mask(make_bundle: MakeBundle, lite: type[FakeLite]) -> None:
    path = make_bundle(fitted("softmax"))
    scirknn.load(path).close()
    scirknn.load(path, core="0").close()
    scirknn.load(path, core="0_1_2").close()
    assert lite.masks == [None, 1, 7]
    with pytest.raises(scirknn.InputError, match="core is '3'"):
        scirknn.load(path, core="3")


def test_threads_do_not_mix_their_results(make_bundle: MakeBundle) -> None:
    estimator = fitted("two outputs")
    rng = np.random.default_rng(5)
    wrong: list[int] = []
    with scirknn.load(make_bundle(estimator, samples=(4,))) as model:

        def work(seed: int) -> None:
            X = rng.normal(size=(9, 5)) + seed
            expected = estimator.predict(X)
            for _ in range(20):
                if not np.allclose(model.predict(X), expected, rtol=1e-4, atol=1e-4):
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong

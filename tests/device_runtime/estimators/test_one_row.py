"""One row a call: the answers of the general path, and its errors."""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scirknn
from scirknn.bundle import Affine, read_bundle
from scirknn.bundle.columns import Columns, Number
from scirknn.estimators.one_row import LIMIT
from scirknn.steps.linear import Shift
from tests.device_runtime.bundle.metadata_edits import edit_metadata
from tests.device_runtime.bundle.test_input_range import HIGH, LOW, MIDDLE
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.estimators.test_estimator import KINDS, fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RANGE = {"low": LOW, "high": HIGH, "rows": 12, "room": 1.0}
MAP = Affine(np.array([0.5, 0.0, 0.1, 15.0, 0.1]), np.array([2.0, 0.3, -8.0, 0.2, 1e3]))


class Rows(np.ndarray[Any, Any]):
    """An array of another class, which the general path takes."""


def refuse_general_path(*_: Any) -> None:
    pytest.fail("the general path was taken")


@pytest.mark.parametrize("samples", [(1,), (8, 16)])
@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_every_method_answers_as_the_general_path_to_the_bit(
    kind: str, precision: str, samples: tuple[int, ...], make_bundle: MakeBundle, monkeypatch: Any
) -> None:
    estimator = fitted(kind)
    outputs = np.linspace(0.5, 2.0, estimator.n_outputs_)
    path = make_bundle(estimator, samples, input=MAP, output=Affine(outputs - 1.0, 1 / outputs))
    if precision != "float16":
        edit_metadata(path, precision=precision, input_range=RANGE)
    random = np.random.default_rng(0)
    X = np.array(MIDDLE) + (np.array(HIGH) - LOW) / 2 * random.uniform(-1, 1, (10, 5))
    with scirknn.load(path) as model:
        for method in ("raw_output", "predict", "predict_proba", "predict_log_proba"):
            if method != "raw_output" and not model.has(method):
                continue
            for dtype in (np.float64, np.float32):
                rows = [X[i : i + 1].astype(dtype) for i in range(len(X))]
                expected = [getattr(model, method)(row.view(Rows)) for row in rows]
                with monkeypatch.context() as patch:
                    patch.setattr(model, "_check", refuse_general_path)
                    answers = [getattr(model, method)(row) for row in rows]
                for ours, theirs in zip(answers, expected, strict=True):
                    assert ours.dtype == theirs.dtype
                    assert ours.shape == theirs.shape
                    np.testing.assert_array_equal(ours, theirs)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    row=st.lists(st.floats(width=64), min_size=5, max_size=5),
    single=st.booleans(),
    mapped=st.booleans(),
)
def test_any_row_gives_the_answer_or_the_error_of_the_general_path(
    row: list[float], single: bool, mapped: bool, make_bundle: MakeBundle
) -> None:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        X = np.array([row], np.float32 if single else np.float64)
        answers: list[Any] = []
        with scirknn.load(make_bundle(_ESTIMATOR, input=MAP if mapped else None)) as model:
            for rows in (X, X.view(Rows)):
                try:
                    answers.append(model.raw_output(rows).tolist())
                except scirknn.ScirknnError as error:
                    answers.append((type(error), str(error)))
    assert answers[0] == answers[1]


_ESTIMATOR = fitted("two outputs")


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_row_that_is_no_number_is_refused_without_a_warning(
    wrong: float, dtype: Any, make_bundle: MakeBundle, lite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The NPU may make a number of it.
    monkeypatch.setattr(lite, "inference", lambda self, inputs: [np.zeros((1, 2, 1, 1), np.float32)])
    with np.errstate(over="ignore"):
        X = np.array([[0, 0, wrong, 0, 0]], dtype)
    with scirknn.load(make_bundle(_ESTIMATOR)) as model, warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(scirknn.InputError, match=r"Input X contains (NaN|infinity)"):
            model.predict(X)


def test_the_limit_lets_nothing_through_that_float32_does_not_hold() -> None:
    assert np.isfinite(np.float32(np.sqrt(LIMIT)))


def test_numbers_whose_square_float32_does_not_hold_are_answered(make_bundle: MakeBundle) -> None:
    X = np.full((1, 5), 1e25, np.float32)
    with scirknn.load(make_bundle(_ESTIMATOR)) as model, warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(model.predict(X), model.predict(X.view(Rows)))


def test_a_row_outside_its_range_is_counted_and_warned_of_once(make_bundle: MakeBundle) -> None:
    path = edit_metadata(make_bundle(fitted("softmax"), input=MAP), precision="int8", input_range=RANGE)
    inside, outside = np.array([MIDDLE]), np.array([MIDDLE])
    outside[0, 0] = 3.0
    with scirknn.load(path) as model:
        model.predict(inside)
        with pytest.warns(scirknn.InputRangeWarning, match="^1 of 2 rows") as caught:
            model.predict(outside)
        assert caught[0].filename == __file__
        assert model.input_range_counts == scirknn.InputRangeCounts(2, 1, {"column 0": 1})


def test_an_answer_that_is_no_number_is_named(make_bundle: MakeBundle, lite: Any, monkeypatch: Any) -> None:
    answer = [np.full((1, 2, 1, 1), np.nan, np.float32)]
    with scirknn.load(make_bundle(_ESTIMATOR)) as model:
        monkeypatch.setattr(lite, "inference", lambda self, inputs: answer)
        with pytest.raises(scirknn.OutputRangeError, match="for row 0 of X"):
            model.predict(np.zeros((1, 5)))


@pytest.mark.parametrize("count", [1, 3])
def test_outputs_of_another_number_are_no_answer(
    count: int, make_bundle: MakeBundle, lite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scirknn.load(make_bundle(_ESTIMATOR)) as model:
        monkeypatch.setattr(lite, "inference", lambda self, inputs: [np.zeros((1, count, 1, 1), np.float32)])
        for rows in (np.zeros((1, 5)), np.zeros((1, 5)).view(Rows)):
            with pytest.raises(scirknn.ScirknnError, match="output"):
                model.predict(rows)


def test_a_row_that_was_fed_leaves_nothing_behind(make_bundle: MakeBundle) -> None:
    X = np.random.default_rng(1).normal(size=(4, 5))
    with scirknn.load(make_bundle(_ESTIMATOR, samples=(8,))) as model:
        first = model.raw_output(X[:1]).copy()
        for row in range(4):
            model.raw_output(X[row : row + 1])
        np.testing.assert_array_equal(model.raw_output(X[:1]), first)


def test_threads_of_one_model_get_their_own_row(make_bundle: MakeBundle, lite: type[FakeLite]) -> None:
    X = np.random.default_rng(2).normal(size=(40, 5))
    wrong: list[int] = []
    with scirknn.load(make_bundle(_ESTIMATOR), core="pool") as model:
        expected = model.predict(X)

        def ask(first: int) -> None:
            for row in range(first, 40, 8):
                if not (model.predict(X[row : row + 1])[0] == expected[row]).all():
                    wrong.append(row)

        threads = [threading.Thread(target=ask, args=(first,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_closed_model_says_so_for_one_row(make_bundle: MakeBundle) -> None:
    with scirknn.load(make_bundle(_ESTIMATOR)) as model:
        model.predict(np.zeros((1, 5)))
    with pytest.raises(scirknn.NativeError, match="is closed"):
        model.predict(np.zeros((1, 5)))


@pytest.mark.parametrize(
    "changes",
    [
        {"feature_names": tuple("abcde")},
        {"columns": Columns(5, tuple(Number(column) for column in range(5)))},
        {"features": (Shift((1.0,) * 5),)},
        {"parts": 3, "channels": 16},
        {"output_parts": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_names_tables_and_pairs_take_the_general_path(
    changes: dict[str, Any], make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = read_bundle(make_bundle(_ESTIMATOR))
    answer = [np.zeros((1, 2 * changes.get("output_parts", 1), 1, 1), np.float32)]
    monkeypatch.setattr(lite, "inference", lambda self, inputs: answer)
    with scirknn.Regressor(replace(bundle, **changes)) as model:
        monkeypatch.setattr(model, "_check", refuse_general_path)
        with pytest.raises(pytest.fail.Exception):
            model.predict(np.zeros((1, 5)))

"""Contexts in a pool: each core once, rows shared between them, a failure told once."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scirknn
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_a_pool_has_a_context_on_each_core(make_bundle: MakeBundle, lite: type[FakeLite]) -> None:
    path = make_bundle(fitted("softmax"), samples=(1, 8))
    with scirknn.load(path, core="pool"):
        assert lite.masks == [1, 1, 2, 2, 4, 4]
    assert lite.released == 6
    bundle = scirknn.read_bundle(path)
    for platform, masks in (("rk3588s", [1, 2, 4]), ("rk3576", [1, 2]), ("rk3566", [None])):
        lite.masks.clear()
        details = {"toolkit": {"target_platform": platform}}
        one = changed(bundle, details=details, variants=bundle.variants[:1])
        scirknn.MLPClassifier(one, core="pool").close()
        assert lite.masks == masks


def test_more_rows_than_a_register_holds_load_on_an_npu_with_a_warning(
    make_bundle: MakeBundle, lite: type[FakeLite]
) -> None:
    with pytest.warns(UserWarning, match="takes 2048 rows a run.*convert the model again"):
        scirknn.load(make_bundle(fitted("softmax"), samples=(1, 2048))).close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scirknn.load(make_bundle(fitted("softmax"), samples=(1, 2047))).close()


def changed(bundle: scirknn.Bundle, **changes: Any) -> scirknn.Bundle:
    return scirknn.Bundle(**{**vars(bundle), **changes})


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 60), samples=st.sampled_from([(1,), (4,), (3, 16)]))
def test_a_pool_answers_as_one_context_does(
    rows: int, samples: tuple[int, ...], make_bundle: MakeBundle
) -> None:
    X = np.random.default_rng(rows).normal(size=(rows, 5))
    path = make_bundle(_ESTIMATOR, samples=samples)
    with scirknn.MLPRegressor(path) as one, scirknn.MLPRegressor(path, core="pool") as pool:
        np.testing.assert_array_equal(pool.predict(X), one.predict(X))


_ESTIMATOR = fitted("two outputs")


def test_a_pool_runs_on_all_its_cores_at_once(
    make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier = threading.Barrier(3, timeout=30)
    inference = lite.inference

    def meet(self: FakeLite, inputs: Any) -> Any:
        barrier.wait()  # broken unless three are in it at once
        return inference(self, inputs)

    monkeypatch.setattr(lite, "inference", meet)
    X = np.random.default_rng(0).normal(size=(9, 5))
    with scirknn.MLPRegressor(make_bundle(_ESTIMATOR), core="pool") as pool:
        np.testing.assert_allclose(pool.predict(X), _ESTIMATOR.predict(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 30])
def test_a_context_that_fails_closes_the_pool_and_is_reported_once(
    rows: int, make_bundle: MakeBundle, lite: type[FakeLite]
) -> None:
    lite.error = "RKNN_ERR_TIMEOUT"
    X = np.ones((rows, 5))
    with scirknn.load(make_bundle(fitted("softmax")), core="pool") as model:
        lite.failing_mask = 2
        if rows == 1:
            model.predict(X)  # one row goes to the contexts in turn
        with pytest.raises(scirknn.NativeError, match="on core 1 failed") as caught:
            model.predict(X)
        assert (caught.value.call, caught.value.name) == ("inference", "RKNN_ERR_TIMEOUT")
        assert lite.released == 3
        lite.failing_mask = None
        with pytest.raises(scirknn.NativeError, match="closed when one of its contexts failed"):
            model.predict(X)
    assert lite.released == 3


def test_threads_learn_that_their_pool_has_failed(make_bundle: MakeBundle, lite: type[FakeLite]) -> None:
    lite.failing_mask = 4
    X = np.ones((20, 5))
    with scirknn.load(make_bundle(fitted("softmax")), core="pool") as model, ThreadPoolExecutor(6) as threads:
        errors = [future.exception(30) for future in [threads.submit(model.predict, X) for _ in range(6)]]
    assert all(isinstance(error, scirknn.NativeError) for error in errors)
    assert sum("core 2 failed" in str(error)[:80] for error in errors) == 1


def test_bad_rows_do_the_pool_no_harm(make_bundle: MakeBundle) -> None:
    X = np.ones((40, 5))
    X[33, 2] = np.nan
    with scirknn.load(make_bundle(fitted("softmax")), core="pool") as model:
        with pytest.raises(scirknn.InputError, match="Input X contains NaN"):
            model.predict(X)
        assert len(model.predict(X[:33])) == 33


def test_a_pool_that_cannot_be_opened_leaves_nothing_open(
    make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bundle(fitted("softmax"))
    start = lite.init_runtime

    def only_two(self: FakeLite, core_mask: int | None = None) -> int:
        return -4 if core_mask == 4 else start(self, core_mask)

    monkeypatch.setattr(lite, "init_runtime", only_two)
    with pytest.raises(scirknn.NativeError, match=r"returned -4 \(RKNN_ERR_MALLOC_FAIL\).*fewer contexts"):
        scirknn.load(path, core="pool")
    assert lite.released == 3


def test_a_context_may_keep_its_buffer(
    make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The native library may write its next answer where the last one is."""
    inference = lite.inference
    buffers: dict[int, Any] = {}

    def reuse(self: FakeLite, inputs: Any) -> Any:
        (answer,) = inference(self, inputs) or []
        buffer = buffers.setdefault(id(self), answer)
        buffer[...] = answer
        return [buffer]

    monkeypatch.setattr(lite, "inference", reuse)
    X = np.random.default_rng(0).normal(size=(50, 5))
    expected = _ESTIMATOR.predict(X)
    with scirknn.MLPRegressor(make_bundle(_ESTIMATOR)) as model, ThreadPoolExecutor(4) as threads:
        for row, answer in enumerate(threads.map(lambda row: model.predict(X[row : row + 1]), range(50))):
            np.testing.assert_allclose(answer[0], expected[row], rtol=1e-5, atol=1e-5)

"""Blocks in work while others are prepared and read: order, bounds, failures; calls that are submitted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scirknn
from scirknn.devices import session
from scirknn.networks import npu
from scirknn.networks.overlap import IN_WORK, overlapped
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted
from tests.waiting import PATIENCE

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_ESTIMATOR = fitted("two outputs")


@given(count=st.integers(0, 12), workers=st.integers(1, 3))
def test_results_come_in_order_and_few_blocks_are_in_work(count: int, workers: int) -> None:
    prepared: list[int] = []
    read: list[int] = []

    def blocks() -> Iterator[int]:
        for block in range(count):
            prepared.append(block)
            assert len(prepared) - len(read) <= IN_WORK * workers + 1
            yield block

    with ThreadPoolExecutor(workers) as threads:
        for result in overlapped(lambda block: threads.submit(pow, block, 2), workers, blocks()):
            read.append(result)
    assert read == [block**2 for block in range(count)]


def test_the_next_block_is_prepared_while_one_is_computed() -> None:
    next_is_prepared = threading.Event()

    def blocks() -> Iterator[int]:
        yield 0
        next_is_prepared.set()
        yield 1

    def compute(block: int) -> int:
        assert next_is_prepared.wait(PATIENCE)
        return block

    with ThreadPoolExecutor(1) as threads:
        assert list(overlapped(lambda block: threads.submit(compute, block), 1, blocks())) == [0, 1]


@pytest.mark.parametrize("fails", ["work", "preparing", "reading"])
def test_nothing_is_in_work_after_a_failure(fails: str) -> None:
    running = threading.Semaphore(0)

    def compute(block: int) -> int:
        if fails == "work" and block == 1:
            raise scirknn.NativeError("run", -1, "planted")
        assert running.acquire(timeout=PATIENCE)
        return block

    def blocks() -> Iterator[int]:
        for block in range(9):
            if fails == "preparing" and block == 4:
                raise scirknn.InputError("planted")
            running.release()
            yield block

    started: list[Future[int]] = []

    def submit(block: int) -> Future[int]:
        started.append(threads.submit(compute, block))
        return started[-1]

    def read() -> None:
        with closing(overlapped(submit, 2, blocks())) as results:
            for _ in results:
                if fails == "reading":
                    raise scirknn.OutputRangeError("planted")

    with ThreadPoolExecutor(2) as threads:
        with pytest.raises(scirknn.ScirknnError, match="planted"):
            read()
        assert all(future.done() for future in started)


def test_the_failure_that_caused_the_others_is_raised() -> None:
    first = scirknn.NativeError("run", -1, "first")
    second = scirknn.NativeError("run", None, "second")
    second.__cause__ = first

    def submit(block: int) -> Future[int]:
        future: Future[int] = Future()
        future.set_exception((second, first)[block])
        return future

    with pytest.raises(scirknn.NativeError, match="first"):
        list(overlapped(submit, 1, range(2)))


@pytest.mark.parametrize("core", ["auto", "pool"])
@pytest.mark.parametrize("samples", [(1,), (4,), (3, 16)])
def test_blocks_change_no_answer(
    samples: tuple[int, ...], core: str, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = np.random.default_rng(0).normal(size=(301, 5))
    path = make_bundle(_ESTIMATOR, samples=samples)
    with scirknn.load(path) as model:
        expected = model.predict(X)
    monkeypatch.setattr(npu, "ROWS", 20)
    with scirknn.load(path, core=core) as model:
        np.testing.assert_array_equal(model.predict(X), expected)


class StagedSession:
    """Rows are doubled to be encoded, counted while run, and halved to be decoded."""

    runs: list[str] = []  # noqa: RUF012

    def __init__(self, *_: Any) -> None:
        self.runs.clear()

    def encode(self, rows: Any) -> Any:
        self.runs.append(threading.current_thread().name)
        return rows.astype(np.float64) * 2

    def run_encoded(self, memory: Any) -> Any:
        self.runs.append("run")
        return memory[:, :2].copy()

    def decode(self, memory: Any) -> Any:
        self.runs.append(threading.current_thread().name)
        return (memory / 2).astype(np.float32)

    def run(self, rows: Any) -> Any:
        return self.decode(self.run_encoded(self.encode(rows)))

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("core", ["auto", "pool"])
def test_a_staged_session_is_encoded_and_decoded_by_the_caller(
    core: str, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "NpuSession", StagedSession)
    monkeypatch.setattr(npu, "ROWS", 4)
    X = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    with scirknn.load(make_bundle(_ESTIMATOR, samples=(2,)), core=core) as model:
        np.testing.assert_array_equal(model.predict(X), X[:, :2])
        assert sorted(StagedSession.runs) == ["MainThread"] * 10 + ["run"] * 5


def test_a_row_that_is_no_number_is_named_behind_many_others(make_bundle: MakeBundle) -> None:
    X = np.zeros((5000, 5))
    X[4999, 3] = np.nan
    with scirknn.load(make_bundle(_ESTIMATOR, samples=(64,))) as model:
        with pytest.raises(scirknn.InputError, match="Input X contains NaN"):
            model.predict(X)
        assert len(model.predict(X[:4999])) == 4999


def test_what_is_submitted_is_answered_as_by_the_method(make_bundle: MakeBundle) -> None:
    X = np.random.default_rng(1).normal(size=(30, 5))
    with scirknn.load(make_bundle(fitted("softmax"), samples=(4,))) as model:
        labels = [model.submit(X[row:]) for row in range(20)]
        proba = model.submit(X, "predict_proba")
        for row, future in enumerate(labels):
            np.testing.assert_array_equal(future.result(PATIENCE), model.predict(X[row:]))
        np.testing.assert_array_equal(proba.result(PATIENCE), model.predict_proba(X))
        assert isinstance(model.submit(X[:, :2]).exception(PATIENCE), scirknn.InputError)
        with pytest.raises(scirknn.InputError, match="method is 'transform'; it can be one of predict, "):
            model.submit(X, "transform")


def test_closing_waits_for_what_was_submitted(
    make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, go_on = threading.Event(), threading.Event()
    inference = lite.inference

    def wait(self: FakeLite, inputs: Any) -> Any:
        inside.set()
        assert go_on.wait(PATIENCE)
        return inference(self, inputs)

    monkeypatch.setattr(lite, "inference", wait)
    model = scirknn.load(make_bundle(_ESTIMATOR))
    future = model.submit(np.zeros((1, 5)))
    assert inside.wait(PATIENCE)
    closing_thread = threading.Thread(target=model.close)
    closing_thread.start()
    go_on.set()
    closing_thread.join(PATIENCE)
    np.testing.assert_allclose(future.result(PATIENCE), _ESTIMATOR.predict(np.zeros((1, 5))), rtol=1e-5)
    with pytest.raises(scirknn.NativeError, match="is closed"):
        model.submit(np.zeros((1, 5)))

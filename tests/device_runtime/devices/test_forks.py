"""A process that is forked while threads predict answers at once, by an error or rightly."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import scirknn
from scirknn.bundle.files import read_bundle
from scirknn.bundle.input_range import InputRange
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted
from tests.waiting import PATIENCE

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

FORKS = 25  # of each kind
X = np.random.default_rng(0).normal(size=(20, 5))


def status_of_fork(work: Callable[[], None]) -> int:
    """Return the exit code of a forked process that does `work`; -9 where it does not end in time."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + PATIENCE
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL
        time.sleep(0.002)


@contextmanager
def predicting(model: Any, expected: Any) -> Iterator[list[bool]]:
    """Let three threads predict while the block runs; yield whether each answer was right."""
    answers: list[bool] = []
    is_over = threading.Event()

    def predict() -> None:
        while not is_over.is_set():
            answers.append(np.array_equal(model.predict(X), expected))

    with ThreadPoolExecutor(3) as threads:
        futures = [threads.submit(predict) for _ in range(3)]
        try:
            yield answers
        finally:
            is_over.set()
        for future in futures:
            future.result(PATIENCE)


@pytest.mark.parametrize("core", ["auto", "pool"])
def test_forked_processes_are_refused_and_predict_once_they_load_the_model(
    core: str, make_bundle: MakeBundle, lite: type[FakeLite]
) -> None:
    path = make_bundle(fitted("softmax"), samples=(1, 8))
    with scirknn.load(path, core=core) as model:
        expected = model.predict(X)

        def use() -> None:
            with pytest.raises(scirknn.NativeError, match=r"opened by process \d+.*Load the model again"):
                model.predict(X)
            model.close()
            assert lite.released == 0, "released what is the parent's"
            with scirknn.load(path, core=core) as own:
                np.testing.assert_array_equal(own.predict(X), expected)

        with predicting(model, expected) as answers:
            statuses = [status_of_fork(use) for _ in range(FORKS)]
        assert statuses == [0] * FORKS
        assert answers
        assert all(answers)
        np.testing.assert_array_equal(model.predict(X), expected)


def test_process_forked_in_the_middle_of_a_run_does_not_wait_for_it(
    make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    is_running, may_end = threading.Event(), threading.Event()
    inference = lite.inference

    def stay(self: FakeLite, inputs: Any) -> Any:
        is_running.set()
        assert may_end.wait(PATIENCE)
        return inference(self, inputs)

    monkeypatch.setattr(lite, "inference", stay)
    with scirknn.load(make_bundle(fitted("softmax"))) as model, ThreadPoolExecutor(1) as thread:
        answer = thread.submit(model.predict, X[:1])
        assert is_running.wait(PATIENCE)  # the context's lock is held from here on

        def leave() -> None:
            with pytest.raises(scirknn.NativeError, match="opened by process"):
                model.predict(X)
            model.close()
            with pytest.raises(scirknn.NativeError, match="is closed"):
                model.predict(X)

        status = status_of_fork(leave)
        may_end.set()
        assert len(answer.result(PATIENCE)) == 1
    assert status == 0


def test_counts_of_rows_are_the_process_s_own(make_bundle: MakeBundle) -> None:
    bundle = read_bundle(make_bundle(fitted("softmax")))
    limits = InputRange(np.full(5, -9.0), np.full(5, 9.0), 20, 1.0)
    ranged = scirknn.Bundle(**{**vars(bundle), "input_range": limits, "precision": "int8"})
    with scirknn.MLPClassifier(ranged) as model:
        model.predict(X)

        def count() -> None:
            with pytest.raises(scirknn.NativeError, match="opened by process"):
                _ = model.input_range_counts
            with pytest.raises(scirknn.NativeError, match="opened by process"):
                model.input_range_text()

        assert status_of_fork(count) == 0
        assert model.input_range_counts is not None
        assert model.input_range_counts.rows == len(X)

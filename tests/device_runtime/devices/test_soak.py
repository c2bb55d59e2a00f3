"""Many predictions in one process, from many threads over three contexts: every answer right, memory flat."""

from __future__ import annotations

import gc
import hashlib
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import scirknn
from scirknn.bundle import Variant
from tests.device_runtime.bundles import regressor_bundle

THREADS, PREDICTIONS = 8, 10_000
COLUMNS, OUTPUTS, SAMPLES = 16, 3, 4
FACTORS = np.array([1, 3, 7])


class Lite:
    """Answers three multiples of the first column, and lets other threads in before it does."""

    NPU_CORE_0, NPU_CORE_1, NPU_CORE_2 = 1, 2, 4

    def __init__(self, verbose: bool) -> None:
        pass

    def load_rknn(self, path: str) -> int:
        return 0

    def init_runtime(self, core_mask: int) -> int:
        return 0

    def inference(self, inputs: list[Any]) -> list[Any] | None:
        answer = (inputs[0][0, :, 0, :1] * FACTORS.astype(np.float32)).T
        time.sleep(0)
        return [answer.reshape(1, OUTPUTS, -1, 1)]

    def release(self) -> None:
        pass


class Leaking(Lite):
    """Keeps every answer, as some versions of the vendor's loop did."""

    kept: list[Any] = []  # noqa: RUF012

    def inference(self, inputs: list[Any]) -> list[Any] | None:
        answer = super().inference(inputs)
        self.kept.append(answer)
        return answer


class Mixing(Lite):
    """Has one buffer for all contexts."""

    buffer = np.zeros((1, OUTPUTS, SAMPLES, 1), np.float32)

    def inference(self, inputs: list[Any]) -> list[Any] | None:
        (answer,) = super().inference(inputs) or []
        self.buffer[...] = answer
        time.sleep(1e-5)
        return [self.buffer]


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    model = tmp_path / "model.rknn"
    model.write_bytes(b"model")

    def open_(lite: type[Lite], samples: int = SAMPLES) -> Any:
        api = ModuleType("rknnlite.api")
        api.RKNNLite = lite  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "rknnlite", ModuleType("rknnlite"))
        monkeypatch.setitem(sys.modules, "rknnlite.api", api)
        variants = (Variant(model.name, samples, hashlib.sha256(b"model").hexdigest()),)
        bundle = regressor_bundle(model, COLUMNS, OUTPUTS, variants)
        return scirknn.MLPRegressor(bundle, device="npu", core="pool")

    return open_


def wrong_answers(model: Any, threads: ThreadPoolExecutor, first: int, count: int) -> int:
    """Predict `count` times, each time rows that occur nowhere else; return how many answers are wrong."""

    def work(start: int) -> int:
        wrong = 0
        for number in range(start, first + count, THREADS):
            rows = 1 + number % (3 * SAMPLES)  # one run, or several of which each may take another context
            X = np.zeros((rows, COLUMNS))
            # Whole numbers below 2^24 / 7, which float32 carries exactly through the largest factor.
            X[:, 0] = number * 3 * SAMPLES + np.arange(rows)
            wrong += not np.array_equal(model.predict(X), X[:, :1] * FACTORS)
        return wrong

    return sum(threads.map(work, range(first, first + THREADS)))


def held() -> int:
    """Bytes that Python holds."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.usefixtures("traced")
def test_ten_thousand_predictions_are_right_and_keep_nothing(opened: Callable[..., Any]) -> None:
    warm = PREDICTIONS // 10
    with opened(Lite) as model, ThreadPoolExecutor(THREADS) as threads:
        assert wrong_answers(model, threads, 0, warm) == 0
        before, resident = held(), _resident()
        assert wrong_answers(model, threads, warm, PREDICTIONS - warm) == 0
        # Less than two bytes a prediction: what Python's own free lists and frames come to.
        assert held() - before < 2 * PREDICTIONS
        # An answer alone is 100 bytes; the allocator's own habits come to less than this.
        assert _resident() - resident < 2 << 20


@pytest.mark.usefixtures("traced")
def test_a_leak_would_be_seen(opened: Callable[..., Any]) -> None:
    with opened(Leaking) as model, ThreadPoolExecutor(THREADS) as threads:
        wrong_answers(model, threads, 0, 200)
        before = held()
        wrong_answers(model, threads, 200, 1000)
        assert held() - before > 2 * 1000


def test_mixed_answers_would_be_seen(opened: Callable[..., Any]) -> None:
    with opened(Mixing) as model, ThreadPoolExecutor(THREADS) as threads:
        assert wrong_answers(model, threads, 0, 1000) > 0


def test_a_million_rows_take_the_memory_of_their_answer(opened: Callable[..., Any], tmp_path: Path) -> None:
    """From a file that is mapped; in runs of 4,096 rows, since a million of 4 would take a minute."""
    rows = 1_000_000
    mapped = np.lib.format.open_memmap(tmp_path / "X.npy", mode="w+", dtype=np.float32, shape=(rows, COLUMNS))
    mapped[:, 0] = np.arange(rows) % 1000
    with opened(Lite, 4096) as model:
        model.predict(mapped[:5000])
        tracemalloc.start()
        found = model.predict(mapped)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.shape == (rows, OUTPUTS)
    np.testing.assert_array_equal(found[::777], mapped[::777, :1] * FACTORS)
    # One block is 2^20 values: its inputs, raw answers and what is made of them, at 4 to 8 bytes each.
    assert peak - found.nbytes < 6 * 8 * (1 << 20)


def _resident() -> int:
    """Bytes of memory that the process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def test_the_virtual_npu_answers_many_threads(tmp_path: Path) -> None:
    """The same pool over contexts that compute a real file's program."""
    sklearn2rknn = pytest.importorskip("sklearn2rknn", reason="sklearn2rknn is not installed: no converter")
    from tests.device_runtime.estimators.test_estimator import fitted

    estimator = fitted("softmax")
    X = np.random.default_rng(0).normal(size=(80, 5))
    try:
        sklearn2rknn.convert(estimator, tmp_path / "m.rknn", example_input=X, batch_size=(1, 8))
    except sklearn2rknn.ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 cannot be had on this machine: {error}")
    with scirknn.MLPClassifier(tmp_path / "m.rknn", device="virtual") as one:
        expected = one.predict_proba(X)
    with scirknn.MLPClassifier(tmp_path / "m.rknn", device="virtual", core="pool") as pool:
        with ThreadPoolExecutor(THREADS) as threads:
            parts = [slice(start, start + 1 + start % 12) for start in range(60)]
            for part, found in zip(
                parts, threads.map(lambda part: pool.predict_proba(X[part]), parts), strict=True
            ):
                # A row's own answer to the bit, but variants may differ in the last bits of float16.
                np.testing.assert_allclose(found, expected[part], atol=2e-3)

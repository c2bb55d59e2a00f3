"""What scirknn costs over the native calls, and what many rows and three cores gain: ratios of one run.

The native call is a stand-in for rknnlite that takes an exact time and computes nothing. Where exactness
matters it spins, since ``time.sleep`` is late by a fifth of the 0.3 ms asked for; where several contexts are
to wait at once it sleeps, since spinning would hold the interpreter's lock, which rknnlite does not. Run it
as ``python -m benchmarks.runtime``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import scirknn
import sklearn2rknn
import virtual_npu

CALL = 0.3e-3  # seconds
SAMPLES = (1, 64, 1024)


class Lite:
    """rknnlite with one habit of its own: a call takes as long as it is told to."""

    NPU_CORE_0, NPU_CORE_1, NPU_CORE_2 = 1, 2, 4
    seconds: dict[str, float] = {}  # noqa: RUF012
    spins = True

    def __init__(self, verbose: bool) -> None:
        self._seconds = CALL

    def load_rknn(self, path: str) -> int:
        """Take the time of the file."""
        self._seconds = self.seconds.get(Path(path).name, CALL)
        return 0

    def init_runtime(self, core_mask: int = 0) -> int:
        """Do nothing."""
        return 0

    def inference(self, inputs: list[Any]) -> list[Any]:
        """Take the time, and answer zeros."""
        until = time.perf_counter() + self._seconds
        answer = np.zeros((1, 10, inputs[0].shape[1], 1), np.float32)
        if self.spins:
            while time.perf_counter() < until:
                pass
        else:
            time.sleep(max(until - time.perf_counter(), 0))
        return [answer]

    def release(self) -> None:
        """Do nothing."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rows", type=int, default=1 << 15)
    parser.add_argument("--toolkit", default="2.3.2")
    options = parser.parse_args()
    api = ModuleType("rknnlite.api")
    api.RKNNLite = Lite  # type: ignore[attr-defined]
    sys.modules.update({"rknnlite": ModuleType("rknnlite"), "rknnlite.api": api})
    warnings.simplefilter("ignore")  # no versions are known of a stand-in
    with tempfile.TemporaryDirectory() as folder:
        estimator, path = _converted(Path(folder), options.toolkit)
        bundle = scirknn.read_bundle(path)
        Console().print(_overhead(estimator, bundle, options.calls))
        Console().print(_many_rows(bundle, options.rows))


def _converted(folder: Path, toolkit: str) -> tuple[Any, Path]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((512, 64))
    warnings.simplefilter("ignore", ConvergenceWarning)
    estimator = MLPClassifier((128, 128), max_iter=3, random_state=0).fit(X, rng.integers(0, 10, 512))
    path = folder / "model.rknn"
    sklearn2rknn.convert(estimator, path, example_input=X, batch_size=SAMPLES, toolkit=toolkit)
    return estimator, path


def _overhead(estimator: Any, bundle: scirknn.Bundle, calls: int) -> Table:
    Lite.spins = True
    X = np.random.default_rng(1).standard_normal((1, 64))
    given = X.astype(np.float32).reshape(1, 1, 1, 64)
    bare = Lite(verbose=False)
    one_core, pool = (scirknn.MLPClassifier(bundle, device="npu", core=core) for core in ("auto", "pool"))
    contenders: dict[str, Callable[[], Any]] = {
        "bare inference()": lambda: bare.inference(inputs=[given]),
        "predict, float64 row": lambda: one_core.predict(X),
        "predict, float32 row": lambda: one_core.predict(given[0, 0]),
        "predict, list": lambda: one_core.predict([X[0]]),
        "predict_proba": lambda: one_core.predict_proba(X),
        "predict, pool": lambda: pool.predict(X),
    }
    times = _times(contenders, calls)
    # Apart, as its threads go on spinning for a while and would slow what comes next.
    times |= _times({"scikit-learn's predict": lambda: estimator.predict(X)}, calls)
    base = times["bare inference()"]
    table = Table("one row a call", "us, median", "over bare, us", "over bare, %")
    table.title = f"a native call that spins {1e3 * CALL:g} ms (limit: 15 %)"
    for name, seconds in times.items():
        own = name.startswith("scikit")
        over = "" if own else f"{1e6 * (seconds - base):.1f}"
        table.add_row(name, f"{1e6 * seconds:.1f}", over, "" if own else f"{100 * (seconds / base - 1):.1f}")
    for model in (one_core, pool):
        model.close()
    return table


def _times(contenders: dict[str, Callable[[], Any]], calls: int) -> dict[str, float]:
    """Return the median seconds of each, taken in turn, so that what disturbs one disturbs all."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(calls):
        for name, call in contenders.items():
            started = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - started)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _many_rows(bundle: scirknn.Bundle, rows: int) -> Table:
    X = np.random.default_rng(2).standard_normal((rows, 64)).astype(np.float32)
    lows, highs = {}, {}
    for variant, file in bundle.files():
        lows[variant.file], highs[variant.file] = virtual_npu.estimate(virtual_npu.read(file)).npu_seconds
    table = Table("way", "rows / s, low estimate", "ratio", "rows / s, high estimate", "ratio")
    table.title = "a native call as long as its register program is estimated to take; not an NPU's time"
    speeds: dict[str, list[float]] = {}
    for seconds in (lows, highs):
        Lite.seconds = dict(seconds)
        for name, core, at_once, count, Lite.spins in (
            ("one row a call", "auto", 1, min(rows, 1000), True),
            (f"{rows} rows a call", "auto", rows, rows, True),
            (f"{rows} rows a call, sleeping", "auto", rows, rows, False),
            (f"{rows} rows a call, sleeping, pool of 3", "pool", rows, rows, False),
        ):
            with scirknn.MLPClassifier(bundle, device="npu", core=core) as model:
                best = min(_seconds(model, X[:count], at_once) for _ in range(3))
                speeds.setdefault(name, []).append(count / best)
    one = speeds["one row a call"]
    for name, found in speeds.items():
        table.add_row(name, *_pairs(found, one))
    sizes = ", ".join(
        f"{variant.samples}: {1e3 * lows[variant.file]:.2f} to {1e3 * highs[variant.file]:.2f}"
        for variant in bundle.variants
    )
    table.caption = f"estimated ms of a run, by its rows: {sizes}"
    return table


def _seconds(model: scirknn.MLPClassifier, X: Any, at_once: int) -> float:
    started = time.perf_counter()
    for start in range(0, len(X), at_once):
        model.predict(X[start : start + at_once])
    return time.perf_counter() - started


def _pairs(found: list[float], one: list[float]) -> list[str]:
    ratios = zip(found, one, strict=True)
    return [text for speed, base in ratios for text in (f"{speed:.0f}", f"{speed / base:.1f}")]


if __name__ == "__main__":
    main()

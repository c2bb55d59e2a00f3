"""What many rows a call and three cores gain: ratios of one run.

The native call is a stand-in for rknnlite that takes an exact time and computes nothing. Where exactness
matters it spins, since ``time.sleep`` is late by a fifth of the 0.3 ms asked for; where several contexts are
to wait at once it sleeps, since spinning would hold the interpreter's lock, which rknnlite does not. Run it
as ``python -m benchmarks.runtime.many_rows``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
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
    parser.add_argument("--rows", type=int, default=1 << 15)
    parser.add_argument("--toolkit", default="2.3.2")
    options = parser.parse_args()
    stand_in()
    with tempfile.TemporaryDirectory() as folder:
        bundle = scirknn.read_bundle(converted(Path(folder), options.toolkit, batch_size=SAMPLES)[1])
        Console().print(_many_rows(bundle, options.rows))


def stand_in(lite: type[Lite] = Lite) -> None:
    """Let a stand-in be this process's rknnlite."""
    api = ModuleType("rknnlite.api")
    api.RKNNLite = lite  # type: ignore[attr-defined]
    sys.modules.update({"rknnlite": ModuleType("rknnlite"), "rknnlite.api": api})
    warnings.simplefilter("ignore")  # no versions are known of a stand-in


def converted(folder: Path, toolkit: str, **options: Any) -> tuple[Any, Path]:
    """Return a classifier, 64-128-128-10, and its bundle."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((512, 64))
    warnings.simplefilter("ignore", ConvergenceWarning)
    estimator = MLPClassifier((128, 128), max_iter=3, random_state=0).fit(X, rng.integers(0, 10, 512))
    path = folder / "model.rknn"
    sklearn2rknn.convert(estimator, path, example_input=X, toolkit=toolkit, **options)
    return estimator, path


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
